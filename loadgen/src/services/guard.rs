//! A child process that cannot outlive the one who started it.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child as Process, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

/// How long a child may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How many lines of output are kept to explain a child's end.
const LAST_LINES: usize = 20;

/// A running program, in a process group of its own. Dropping it kills the group; should this process
/// be killed itself, the kernel kills the child.
#[derive(Debug)]
pub struct Child {
    process: Process,
    /// Becomes readable when the process ends: lets a wait be bounded without polling.
    end: OwnedFd,
    program: String,
    output: Arc<Mutex<VecDeque<String>>>,
}

impl Child {
    /// Starts `command` on `cores` (anywhere if empty) and shows each line that it prints to `ready`,
    /// until that answers with what it was waiting for: an address, say. Blocks for 30 s at most.
    ///
    /// # Errors
    /// If the program cannot be started, or ends or stays silent before it is ready; the last lines
    /// that it printed are in the message.
    pub fn spawn<T>(
        mut command: Command,
        cores: &[usize],
        mut ready: impl FnMut(&str) -> Option<T>,
    ) -> Result<(Self, T)> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        pin(&mut command, cores);
        bind_to_parent(&mut command);
        let mut process = spawn_from_a_lasting_thread(command)
            .with_context(|| format!("could not start {program}: is it installed and executable?"))?;
        let end = match pidfd(process.id()) {
            Ok(end) => end,
            Err(error) => {
                let _ = process.kill();
                let _ = process.wait();
                return Err(error).context("this kernel gives no handle on a process (pidfd_open)");
            }
        };
        let (lines, arriving) = mpsc::channel();
        let output = Arc::new(Mutex::new(VecDeque::new()));
        read_lines(process.stdout.take(), lines.clone(), Arc::clone(&output));
        read_lines(process.stderr.take(), lines, Arc::clone(&output));
        let mut child = Self { process, end, program, output };
        let value = child.await_ready(&arriving, &mut ready)?;
        Ok((child, value))
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Sends `signal` and waits for the end, `wait` at most.
    ///
    /// # Errors
    /// If it still runs then; it is left running, so that the caller may [`kill`](Self::kill) it.
    pub fn terminate(&mut self, signal: i32, wait: Duration) -> Result<ExitStatus> {
        self.signal(signal);
        self.wait(wait)
    }

