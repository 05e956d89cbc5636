//! What `cargo bench` left behind: Criterion's estimates of codes, creates and the cache, on SQLite.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

/// A time for one of something, in nanoseconds, with bounds; or a ratio of two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Each {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Each {
    /// The ratio, with the worst of both sides' bounds.
    pub fn over(self, other: Each) -> Each {
        Each { value: self.value / other.value, low: self.low / other.high, high: self.high / other.low }
    }
}

/// The directory of the estimates, and when this program was built: older estimates speak of another.
pub struct Criterion {
    directory: PathBuf,
    built: SystemTime,
}

/// By group and name, and what is told of each.
const CACHE: [(&str, &str); 3] = [
    ("hits", "a hit among a million links"),
    ("misses", "a miss"),
    ("look-ups of a cache of a quarter", "a look-up where a quarter of the links fit, each miss put in"),
];

impl Criterion {
    /// What is found from the working directory.
    pub fn left() -> Self {
        let built = std::env::current_exe().and_then(fs::metadata).and_then(|it| it.modified());
        Self { directory: "target/criterion".into(), built: built.unwrap_or(SystemTime::UNIX_EPOCH) }
    }

    /// A code of a leased block, and one that is drawn and asked for.
    pub fn codes(&self) -> Option<(Each, Each)> {
        Some((self.of("generate", "a leased block")?, self.of("generate", "draw and ask")?))
    }

    /// All that there is of the other benches, a title and a line each.
    pub fn told(&self) -> Vec<(String, String)> {
        let mut told = Vec::new();
        let create = |name| self.of("create", name);
        let single = create("checked, single");
        for (name, title) in [
            ("blocks, coalesced", "creates by Criterion, after over before"),
            ("checked, coalesced", "creates by Criterion, coalesced alone"),
            ("blocks, single", "creates by Criterion, blocks alone"),
        ] {
            let (Some(before), Some(with)) = (single, create(name)) else { continue };
            let Each { value, low, high } = before.over(with);
            told.push((
                title.to_owned(),
                format!(
                    "{value:.2} × ({low:.2} to {high:.2}) as many a second: {:.1} µs of a round for each instead of {:.1}; 64 clients, SQLite, \
                     every commit synced, no HTTP",
                    with.value / 1e3,
                    before.value / 1e3
                ),
            ));
        }
        for (name, what) in CACHE {
            let Some(Each { value, low, high }) = self.of("cache", name) else { continue };
            told.push((
                format!("cache by Criterion, {what}"),
                format!("{value:.1} ns ({low:.1} to {high:.1})"),
            ));
        }
        told
    }

    /// The mean time for one element, with its two-sided interval of 95 %. None where it was not measured, or before this
    /// program was built.
    fn of(&self, group: &str, name: &str) -> Option<Each> {
        let place = self.directory.join(group).join(name).join("new");
        let (path, about) = (place.join("estimates.json"), place.join("benchmark.json"));
        if fs::metadata(&path).ok()?.modified().ok()? < self.built {
            return None;
        }
        let read = |path: &Path| serde_json::from_slice::<Value>(&fs::read(path).ok()?).ok();
        let (estimates, about) = (read(&path)?, read(&about)?);
        let elements = about["throughput"]["Elements"].as_f64().unwrap_or(1.0);
        let (mean, interval) = (&estimates["mean"], &estimates["mean"]["confidence_interval"]);
        let value = |of: &Value| Some(of.as_f64()? / elements);
        Some(Each {
            value: value(&mean["point_estimate"])?,
            low: value(&interval["lower_bound"])?,
            high: value(&interval["upper_bound"])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn leave(directory: &Path, name: &str, mean: f64, elements: u64) {
        let place = directory.join(name).join("new");
        fs::create_dir_all(&place).unwrap();
        let interval = format!(r#"{{"lower_bound":{},"upper_bound":{}}}"#, mean * 0.9, mean * 1.1);
        let text = format!(r#"{{"mean":{{"point_estimate":{mean},"confidence_interval":{interval}}}}}"#);
        fs::write(place.join("estimates.json"), text).unwrap();
        fs::write(place.join("benchmark.json"), format!(r#"{{"throughput":{{"Elements":{elements}}}}}"#))
            .unwrap();
    }

    #[test]
    fn estimates_are_read_for_one_element_each() {
        let directory = tempfile::tempdir().unwrap();
        let left = Criterion { directory: directory.path().into(), built: SystemTime::UNIX_EPOCH };
        leave(directory.path(), "generate/a leased block", 100_000.0, 10_000);
        assert_eq!(left.codes(), None, "one side alone is no comparison");
        leave(directory.path(), "generate/draw and ask", 5_000.0, 1);
        let (made, drawn) = left.codes().unwrap();
        let speedup = drawn.over(made);
        assert_eq!((made.value, drawn.value, speedup.value), (10.0, 5_000.0, 500.0));
        assert!(speedup.low < 500.0 * 0.85 && speedup.high > 500.0 * 1.2, "{speedup:?}");
    }

    #[test]
    fn designs_of_a_create_are_told_against_the_one_before_and_the_cache_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let left = Criterion { directory: directory.path().into(), built: SystemTime::UNIX_EPOCH };
        leave(directory.path(), "create/blocks, coalesced", 20_000.0, 1);
        assert_eq!(left.told(), [], "nothing to hold it against");
        leave(directory.path(), "create/checked, single", 200_000.0, 1);
        leave(directory.path(), "cache/hits", 5_000_000.0, 100_000);
        let told = left.told();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].1.starts_with("10.00 × (8.18 to 12.22) as many a second: 20.0 µs"), "{told:?}");
        assert_eq!(told[1].1, "50.0 ns (45.0 to 55.0)");
    }

    #[test]
    fn estimates_of_an_older_build_are_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        leave(directory.path(), "generate/a leased block", 1.0, 1);
        leave(directory.path(), "generate/draw and ask", 1.0, 1);
        let later = SystemTime::now() + Duration::from_secs(60);
        assert_eq!(Criterion { directory: directory.path().into(), built: later }.codes(), None);
    }
}
