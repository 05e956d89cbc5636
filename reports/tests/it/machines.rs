//! What machines read, read by readers that are not ours.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use proofload_reports::verdict::CheckVerdict;
use proofload_reports::{Distribution, figure, file, html, junit, plot, render};
use proofload_scenarios::{Check, Metric};
use quick_xml::events::Event;
use serde_json::Value;

#[test]
fn an_interval_log_holds_every_slice() {
    let run = crate::synthetic::quick_run();
    let measurement = &run.measurements[1];
    let log = render::hlog(&run, measurement);
    let mut read: Vec<(String, f64, Histogram<u64>)> = Vec::new();
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        if let LogEntry::Interval(interval) = entry.unwrap() {
            let bytes = STANDARD.decode(interval.encoded_histogram()).unwrap();
            let histogram = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
            let tag = interval.tag().unwrap().as_str().to_owned();
            read.push((tag, interval.start_timestamp().as_secs_f64(), histogram));
        }
    }
    let slices = measurement.series.iter().flat_map(|it| it.slices.iter().map(|slice| (&it.variant, slice)));
    assert_eq!(read.len(), slices.clone().count());
    for ((tag, start, histogram), (variant, slice)) in read.into_iter().zip(slices) {
        assert_eq!((&tag, start), (variant, slice.start_s));
        assert_eq!(Distribution(histogram), slice.latency.unpack());
    }
    assert!(log.starts_with("#[Histogram log format version 1.3]\n"));
    assert!(log.contains("-tag before or after"), "a reader is told that it needs a tag");
    assert!(!render::hlog(&run, &run.measurements[0]).contains("Tag="), "one series needs none");
    let mut lagging = run.measurements[0].clone();
    lagging.invalid_latency = vec!["the generator\nlagged".into()];
    assert!(render::hlog(&run, &lagging).contains("#[not to be trusted: the generator lagged]\n"));
}

