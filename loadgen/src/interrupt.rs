//! Ctrl-C and SIGTERM, as a flag that long work looks at.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Lets SIGINT and SIGTERM set the flag. Called again after a library has put a handler of its own there.
pub fn install() {
    flag();
    // A second signal ends the process at once: SA_RESETHAND restores the default action.
    let action = libc::sigaction {
        sa_sigaction: note as *const () as usize,
        // SAFETY: an all-zero mask is the empty set.
        sa_mask: unsafe { std::mem::zeroed() },
        sa_flags: libc::SA_RESETHAND | libc::SA_RESTART,
        sa_restorer: None,
    };
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler only loads an initialised cell and stores to an atomic: async-signal-safe.
        unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
    }
}

/// Whether someone asked the run to end.
pub fn requested() -> bool {
    REQUESTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// The flag itself, for those who stop when it is set.
pub fn flag() -> Arc<AtomicBool> {
    REQUESTED.get_or_init(Arc::default).clone()
}

extern "C" fn note(_signal: libc::c_int) {
    if let Some(flag) = REQUESTED.get() {
        flag.store(true, Ordering::Relaxed);
    }
}

/// What came of a step; none where it failed because of an interruption, which leaves what was done before.
///
/// # Errors
/// The step's own.
pub fn outlived<T>(outcome: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
    match outcome {
        Err(_) if requested() => Ok(None),
        outcome => outcome.map(Some),
    }
}
