use super::*;
use crate::scenario::ScheduleSpec;

const GOOD: &str = "\
name = \"mine\"
load.open = { schedule = { poisson = { per-second = 100 } }, connections = 8 }

[phases]
measurement_s = 10
slice_s = 1

[links]
count = 10
zipf = 0.99

[variant.after]
design = \"after\"

[[operation]]
weight = 3
action = \"visit\"
";

fn problem(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    Scenario::parse(&GOOD.replace(from, to), "my.toml").unwrap_err().to_string()
}

#[test]
fn a_good_scenario_is_read() {
    let scenario = Scenario::parse(GOOD, "my.toml").unwrap();
    assert_eq!(scenario.operations[0].weight, 3);
    assert_eq!(scenario.variants["after"].flags["design"].as_str(), Some("after"));
    assert_eq!(scenario.variants["after"].processes, 1);
}

#[test]
fn http_steps_are_read_and_checked() {
    const USERS: &str = "name = \"users\"\nload.journeys = { users = 1 }\nphases.measurement_s = 1\n\
        [[journey]]\nname = \"a\"\nsteps = [\"create\", { http = { path = \"/{row}\" } }]\n";
    let mixed = Scenario::parse(USERS, "my.toml").unwrap();
    assert!(matches!(&mixed.journeys[0].steps[1], Step::Http(template) if template.path == "/{row}"));
    assert!(!mixed.is_for_any_service(), "it creates links");
    let pure = Scenario::parse(&USERS.replace("\"create\", ", ""), "my.toml").unwrap();
    assert!(pure.is_for_any_service());
    let error =
        |from: &str, to: &str| Scenario::parse(&USERS.replace(from, to), "my.toml").unwrap_err().to_string();
    assert!(error("{row}", "{rwo}").contains("`{rwo}` is no value of this scenario; did you mean `row`?"));
    assert!(error("path =", "paht =").contains("`paht`"));
    let http2 = error("[[journey]]", "[http]\nversion = \"2\"\n[[journey]]");
    assert!(http2.contains("journeys speak HTTP/1.1"), "{http2}");
}

#[test]
fn a_fault_is_one_line_with_file_line_field_and_remedy() {
    let cases = [
        (
            "measurement_s",
            "mesurement_s",
            "my.toml, line 5: unknown field `mesurement_s`; did you mean `measurement_s`?",
        ),
        ("poisson", "poison", "my.toml, line 2: unknown variant `poison`; did you mean `poisson`?"),
        ("= 100", "= 0", "my.toml, line 2: a rate of 0 per second sends nothing; give more than 0"),
        (
            "= 100",
            "= 1e9",
            "my.toml, line 2: a rate of 1000000000 per second cannot be scheduled; give at most 10,000,000",
        ),
        (
            "per-second = 100",
            "of-capacity = 1.5",
            "my.toml, line 2: `of-capacity` is 1.5; give a share of the capacity, more than 0 and at most 1",
        ),
        ("connections = 8", "connections = 0", "my.toml, line 2: `connections` is 0; give 1 to 60000"),
        (
            "slice_s = 1",
            "slice_s = 11",
            "my.toml, line 6: a slice of 11 s is longer than the measurement of 10 s; make it shorter",
        ),
        ("slice_s = 1", "slice_s = nan", "my.toml, line 6: `slice_s` is NaN; give at least 0.01 seconds"),
        (
            "weight = 3",
            "weight = 0",
            "my.toml, line 16: a weight of 0 is never drawn; give at least 1, or remove the operation",
        ),
        (
            "[[operation]]\nweight = 3\naction = \"visit\"\n",
            "",
            "my.toml, line 2: there is no operation, so nothing would be sent; add an [[operation]]",
        ),
        (
            "[links]\ncount = 10\nzipf = 0.99",
            "",
            "my.toml, line 15: a visit needs links that exist; add a [links] table",
        ),
        (
            "zipf = 0.99",
            "zipf = -1",
            "my.toml, line 10: an exponent of -1 is no popularity; give 0 (all alike) to 10",
        ),
        (
            "design =",
            "desing =",
            "my.toml, line 13: `desing` is no setting of the server; did you mean `design`?",
        ),
        (
            "name = \"mine\"",
            "name = \"My load\"",
            "my.toml, line 1: `My load` is no name; use small letters, digits and dashes, such as `my-redirects`",
        ),
        (
            "[phases]\nmeasurement_s = 10\nslice_s = 1\n",
            "",
            "my.toml, line 1: the field `phases` is missing; add it",
        ),
        (
            "action = \"visit\"",
            "action = { http = { path = \"/u/{usr}\" } }\n[value.user]\nsequence.from = 1",
            "my.toml, line 17: `{usr}` is no value of this scenario; did you mean `user`?",
        ),
        (
            "action = \"visit\"",
            "action = { http = { path = \"/u\", method = \"get\" } }",
            "my.toml, line 17: `get` is no method; write it in capitals, such as `GET`",
        ),
        (
            "[links]",
            "[[fault]]\nat_s = 10\ntarget = \"app\"\naction = \"kill\"\n[links]",
            "my.toml, line 9: 10 s leaves no slice of the measurement to show what it does; give 0 to 9",
        ),
        (
            "[links]",
            "[[operation]]\naction.http = { path = \"/metrics\" }\n[links]",
            "my.toml, line 8: `http` and the shortener's own actions do not mix; write them all as `http`, or none",
        ),
        (
            "[links]",
            "[[fault]]\nat_s = 1\ntarget = \"keygen\"\naction = \"flush\"\n[links]",
            "my.toml, line 11: only `redis` can be dumped or restored, and only it and the `app` flushed; `kill`, \
             `start` or `restart` this",
        ),
    ];
    for (from, to, expected) in cases {
        let said = problem(from, to);
        assert_eq!(said, expected);
        assert!(!said.contains('\n'));
    }
}

