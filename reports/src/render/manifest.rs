//! The manifest of a report: its files with their checksums, as `sha256sum --check` reads them.

use std::fs;
use std::path::{Component, Path};

use crate::file::checksum;
use crate::render::File;

pub const NAME: &str = "files.sha256";

/// Of all files but itself, and `run.json`, which has a checksum of its own and is never left over.
pub fn text(files: &[File]) -> String {
    files.iter().map(|(name, bytes)| format!("{}  {name}\n", checksum(bytes))).collect()
}

/// Removes what an earlier report wrote into `dir` and `files` do not replace, as long as it is what was written: a file
/// that someone else put there, or changed, is theirs. What cannot be removed stays.
pub fn clear(dir: &Path, files: &[File]) {
    let earlier = fs::read_to_string(dir.join(NAME)).unwrap_or_default();
    for (sum, name) in earlier.lines().filter_map(|line| line.split_once("  ")) {
        if is_within(dir, name) && files.iter().all(|(kept, _)| kept != name) {
            let path = dir.join(name);
            let ours = fs::read(&path).is_ok_and(|bytes| checksum(&bytes) == sum);
            if ours && fs::remove_file(&path).is_ok() {
                // Goes only where it is empty.
                let folder = path.parent().filter(|folder| *folder != dir);
                folder.map(fs::remove_dir);
            }
        }
    }
}

/// Whether a name leads to a plain file below `dir`, by no link and no way around.
fn is_within(dir: &Path, name: &str) -> bool {
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let mut path = dir.to_owned();
    plain
        && Path::new(name).iter().all(|part| {
            path.push(part);
            fs::symlink_metadata(&path).is_ok_and(|it| !it.is_symlink())
        })
}
