//! What plots say, and that they say no more than was measured.

use proofload_reports::lag;
use proofload_reports::plot::{self, Layer, Plot};
use proofload_reports::run::Run;

fn drawn(run: &Run, id: &str) -> Plot {
    let plots = plot::plots(run);
    let ids: Vec<&str> = plots.iter().map(|plot| plot.id.as_str()).collect();
    plots.iter().find(|plot| plot.id == id).unwrap_or_else(|| panic!("no {id} in {ids:?}")).clone()
}

#[test]
fn no_line_crosses_the_turn_of_another_variant() {
    for layer in drawn(&crate::synthetic::quick_run(), "m2-rates").chart.layers {
        let Layer::Steps { steps, .. } = layer else { panic!("not a stroke for each slice: {layer:?}") };
        assert_eq!(steps.len(), 24);
        assert!(steps.iter().all(|step| step.to - step.from == 1.0), "{steps:?}");
    }
    let straight = drawn(&crate::synthetic::quick_run(), "m1-rates").chart.layers;
    assert!(matches!(straight[0], Layer::Line { .. }), "slices that follow each other make a line");
}

/// What compares variants has no room for all that each did; it stands beside it.
#[test]
fn each_of_several_variants_shows_what_was_offered_and_lost_and_both_its_times() {
    let run = crate::synthetic::quick_run();
    let names = |id: &str| -> Vec<String> {
        drawn(&run, id).chart.names().map(|(name, _)| name.to_owned()).collect()
    };
    assert_eq!(names("m2-rates"), ["before", "after"]);
    assert!(drawn(&run, "m2-rates").title.starts_with("Achieved"));
    for variant in ["before", "after"] {
        assert_eq!(names(&format!("m2-rates-{variant}")), ["achieved", "offered", "dropped"]);
        assert_eq!(names(&format!("m2-percentiles-{variant}")), ["response", "service"]);
    }
    assert_eq!(names("m1-percentiles"), ["response", "service"]);
    let alone = plot::plots(&run).into_iter().filter(|plot| plot.id.starts_with("m1-rates"));
    assert_eq!(alone.count(), 1, "a single one stands for itself");
}

#[test]
fn what_was_offered_lies_on_top_of_what_was_achieved() {
    let layers = drawn(&crate::synthetic::quick_run(), "m1-rates").chart.layers;
    let at = |wanted: &str| {
        let named = |layer: &Layer| matches!(layer, Layer::Line { name, .. } if name == wanted);
        layers.iter().position(named).unwrap_or_else(|| panic!("no {wanted}"))
    };
    assert!(at("offered") > at("achieved"));
}

