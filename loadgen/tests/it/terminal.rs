//! What is printed fits into the terminal that it is printed to.

use std::fs::File;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::process::Command;
use std::ptr::null_mut;

/// A terminal of so many columns: the end that shows, and the end that is written to.
fn terminal(columns: u16) -> (File, File) {
    let mut size = libc::winsize { ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let (mut shown, mut written) = (0, 0);
    // SAFETY: the call writes both descriptors and reads the size, all on this stack.
    let made = unsafe { libc::openpty(&mut shown, &mut written, null_mut(), null_mut(), &raw mut size) };
    assert_eq!(made, 0, "a terminal");
    // SAFETY: both were just opened, and nobody else has them.
    unsafe { (File::from_raw_fd(shown), File::from_raw_fd(written)) }
}

/// The longest line of `proofload list` there.
fn longest(columns: u16, exported: Option<&str>) -> usize {
    let (mut shown, written) = terminal(columns);
    let mut list = Command::new(env!("CARGO_BIN_EXE_proofload"));
    list.arg("list").stdout(written).env_remove("COLUMNS").envs(exported.map(|it| ("COLUMNS", it)));
    let mut running = list.spawn().unwrap();
    // This process must hold no end that is written to: else the terminal never ends.
    drop(list);
    let mut text = Vec::new();
    // Its end is an error (EIO), not a read of nothing.
    let _ = shown.read_to_end(&mut text);
    assert!(running.wait().unwrap().success());
    String::from_utf8(text).unwrap().lines().map(|line| line.trim_end().chars().count()).max().unwrap()
}

#[test]
fn lines_are_as_wide_as_the_terminal_says_or_as_the_user_asks() {
    assert!((70..=80).contains(&longest(80, None)));
    assert!((50..=60).contains(&longest(80, Some("60"))));
    // One that does not know its size.
    assert!(longest(0, None) > 120);
}

#[test]
fn whoever_reads_a_pipe_gets_whole_lines() {
    let list =
        Command::new(env!("CARGO_BIN_EXE_proofload")).arg("list").env_remove("COLUMNS").output().unwrap();
    let text = String::from_utf8(list.stdout).unwrap();
    assert!(text.lines().any(|line| line.chars().count() > 120));
}