#[test]
fn what_is_no_toml_is_told_in_one_line() {
    for text in ["name = ", "\u{0}", "[[[", "name = \"x\"\nname = \"y\"", ""] {
        let said = Scenario::parse(text, "my.toml").unwrap_err().to_string();
        assert!(said.starts_with("my.toml, line ") && !said.contains('\n'), "{said}");
    }
}

#[test]
fn variants_need_a_whole_block() {
    let two = GOOD.replace("[[operation]]", "[variant.before]\ndesign = \"before\"\n\n[[operation]]");
    assert!(Scenario::parse(&two, "my.toml").is_ok());
    let short = two.replace("measurement_s = 10", "measurement_s = 3");
    assert_eq!(
        Scenario::parse(&short, "my.toml").unwrap_err().to_string(),
        "my.toml, line 5: `measurement_s` is 3, too short for one block of 2 variants; give at least 4"
    );
}

#[test]
fn stages_last_as_long_as_what_they_load() {
    let stages = |seconds: f64| {
        let stages = format!(
            "stages = [{{ from = 0, to = 100, seconds = {seconds} }}, {{ from = 5, to = 5, seconds = 4 }}]"
        );
        GOOD.replace("poisson = { per-second = 100 }", &stages)
    };
    assert!(Scenario::parse(&stages(6.0), "my.toml").is_ok());
    let error = |text: &str| Scenario::parse(text, "my.toml").unwrap_err().to_string();
    let short = error(&stages(2.0));
    assert!(short.contains("the stages take 6 s, warm-up and measurement 10 s; make them equal"), "{short}");
    let full = format!("{}\n[full]\nmeasurement_s = 20\n", stages(6.0));
    assert!(error(&full).contains("warm-up and measurement 20 s"));
    let several = format!("{}\n[variant.before]\ndesign = \"before\"\n", stages(6.0));
    assert!(error(&several).contains("leave one variant"));
}

#[test]
fn a_trace_is_a_schedule() {
    let trace = |spec: &str| GOOD.replace("poisson = { per-second = 100 }", &format!("trace = {spec}"));
    let scenario = Scenario::parse(&trace("{ file = \"times.txt\" }"), "my.toml").unwrap();
    let Load::Open { schedule, .. } = &scenario.load else { panic!("{scenario:?}") };
    assert_eq!(*schedule, ScheduleSpec::Trace { file: "times.txt".to_owned(), speed: 1.0 });
    let error = |spec: &str| Scenario::parse(&trace(spec), "my.toml").unwrap_err().to_string();
    assert!(error("{ file = \"\" }").contains("name the file"));
    assert!(error("{ file = \"a\", speed = 0 }").contains("0 times as fast"));
}

#[test]
fn a_time_limit_is_a_time() {
    let limited = |limit: &str| Scenario::parse(&format!("{GOOD}\n[http]\ntimeout_s = {limit}\n"), "my.toml");
    assert_eq!(limited("0.5").unwrap().http.timeout_s, Some(0.5));
    for limit in ["0", "-1", "nan", "1e9"] {
        assert!(limited(limit).unwrap_err().to_string().contains("`timeout_s` is"), "{limit}");
    }
}
