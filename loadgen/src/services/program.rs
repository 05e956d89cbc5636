//! Programs of this machine that a run needs, and what to do about one that is missing.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A program that is not installed where it was looked for.
#[derive(Debug, thiserror::Error)]
#[error(
    "{names} not found, neither in PATH nor in {places}: run `make test`, which installs it, or \
     `apt-get install {package}`"
)]
pub struct Missing {
    names: String,
    places: String,
    package: String,
}

/// Where distributions put what is not in every user's PATH.
const PLACES: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/usr/sbin"];
/// Debian keeps each release of PostgreSQL in a directory of its own.
const POSTGRES_RELEASES: &str = "/usr/lib/postgresql";

/// The directory that holds the programs of PostgreSQL. A release's own directory comes before a link to it elsewhere:
/// the programs find each other by where they stand.
pub fn postgres_directory() -> Result<PathBuf, Missing> {
    let mut releases: Vec<(u32, PathBuf)> = fs::read_dir(POSTGRES_RELEASES)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin")))
        })
        .collect();
    releases.sort_by_key(|(release, _)| std::cmp::Reverse(*release));
    let directories = search_path().into_iter().chain(releases.into_iter().map(|(_, path)| path));
    find(directories, &["postgres", "initdb"]).ok_or_else(|| Missing {
        names: "`postgres` and `initdb`".to_owned(),
        places: format!("{}, {POSTGRES_RELEASES}/*/bin", PLACES.join(", ")),
        package: "postgresql".to_owned(),
    })
}

pub fn redis_server() -> Result<PathBuf, Missing> {
    ["redis-server", "valkey-server"]
        .iter()
        .find_map(|name| Some(find(search_path(), &[name])?.join(name)))
        .ok_or_else(|| Missing {
            names: "`redis-server`".to_owned(),
            places: PLACES.join(", "),
            package: "redis-server".to_owned(),
        })
}

fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(PLACES.map(PathBuf::from)).collect()
}

/// The first directory that holds all of `names`, where links lead to.
fn find(directories: impl IntoIterator<Item = PathBuf>, names: &[&str]) -> Option<PathBuf> {
    directories.into_iter().find_map(|directory| {
        let all = names.iter().all(|name| is_program(&directory.join(name)));
        let real = directory.join(names[0]).canonicalize().ok()?.parent()?.to_owned();
        match all {
            true if names.iter().all(|name| is_program(&real.join(name))) => Some(real),
            true => Some(directory),
            false => None,
        }
    })
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_stands_together_and_may_be_run() {
        let (empty, full) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let directories = || [empty.path().to_owned(), full.path().to_owned()];
        fs::write(empty.path().join("one"), "").unwrap();
        for name in ["one", "two"] {
            fs::write(full.path().join(name), "").unwrap();
            assert_eq!(find(directories(), &["one", "two"]), None);
            fs::set_permissions(full.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert_eq!(find(directories(), &["one", "two"]), Some(full.path().canonicalize().unwrap()));
    }

    #[test]
    fn a_missing_program_comes_with_its_remedy() {
        let missing = Missing {
            names: "`redis-server`".to_owned(),
            places: "/usr/bin".to_owned(),
            package: "redis-server".to_owned(),
        };
        let text = missing.to_string();
        assert!(text.contains("make test") && text.contains("apt-get install redis-server"));
        assert_eq!(text.lines().count(), 1);
    }
}
