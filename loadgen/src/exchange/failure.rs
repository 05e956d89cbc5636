//! A failure: why a request got no complete answer.

use std::error::Error;
use std::fmt;
use std::io;

/// Why a request got no complete answer. Each is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No complete answer within the time limit.
    Timeout,
    /// The target refused the connection.
    Refused,
    /// The target tore the connection down.
    Reset,
    /// The connection ended before the answer did.
    Cut,
    /// What came back is not HTTP.
    Garbage,
    /// No secure connection: the certificate or the handshake failed.
    Tls,
    /// The local machine could not: no ports or no descriptors left, no route.
    Local,
    /// The run was ended before the answer came: not the target's doing.
    Unfinished,
}

impl Failure {
    pub const ALL: [Failure; 8] = [
        Failure::Timeout,
        Failure::Refused,
        Failure::Reset,
        Failure::Cut,
        Failure::Garbage,
        Failure::Tls,
        Failure::Local,
        Failure::Unfinished,
    ];

    /// The counter's name.
    pub fn name(self) -> &'static str {
        match self {
            Failure::Timeout => "timeout",
            Failure::Refused => "refused",
            Failure::Reset => "reset",
            Failure::Cut => "cut",
            Failure::Garbage => "garbage",
            Failure::Tls => "tls",
            Failure::Local => "local",
            Failure::Unfinished => "unfinished",
        }
    }

    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::Refused,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => Failure::Reset,
            io::ErrorKind::UnexpectedEof => Failure::Cut,
            io::ErrorKind::TimedOut => Failure::Timeout,
            io::ErrorKind::InvalidData => Failure::Tls,
            _ => Failure::Local,
        }
    }

    pub fn of_hyper(error: &hyper::Error) -> Self {
        if error.is_parse() || error.is_parse_too_large() || error.is_parse_status() {
            return Failure::Garbage;
        }
        if error.is_incomplete_message() {
            return Failure::Cut;
        }
        match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
            Some(source) => Failure::of_io(source),
            None if error.is_body_write_aborted() || error.is_canceled() => Failure::Reset,
            None => Failure::Garbage,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Timeout => "no complete answer within the time limit",
            Failure::Refused => "the target refused the connection",
            Failure::Reset => "the target tore the connection down",
            Failure::Cut => "the connection ended before the answer did",
            Failure::Garbage => "the answer is not HTTP",
            Failure::Tls => "no secure connection could be made",
            Failure::Local => "this machine could not connect: out of ports, descriptors or routes",
            Failure::Unfinished => "the run was ended before the answer came",
        })
    }
}