#[test]
fn a_percentile_table_agrees_with_its_histogram() {
    let run = crate::synthetic::quick_run();
    let times = &run.measurements[0].series[0].times["response"];
    let text = render::hgrm(times);
    let lines: Vec<Vec<f64>> = text
        .lines()
        .skip(2)
        .take_while(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
        .collect();
    for line in &lines {
        let (value_ns, count) = ((line[0] * 1e6).round() as u64, line[2]);
        assert_eq!(times.0.count_between(0, value_ns) as f64, count, "{line:?}");
        assert!(count >= (line[1] * times.count() as f64).floor(), "{line:?}");
    }
    let last = lines.last().unwrap();
    assert_eq!((last[1], last[2], last.len()), (1.0, times.count() as f64, 3));
    assert!(text.lines().last().unwrap().starts_with("#[Buckets"));
}

#[test]
fn the_series_stand_in_the_csv_in_full() {
    let mut run = crate::synthetic::quick_run();
    run.measurements[0].series[0].variant = "=a \"quoted\", b".into();
    let text = render::csv(&run.measurements[0]);
    let head: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let sent = head.iter().position(|name| *name == "client.sent").unwrap();
    let mut lines = 0;
    for (line, slice) in text.lines().skip(1).zip(&run.measurements[0].series[0].slices) {
        let rest = line.strip_prefix("\"'=a \"\"quoted\"\", b\"").expect("quoted, and no formula");
        let cells: Vec<&str> = rest.split(',').collect();
        assert_eq!(cells.len(), head.len());
        assert_eq!(cells[sent], slice.counters["client.sent"].to_string());
        lines += 1;
    }
    assert_eq!(lines, run.measurements[0].series[0].slices.len());
}

fn schema() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(include_str!("../../run.schema.json")).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn run_json_is_what_its_schema_says() {
    let schema = schema();
    for run in [crate::synthetic::quick_run(), crate::synthetic::grouped_run()] {
        let value: Value = serde_json::from_str(&file::text(&run)).unwrap();
        let errors: Vec<String> =
            schema.iter_errors(&value).map(|it| format!("{}: {it}", it.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

#[test]
fn the_schema_refuses_what_is_no_run() {
    let schema = schema();
    let good: Value = serde_json::from_str(&file::text(&crate::synthetic::quick_run())).unwrap();
    let spoiled: [(&str, Value); 5] = [
        ("/version", 2.into()),
        ("/measurements/0/model", "ajar".into()),
        ("/measurements/0/series/0/slices/0/counters/client.ok", (-1).into()),
        ("/measurements/0/series/0/slices/0/latency", "not base64!".into()),
        ("/checksum", "sha256:0".into()),
    ];
    for (path, value) in spoiled {
        let mut run = good.clone();
        *run.pointer_mut(path).unwrap() = value;
        assert!(!schema.is_valid(&run), "{path}");
    }
    let mut longer = good;
    longer["surprise"] = true.into();
    assert!(!schema.is_valid(&longer));
}

#[test]
fn trackers_get_figures_that_can_be_trusted_and_no_others() {
    let (run, verdicts) = (crate::synthetic::quick_run(), crate::synthetic::verdicts());
    let bencher: Value = serde_json::from_str(&render::bencher(&run, &verdicts)).unwrap();
    let measures = bencher["hit-rate"].as_object().unwrap();
    assert_eq!(measures.len(), 2);
    for metric in measures.values() {
        let at = |name: &str| metric[name].as_f64().unwrap();
        assert!(at("lower_value") <= at("value") && at("value") <= at("upper_value"));
    }
    assert_eq!(bencher["db-statements"].as_object().unwrap().len(), 1, "the invalid one is left out");
    for (text, name) in [
        (render::smaller_is_better(&run, &verdicts), "hit-rate-entries: response p99"),
        (render::bigger_is_better(&run, &verdicts), "hit-rate-entries: throughput"),
    ] {
        let list: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert!(
            list.iter().all(|it| it["name"].is_string() && it["unit"].is_string() && it["value"].is_number())
        );
        assert!(list.iter().any(|it| it["name"] == name), "{text}");
    }
}

/// Bencher takes no measure whose name is longer, and no two of one name.
#[test]
fn names_of_measures_are_as_short_as_bencher_wants_them() {
    let mut verdicts = crate::synthetic::verdicts();
    let long = "≥ 99 % of redirects at 27,000 entries with all the links that there are, under ";
    verdicts[0].checks[0].check.title = format!("{long} Goose users");
    verdicts[0].checks[1].check =
        Check { title: format!("{long} open load"), ..verdicts[0].checks[0].check.clone() };
    let bencher: Value =
        serde_json::from_str(&render::bencher(&crate::synthetic::quick_run(), &verdicts)).unwrap();
    for measures in bencher.as_object().unwrap().values() {
        assert!(measures.as_object().unwrap().keys().all(|name| name.len() <= 64), "{measures:#}");
    }
    let names: Vec<&String> = bencher["hit-rate"].as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 2, "both are told apart: {names:?}");
    assert!(names.iter().all(|name| name.starts_with("stated: ≥ 99 % of redirects")), "{names:?}");
}

/// Walks all of a document, so that anything that is not well-formed shows.
fn elements(xml: &str) -> usize {
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut elements = 0;
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("{error} at {}", reader.error_position())) {
            Event::Eof => return elements,
            Event::Start(it) | Event::Empty(it) => {
                it.attributes().for_each(|it| drop(it.unwrap()));
                elements += 1;
            }
            _ => {}
        }
    }
}

#[test]
fn every_plot_is_a_well_formed_svg_file() {
    let plots = plot::plots(&crate::synthetic::grouped_run());
    assert!(plots.len() > 20);
    for plot in plots {
        assert!(elements(&plot.svg().unwrap()) > 10, "{}", plot.id);
        assert!(!plot.table.rows.is_empty(), "{} has figures behind it", plot.id);
    }
}

/// The rates that a search for the knee tried, in their order, whatever the order of the search.
#[test]
fn the_curve_of_a_knee_is_drawn_with_its_objective() {
    let plots = plot::plots(&crate::synthetic::grouped_run());
    let knee = plots.iter().find(|plot| plot.id == "knee-redirects-rate").expect("it is drawn");
    let rates: Vec<f64> =
        knee.table.rows.iter().map(|row| row[0].replace(',', "").parse().unwrap()).collect();
    assert_eq!(rates.len(), 4);
    assert!(rates.is_sorted(), "{rates:?}");
    let said = ["holds", "fails", "inconclusive", "invalid"];
    assert!(knee.table.rows.iter().all(|row| said.contains(&row[5].as_str())), "{:?}", knee.table.rows);
    assert!(knee.svg().unwrap().contains("p99 &lt;= 5 ms"));
    assert!(!knee.caption.contains("not to be trusted"));
}

/// A curve through what the generator itself made slow would put the knee too low.
#[test]
fn rates_that_the_generator_could_not_keep_are_no_part_of_the_curve() {
    let mut run = crate::synthetic::grouped_run();
    let fastest = run.measurements.iter_mut().find(|it| it.scenario.name == "knee/redirects/2").unwrap();
    fastest.invalid_latency = vec!["the generator lagged".to_owned()];
    let plots = plot::plots(&run);
    let knee = plots.iter().find(|plot| plot.id == "knee-redirects-rate").expect("it is drawn");
    let doubtful: Vec<_> =
        knee.table.rows.iter().filter(|row| row[4] == "no: the generator lagged").collect();
    assert_eq!((doubtful.len(), doubtful[0]), (1, knee.table.rows.last().unwrap()), "it is the fastest");
    assert!(knee.caption.contains("not to be trusted"));
    assert!(knee.svg().unwrap().contains("invalid"));
}

#[test]
fn every_plot_is_a_png_file_too() {
    for plot in plot::plots(&crate::synthetic::grouped_run()) {
        let bytes = plot.png().unwrap();
        assert!(bytes.len() < 120_000, "{}: {} bytes", plot.id, bytes.len());
        let mut decoder = zune_png::PngDecoder::new(std::io::Cursor::new(bytes));
        let pixels = decoder.decode().unwrap().u8().expect("eight bits a channel");
        let (width, height) = decoder.dimensions().unwrap();
        assert_eq!((width, pixels.len()), (960, width * height * 3));
        let seen = |colour: [u8; 3]| pixels.as_chunks::<3>().0.iter().filter(|it| **it == colour).count();
        assert!(seen([0xff; 3]) > width, "{}: light paper", plot.id);
        assert!(seen([0x1b, 0x1f, 0x24]) > 50, "{}: its title", plot.id);
        assert!(seen([0x5a, 0x63, 0x6e]) > 50, "{}: its ticks", plot.id);
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let page = html(&crate::synthetic::grouped_run(), &crate::synthetic::verdicts()).unwrap();
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        let own = ["http://www.w3.org/2000/svg", "url(#"];
        let page = own.iter().fold(page.clone(), |page, own| page.replace(own, ""));
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(
        page.contains("&lt;b&gt;100,000&lt;/b&gt;") || page.contains("&#60;b&#62;100,000"),
        "foreign text is text"
    );
}

/// A script adds what it can to a page that is read; nothing stands in it that a reader without one would miss.
#[test]
fn the_page_is_complete_without_its_script() {
    let (run, verdicts) = (crate::synthetic::grouped_run(), crate::synthetic::verdicts());
    let page = html(&run, &verdicts).unwrap();
    assert_eq!(page.matches("<script").count(), 1);
    let (still, script) = page.split_once("<script").unwrap();
    let words = plain(still);
    let (_, markup) = still.split_once("</style>").unwrap();
    assert!(
        script.trim_end().ends_with("</html>") && !markup.contains("hidden") && !markup.contains("<noscript")
    );
    let shown = |text: &str| {
        assert!(words.contains(&text.replace('`', "")), "not without the script: {text}");
    };
    for plot in plot::plots(&run)
        .iter()
        .filter(|plot| still.contains(&format!("<svg class=\"plot\" id=\"{}\"", plot.id)))
    {
        let (_, drawn) = still.split_once(&format!("id=\"{}\"", plot.id)).unwrap();
        let drawn = drawn.split_once("</svg>").unwrap().0;
        assert!(drawn.contains("<path") || drawn.contains("<circle"), "{} is drawn", plot.id);
        plot.chart.names().for_each(|(name, _)| shown(name));
        plot.table.head.iter().chain(plot.table.rows.iter().flatten()).for_each(|cell| shown(cell));
        shown(&plot.caption);
    }
    let drawn = still.matches("<svg class=\"plot\"").count();
    assert!(drawn > 30, "{drawn} plots");
    for check in verdicts.iter().flat_map(|claim| &claim.checks) {
        let measured = figure::measured(check);
        measured.split(" (").chain([figure::bound(&check.check).as_str()]).for_each(|part| {
            shown(part.trim_end_matches(')'));
        });
        check.reasons.iter().for_each(|reason| shown(reason));
    }
}

/// What a reader takes a page's text for.
fn plain(page: &str) -> String {
    let marks =
        [("<code>", ""), ("</code>", ""), ("\u{a0}", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\"")];
    let marks = marks.into_iter().chain([("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'")]);
    let text = marks.fold(page.to_owned(), |text, (mark, sign)| text.replace(mark, sign));
    text.replace("&amp;", "&").replace("&#38;", "&")
}

#[test]
fn evidence_tells_of_samples_only_where_there_are_some() {
    let run = crate::synthetic::quick_run();
    let told = |change: fn(&mut CheckVerdict)| {
        let mut verdicts = crate::synthetic::verdicts();
        verdicts.truncate(1);
        verdicts[0].checks.truncate(1);
        change(&mut verdicts[0].checks[0]);
        [html(&run, &verdicts).unwrap(), junit(&run, &verdicts)]
    };
    let each = |change: fn(&mut CheckVerdict), words: &str| {
        told(change).iter().for_each(|text| assert!(text.contains(words), "{words}"));
    };
    each(|_| {}, "10,000 resamples; 38,400 effective samples; confidence 0.95");
    each(|check| check.samples = 1, "10,000 resamples; 1 effective sample; confidence 0.95");
    let fact = |check: &mut CheckVerdict| {
        check.check.metric = Metric::Fact { name: "codes".to_owned() };
        check.method = "a single value without an interval".to_owned();
    };
    each(fact, "a single value without an interval");
    for text in told(fact).into_iter().chain(told(|check| check.method.clear())) {
        assert!(!text.contains("effective sample") && !text.contains("; confidence"), "{text}");
    }
    let [page, _] = told(|check| check.method.clear());
    assert!(!page.contains("<dt>method</dt>"));
}

#[test]
fn two_runs_stand_side_by_side() {
    let (a, mut b) = (crate::synthetic::quick_run(), crate::synthetic::quick_run());
    b.environment.kernel = "Linux <6.2>".into();
    b.measurements.pop();
    let page = render::compare_html(&a, &b).unwrap();
    for said in [
        "hit rate",
        "response time, p99.9",
        "B / A",
        "Linux",
        "journeys",
        "data-name=\"A\"",
        "data-name=\"B\"",
    ] {
        assert!(page.contains(said), "{said}");
    }
    assert!(!page.contains("<6.2>"), "foreign text is text");
}
