//! A scratch directory: it goes with its owner, or at the next start if its owner was killed.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

const PREFIX: &str = "proofload-";
/// Locked for as long as the owner lives: the kernel lets go of it even for one that was killed.
const LOCK: &str = ".lock";

/// A temporary directory of this process.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
    _lock: File,
}

impl Scratch {
    /// # Errors
    /// When no temporary directory can be written: one line with the remedy.
    pub fn new(purpose: &str) -> Result<Self> {
        Self::within(&std::env::temp_dir(), purpose).with_context(|| {
            format!("no temporary directory for {purpose}; set TMPDIR to one that can be written")
        })
    }

    fn within(parent: &Path, purpose: &str) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix(&format!("{PREFIX}{purpose}-")).tempdir_in(parent)?;
        // It gets its name once it is locked, so that nobody ever finds it unlocked while the owner lives.
        let unnamed = directory.path().join(".lock.new");
        let lock = File::create(&unnamed)?;
        if !locks(&lock) {
            return Err(io::Error::last_os_error());
        }
        fs::rename(unnamed, directory.path().join(LOCK))?;
        Ok(Self { directory, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes what killed predecessors left behind. What cannot be removed is left: it is another user's.
pub fn clear_remains() {
    clear_remains_in(&std::env::temp_dir());
}

fn clear_remains_in(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_abandoned(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether it has a lock that nobody holds. One without a lock may be about to get it.
fn is_abandoned(directory: &Path) -> bool {
    File::open(directory.join(LOCK)).is_ok_and(|lock| locks(&lock))
}

fn locks(file: &File) -> bool {
    // SAFETY: the descriptor is open for as long as the file is borrowed, and no memory is passed.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_dead_owner_left_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let alive = Scratch::within(parent.path(), "alive").unwrap();
        let dead = Scratch::within(parent.path(), "dead").unwrap();
        let (dead, lock) = (dead.directory.keep(), dead._lock);
        let unlocked = parent.path().join("proofload-unlocked");
        let foreign = parent.path().join("foreign");
        for path in [&unlocked, &foreign] {
            fs::create_dir(path).unwrap();
        }
        fs::write(foreign.join(LOCK), "").unwrap();

        clear_remains_in(parent.path());
        assert!(dead.exists(), "its owner lives");
        drop(lock);
        clear_remains_in(parent.path());
        assert!(!dead.exists(), "its owner is gone");
        assert!(alive.path().exists() && unlocked.exists() && foreign.exists());
    }
}
