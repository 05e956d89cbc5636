//! A server in a process of its own, run by this test binary, which can be killed, told to end or kept short of disk.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use clap::Parser;
use proofload_server::config::ServeArgs;

use crate::app::Client;

/// Where the child finds its flags, one a line. Without it, the child's part is no test and passes.
const FLAGS: &str = "PROOFLOAD_TEST_SERVE";

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    serve: ServeArgs,
}

/// The child's part: what `proofload serve` does, to its exit code. A test calls it.
pub fn serve_if_child() {
    let Ok(flags) = std::env::var(FLAGS) else { return };
    // A file that may not grow is to fail as a full disk does, and not to end the process.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let args = Line::parse_from(["serve"].into_iter().chain(flags.lines())).serve;
    match proofload_server::serve(args) {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("{error:#}");
            std::process::exit(2)
        }
    }
}

pub struct Process {
    pub address: SocketAddr,
    child: Child,
}

impl Process {
    /// Starts a server on a free port; `child` is the path of the test that calls [`serve_if_child`].
    pub fn start(child: &str, flags: &[&str]) -> Process {
        Process::spawn(&mut command(child, flags))
    }

    /// As [`Process::start`], where no more than so many files may be open; returns what it said of itself on stderr, too.
    pub fn start_short_of_files(child: &str, flags: &[&str], files: u64) -> (Process, String) {
        let said = tempfile::NamedTempFile::new().expect("a temporary file");
        let limit = libc::rlimit { rlim_cur: files, rlim_max: files };
        let mut command = command(child, flags);
        command.stderr(said.reopen().expect("the same file"));
        // SAFETY: the child makes one system call, which reads the struct.
        unsafe {
            command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            })
        };
        let process = Process::spawn(&mut command);
        (process, std::fs::read_to_string(said.path()).expect("what it said"))
    }

    fn spawn(command: &mut Command) -> Process {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.split_once("listening on http://")?.1.parse().ok());
        Process { address: address.expect("the server starts"), child }
    }

    pub fn connect(&self) -> Client {
        Client::new(self.address)
    }

    pub fn signal(&self, signal: i32) {
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// No file may grow beyond so many bytes from now on; without a number, any may again.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit =
            libc::rlimit { rlim_cur: bytes.unwrap_or(libc::RLIM_INFINITY), rlim_max: libc::RLIM_INFINITY };
        let pid = self.child.id() as i32;
        let set = unsafe { libc::prlimit(pid, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) };
        assert_eq!(set, 0, "the limit can be set");
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

fn command(child: &str, flags: &[&str]) -> Command {
    let flags = [&["--listen", "127.0.0.1:0", "--threads", "2"], flags].concat().join("\n");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", child, "--nocapture"]).env(FLAGS, flags);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