    /// Ends the whole process group at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.signal_group(libc::SIGKILL);
        self.signal(libc::SIGKILL);
        let _ = self.process.wait();
    }

    /// Waits for the end without asking for it, `limit` at most.
    ///
    /// # Errors
    /// If it still runs then.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{} (process {}) still runs after {limit:?}", self.program, self.pid());
            }
            await_readable(&self.end, left)?;
        }
    }

    /// CPU time of all its threads, those that ended included.
    ///
    /// # Errors
    /// If it runs no more.
    pub fn cpu_time(&self) -> io::Result<Duration> {
        cpu_time(self.pid())
    }

    /// The last lines that it printed, oldest first.
    pub fn last_lines(&self) -> String {
        let lines = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Sends a signal to the process alone. One that was reaped gets none: its id may be another's.
    pub fn signal(&mut self, signal: i32) {
        if self.alive() {
            // SAFETY: the process is ours and not yet reaped, so the id is still its own.
            unsafe { libc::kill(self.process.id() as i32, signal) };
        }
    }

    fn signal_group(&mut self, signal: i32) {
        // SAFETY: a group's id stays taken while it has members; without members the call fails.
        unsafe { libc::kill(-(self.process.id() as i32), signal) };
    }

    fn await_ready<T>(
        &mut self,
        arriving: &Receiver<String>,
        ready: &mut impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            match arriving.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(value) = ready(&line) {
                        return Ok(value);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{} was not ready within {READY_WITHIN:?}{}", self.program, self.explanation())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.wait(Duration::from_secs(1)).map_or_else(
                        |_| "closed its output".to_owned(),
                        |status| format!("ended with {status}"),
                    );
                    bail!("{} {status} before it was ready{}", self.program, self.explanation())
                }
            }
        }
    }

    fn explanation(&self) -> String {
        match self.last_lines() {
            lines if lines.is_empty() => ", and printed nothing".to_owned(),
            lines => format!(":\n{lines}"),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// CPU time that process `pid` has used, to the nanosecond, all threads included.
///
/// # Errors
/// If there is no such process.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls only write to the locals that they are given.
    let result = unsafe {
        match libc::clock_getcpuclockid(pid as i32, &mut clock) {
            0 if libc::clock_gettime(clock, &mut time) == 0 => Ok(()),
            0 => Err(io::Error::last_os_error()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    };
    result.map(|()| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// The living children of a process.
pub fn children(parent: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// Kills processes that are not this one's own children, and waits, for two seconds at most, until they are gone.
pub(super) fn kill_all(ids: &[u32]) {
    let deadline = Instant::now() + Duration::from_secs(2);
    let ends: Vec<OwnedFd> = ids.iter().filter_map(|&id| pidfd(id).ok()).collect();
    for end in &ends {
        // SAFETY: a handle names one process for ever, so no other is hit; no memory is passed.
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, end.as_raw_fd(), libc::SIGKILL, 0, 0) };
    }
    for end in &ends {
        let _ = await_readable(end, deadline.saturating_duration_since(Instant::now()));
    }
}

fn pin(command: &mut Command, cores: &[usize]) {
    if cores.is_empty() {
        return;
    }
    // SAFETY: a zeroed set is the empty set, and the cores are within its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for &core in cores.iter().filter(|&&core| core < libc::CPU_SETSIZE as usize) {
            libc::CPU_SET(core, &mut set);
        }
        set
    };
    // SAFETY: between fork and exec only a system call on a copied value is made.
    unsafe {
        command.pre_exec(move || match libc::sched_setaffinity(0, size_of_val(&set), &set) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        })
    };
}

/// Has the kernel kill the child when its parent ends. A change of user undoes this, so whatever drops
/// privileges must be set on the command before.
fn bind_to_parent(command: &mut Command) {
    let parent = std::process::id() as i32;
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have ended before the request was made: then no signal would ever come.
            if libc::getppid() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        })
    };
}

type Started = io::Result<Process>;
type Request = (Command, Sender<Started>);

/// To the kernel, the parent whose end kills the child is the thread that forked it. A worker thread
/// of a runtime may end long before the process does, so one thread, which never ends, forks them all.
fn spawn_from_a_lasting_thread(command: Command) -> Result<Process> {
    static SPAWNER: OnceLock<Mutex<Sender<Request>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in requests {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (answer, started) = mpsc::channel();
    let gone = || anyhow!("the thread that starts processes has ended");
    spawner.lock().unwrap_or_else(PoisonError::into_inner).send((command, answer)).map_err(|_| gone())?;
    Ok(started.recv().map_err(|_| gone())??)
}

fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers; what it returns is a new descriptor that is ours to close.
    match unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } {
        -1 => Err(io::Error::last_os_error()),
        descriptor => Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) }),
    }
}

fn await_readable(descriptor: &OwnedFd, limit: Duration) -> io::Result<()> {
    let mut poll = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let limit_ms = i32::try_from(limit.as_millis() + 1).unwrap_or(i32::MAX);
    // SAFETY: one valid entry, and its number.
    match unsafe { libc::poll(&mut poll, 1, limit_ms) } {
        -1 if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted => {
            Err(io::Error::last_os_error())
        }
        _ => Ok(()),
    }
}