/// A witness that is asked half a slice late counts half as much again, and in the next slice so much less.
#[test]
fn a_witness_that_was_read_late_makes_no_spike() {
    let mut run = crate::synthetic::quick_run();
    for (index, slice) in run.measurements[0].series[0].slices.iter_mut().enumerate() {
        let us = [1_500_000, 500_000][index % 2];
        slice.counters.extend([
            ("cpu.server_us".into(), us / 4),
            ("elapsed.cpu_us".into(), us),
            ("cpu.generator_wait_us".into(), 100_000),
        ]);
    }
    let points = |plot: &str, wanted: &str| {
        let layers = drawn(&run, plot).chart.layers;
        let found = layers.into_iter().find_map(|layer| match layer {
            Layer::Line { name, points, .. } if name == wanted => Some(points),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no {wanted}")).into_iter().map(|(_, y)| y).collect::<Vec<_>>()
    };
    assert_eq!(points("m1-cpu", "server"), [0.25; 20]);
    assert_eq!(
        points("m1-generator", "waiting for its core"),
        [0.1; 20],
        "it is counted at the slice's ends"
    );
    let plot = drawn(&run, "m1-cpu");
    assert!(plot.caption.contains("server 0.25 cores"), "{}", plot.caption);
    assert!(plot.chart.names().all(|(name, _)| !name.contains("elapsed")), "it is no process");
    let column = plot.table.head.iter().position(|name| name == "server").unwrap();
    assert_eq!(plot.table.rows[0][column], "0.25");
}

/// Lag is what makes latencies invalid; send delay holds the wait for a connection, too.
#[test]
fn the_generators_own_error_is_its_lag() {
    let mut run = crate::synthetic::quick_run();
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

/// A stall of the generator's host is seen where it was.
#[test]
fn the_generators_own_error_has_a_time() {
    let mut run = crate::synthetic::quick_run();
    let plot = drawn(&run, "m1-lag");
    let [Layer::Boxes { boxes }, Layer::Line { points, .. }, ..] = &plot.chart.layers[..] else {
        panic!("no shade below a line: {:?}", plot.chart.layers)
    };
    assert_eq!(boxes.iter().map(|it| it.0).collect::<Vec<_>>(), [3.0, 10.0, 17.0], "where there was steal");
    assert_eq!([points[3].1, points[4].1], [6.0, 1.0]);
    assert!(plot.caption.contains("Shaded: 3 slices"), "{}", plot.caption);
    for slice in &mut run.measurements[0].series[0].slices {
        slice.counters.remove("client.lag_us");
    }
    assert!(plot::plots(&run).iter().all(|plot| plot.id != "m1-lag"), "an older run has none");
}

#[test]
fn every_request_is_counted_in_a_cell_of_the_map() {
    let run = crate::synthetic::quick_run();
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
    let mut run = crate::synthetic::quick_run();
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

/// A design that was left out would be taken for one that was not tried.
#[test]
fn a_bar_that_cannot_be_trusted_is_named_and_not_drawn() {
    let mut run = crate::synthetic::grouped_run();
    let point = |run: &Run, name: &str| {
        run.measurements
            .iter()
            .position(|it| it.scenario.name == format!("ablation/techniques/{name}"))
            .unwrap()
    };
    let (lagging, dead) = (point(&run, "no pool"), point(&run, "no blocks"));
    run.measurements[lagging].invalid_latency = vec!["the generator lagged".into()];
    run.measurements[dead].invalid = vec!["the target died".into()];
    let bars = |plot: &Plot| match &plot.chart.layers[0] {
        Layer::Boxes { boxes } => boxes.len(),
        other => panic!("no bars: {other:?}"),
    };
    for (id, trusted) in [("p99", 3), ("statements", 4)] {
        let plot = drawn(&run, &format!("ablation-techniques-{id}"));
        assert_eq!((bars(&plot), plot.table.rows.len()), (trusted, 5), "{id}");
        assert!(plot.caption.contains("`no blocks`: invalid: the target died."), "{}", plot.caption);
        assert_eq!(plot.caption.contains("`no pool`: invalid: the generator lagged."), id == "p99");
        assert!(plot.svg().unwrap().contains(">invalid</text>"));
    }
}

#[test]
fn no_share_has_a_tick_above_all_of_it() {
    let mut run = crate::synthetic::grouped_run();
    for measurement in run.measurements.iter_mut().filter(|it| it.scenario.name.starts_with("ablation/")) {
        measurement.series = crate::synthetic::measurement("", 12, 300).series;
    }
    let plot = drawn(&run, "ablation-techniques-hit-rate");
    let ticks: Vec<String> = plot.chart.x.ticks().into_iter().map(|(_, text)| text).collect();
    assert_eq!(ticks.last().unwrap(), "100 %", "{ticks:?}");
    assert!(plot.chart.x.high > 1.0, "the figures at the bars' ends have room");
}

/// A place of a map is told in the page only where something lies to be told.
#[test]
fn a_plot_is_a_tab_stop_only_by_the_script_that_makes_use_of_it() {
    let page =
        proofload_reports::html(&crate::synthetic::quick_run(), &crate::synthetic::verdicts()).unwrap();
    let (markup, script) = page.rsplit_once("<script>").unwrap();
    assert!(!markup.contains("tabindex"));
    assert!(script.contains("tabindex"));
}
