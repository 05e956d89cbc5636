//! What plots say, and that they say no more than was measured.

mod synthetic;

use proofload_reports::lag;
use proofload_reports::plot::{self, Layer, Plot};
use proofload_reports::run::Run;

fn drawn(run: &Run, id: &str) -> Plot {
    let plots = plot::plots(run);
    let ids: Vec<&str> = plots.iter().map(|plot| plot.id.as_str()).collect();
    plots.iter().find(|plot| plot.id == id).unwrap_or_else(|| panic!("no {id} in {ids:?}")).clone()
}

/// The run with the slices of its two variants in turn: ABBA, then BAAB.
fn interleaved() -> Run {
    let mut run = synthetic::quick_run();
    for (side, series) in run.measurements[1].series.iter_mut().enumerate() {
        for (index, slice) in series.slices.iter_mut().enumerate() {
            let turn = [[0, 3], [1, 2]][side][index % 2];
            slice.start_s = (index / 2 * 4 + turn) as f64;
        }
    }
    run
}

#[test]
fn no_line_crosses_the_turn_of_another_variant() {
    for layer in drawn(&interleaved(), "m2-rates").chart.layers {
        let Layer::Steps { steps, .. } = layer else { panic!("not a stroke for each slice: {layer:?}") };
        assert_eq!(steps.len(), 24);
        assert!(steps.iter().all(|step| step.to - step.from == 1.0), "{steps:?}");
    }
    let straight = drawn(&synthetic::quick_run(), "m1-rates").chart.layers;
    assert!(matches!(straight[0], Layer::Line { .. }), "slices that follow each other make a line");
}

#[test]
fn what_was_offered_lies_on_top_of_what_was_achieved() {
    let layers = drawn(&synthetic::quick_run(), "m1-rates").chart.layers;
    let at = |wanted: &str| {
        let named = |layer: &Layer| matches!(layer, Layer::Line { name, .. } if name == wanted);
        layers.iter().position(named).unwrap_or_else(|| panic!("no {wanted}"))
    };
    assert!(at("offered") > at("achieved"));
}

/// Lag is what makes latencies invalid; send delay holds the wait for a connection, too.
#[test]
fn the_generators_own_error_is_its_lag() {
    let mut run = synthetic::quick_run();
    let plot = drawn(&run, "m1-own-error");
    for said in
        ["Lag is how late the generator", "More than 10 %", "50 µs at p50", "selftest", "38 µs at p99"]
    {
        assert!(plot.caption.contains(said), "{said}: {}", plot.caption);
    }
    assert_eq!(plot.table.head, ["percentile", "response", "send delay", "lag"]);
    assert!(!drawn(&run, "m1-send-delay").title.contains("error"));
    run.generator_error = None;
    assert!(!drawn(&run, "m1-own-error").caption.contains("selftest"));
    run.measurements[0].series[0].times.remove(lag::NAME);
    assert!(plot::plots(&run).iter().all(|plot| plot.id != "m1-own-error"), "nothing is known of it");
}

#[test]
fn every_request_is_counted_in_a_cell_of_the_map() {
    let run = synthetic::quick_run();
    let chart = drawn(&run, "m1-heat").chart;
    let counts = chart.counts.as_ref().expect("it can be pointed at");
    let told: u64 = counts.columns.iter().flat_map(|(.., rows)| rows).sum();
    let timed: u64 = run.measurements[0].series[0].slices.iter().map(|slice| slice.latency.count()).sum();
    assert_eq!(told, timed);
    let most = counts.columns.iter().flat_map(|(.., rows)| rows).max().unwrap();
    let legend = |layer: &&Layer| matches!(layer, Layer::Scale { .. });
    let Some(Layer::Scale { many, .. }) = chart.layers.iter().find(legend) else { panic!("no legend") };
    assert_eq!(many, &most.to_string());
}

#[test]
fn plots_of_latencies_that_cannot_be_trusted_say_so_wherever_they_go() {
    let mut run = synthetic::quick_run();
    run.measurements[0].invalid_latency = vec!["the generator lagged".into()];
    for (id, invalid) in
        [("m1-percentiles", true), ("m1-heat", true), ("m1-rates", false), ("m2-heat-before", false)]
    {
        let plot = drawn(&run, id);
        assert_eq!(plot.title.ends_with(": invalid"), invalid, "{}", plot.title);
        assert_eq!(plot.alternative().contains("the generator lagged"), invalid, "{}", plot.alternative());
    }
    run.measurements[0].invalid = vec!["the target died".into()];
    assert!(drawn(&run, "m1-rates").svg().unwrap().contains("dropped: invalid"));
}

/// A place of a map is told in the page only where something lies to be told.
#[test]
fn a_plot_is_a_tab_stop_only_by_the_script_that_makes_use_of_it() {
    let page = proofload_reports::html(&synthetic::quick_run(), &synthetic::verdicts()).unwrap();
    let (markup, script) = page.rsplit_once("<script>").unwrap();
    assert!(!markup.contains("tabindex"));
    assert!(script.contains("tabindex"));
}