/// Reads a pipe to its end, so that a talkative child never blocks on a full one.
fn read_lines(
    pipe: Option<impl Read + Send + 'static>,
    lines: Sender<String>,
    output: Arc<Mutex<VecDeque<String>>>,
) {
    let Some(pipe) = pipe else { return };
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).into_owned();
            let mut kept = output.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == LAST_LINES {
                kept.pop_front();
            }
            kept.push_back(line.clone());
            drop(kept);
            // Nobody listens once the child was ready; the pipe must be emptied all the same.
            let _ = lines.send(line);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn spawn(script: &str) -> Child {
        Child::spawn(shell(script), &[], |line| (line == "ready").then_some(())).unwrap().0
    }

    /// Whether the process is gone, or dead and only waiting to be reaped.
    fn ended(pid: u32) -> bool {
        match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')),
            Err(_) => true,
        }
    }

    fn ends_soon(pid: u32) -> bool {
        (0..500).any(|_| {
            ended(pid) || {
                thread::sleep(Duration::from_millis(10));
                false
            }
        })
    }

    #[test]
    fn hands_over_what_the_ready_line_says() {
        let (child, port) = Child::spawn(
            shell("echo starting; echo listening on http://127.0.0.1:4711; sleep 60"),
            &[],
            |line| line.strip_prefix("listening on http://").map(str::to_owned),
        )
        .unwrap();
        assert_eq!(port, "127.0.0.1:4711");
        let pid = child.pid();
        drop(child);
        assert!(ended(pid), "dropping the guard ends the process");
    }

    #[test]
    fn explains_an_early_end_with_its_last_words() {
        let error = Child::spawn(shell("echo port in use >&2; exit 3"), &[], |_| None::<()>).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("port in use") && text.contains("exit status: 3"), "{text}");
    }

    #[test]
    fn names_a_program_that_is_missing() {
        let error = Child::spawn(Command::new("no-such-program"), &[], |_| None::<()>).unwrap_err();
        assert!(format!("{error:#}").contains("no-such-program"));
    }

    #[test]
    fn ends_grandchildren_too() {
        let (child, grandchild) =
            Child::spawn(shell("sleep 60 & echo $!; wait"), &[], |line| line.parse::<u32>().ok()).unwrap();
        drop(child);
        assert!(ends_soon(grandchild));
    }

    #[test]
    fn a_stubborn_child_is_reported_and_can_still_be_killed() {
        let mut child = spawn("trap '' TERM; echo ready; while :; do sleep 0.05; done");
        assert!(child.terminate(libc::SIGTERM, Duration::from_millis(50)).is_err());
        assert!(child.alive());
        child.kill();
        assert!(!child.alive());
    }

    #[test]
    fn outlives_the_thread_that_asked_for_it() {
        let mut child = thread::spawn(|| spawn("echo ready; sleep 60")).join().unwrap();
        assert!(child.wait(Duration::from_millis(100)).is_err(), "the end of a thread must not kill it");
    }

    #[test]
    fn counts_cpu_time_of_threads_that_ended() {
        let child = spawn("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo ready; sleep 60");
        assert!(child.cpu_time().unwrap() > Duration::from_millis(1));
        assert!(cpu_time(5_000_000).is_err(), "beyond the highest id that a kernel gives");
    }

    #[test]
    fn is_pinned_where_asked() {
        let (_child, cores) =
            Child::spawn(shell("grep Cpus_allowed_list /proc/self/status; sleep 60"), &[0], |line| {
                Some(line.to_owned())
            })
            .unwrap();
        assert_eq!(cores.split_whitespace().last(), Some("0"));
    }

    /// This test's binary is started again as the parent that is going to be killed.
    #[test]
    fn a_killed_parent_leaves_nothing() {
        if std::env::var_os("PROOFLOAD_TEST_PARENT").is_some() {
            let child = spawn("echo ready; sleep 60");
            println!("\nchild {}", child.pid());
            thread::sleep(Duration::from_secs(60));
            return;
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "services::guard::tests::a_killed_parent_leaves_nothing", "--nocapture"])
            .env("PROOFLOAD_TEST_PARENT", "1");
        let (mut parent, orphan) =
            Child::spawn(command, &[], |line| line.strip_prefix("child ")?.parse::<u32>().ok()).unwrap();
        // Only the parent is killed here, not its group.
        parent.signal(libc::SIGKILL);
        assert!(ends_soon(orphan), "process {orphan} outlived its parent");
    }
}
