//! Chunks: a body that comes in pieces, each with its length (RFC 9112, section 7.1).

/// What is expected next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The first digit of a length, or another.
    Size {
        so_far: u64,
        digits: u8,
    },
    /// The rest of the line that holds the length.
    Extension {
        size: u64,
    },
    Data {
        left: u64,
    },
    /// The end of the line after the data.
    DataEnd,
    /// A line of trailers, of which so many letters were seen.
    Trailer {
        letters: u32,
    },
    Nothing,
}

/// Takes a chunked body apart, in whatever pieces it arrives.
#[derive(Debug)]
pub struct Chunks {
    next: Next,
}

/// Longest line of trailers; a longer one is garbage.
const LONGEST_TRAILER: u32 = 16 * 1024;

impl Default for Chunks {
    fn default() -> Self {
        Self { next: Next::Size { so_far: 0, digits: 0 } }
    }
}

impl Chunks {
    /// Whether the last chunk and its trailers were seen.
    pub fn ended(&self) -> bool {
        self.next == Next::Nothing
    }

    /// Takes as much of `bytes` as belongs to the body; how much that was. Data goes to `body` until it holds
    /// `most`. `None`: these are no chunks.
    pub fn feed(&mut self, bytes: &[u8], body: &mut Vec<u8>, most: usize) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() && !self.ended() {
            if let Next::Data { left } = self.next {
                let taken = ((bytes.len() - at) as u64).min(left);
                let data = &bytes[at..at + taken as usize];
                body.extend_from_slice(&data[..data.len().min(most - body.len())]);
                at += taken as usize;
                self.next = if taken == left { Next::DataEnd } else { Next::Data { left: left - taken } };
                continue;
            }
            self.next = step(self.next, bytes[at])?;
            at += 1;
        }
        Some(at)
    }
}

fn step(next: Next, byte: u8) -> Option<Next> {
    Some(match (next, byte) {
        (Next::Size { so_far, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < 15 => {
            let digit = u64::from((byte as char).to_digit(16)?);
            Next::Size { so_far: so_far * 16 + digit, digits: digits + 1 }
        }
        (Next::Size { so_far, digits: 1.. }, b'\r' | b';' | b' ' | b'\t') => Next::Extension { size: so_far },
        (Next::Size { so_far: 0, digits: 1.. } | Next::Extension { size: 0 }, b'\n') => {
            Next::Trailer { letters: 0 }
        }
        (Next::Size { so_far: size, digits: 1.. } | Next::Extension { size }, b'\n') => {
            Next::Data { left: size }
        }
        (Next::Extension { .. }, _) => next,
        (Next::DataEnd, b'\r') => Next::DataEnd,
        (Next::DataEnd, b'\n') => Next::Size { so_far: 0, digits: 0 },
        (Next::Trailer { letters: 0 }, b'\n') => Next::Nothing,
        (Next::Trailer { .. }, b'\n') => Next::Trailer { letters: 0 },
        (Next::Trailer { .. }, b'\r') => next,
        (Next::Trailer { letters }, _) if letters < LONGEST_TRAILER => Next::Trailer { letters: letters + 1 },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"4\r\nWiki\r\nA;name=x\r\n0123456789\r\n0\r\nexpires: never\r\n\r\n";

    #[test]
    fn a_body_is_the_same_in_whatever_pieces_it_comes() {
        for size in 1..BODY.len() {
            let (mut chunks, mut body) = (Chunks::default(), Vec::new());
            for piece in BODY.chunks(size) {
                assert_eq!(chunks.feed(piece, &mut body, 100), Some(piece.len()));
            }
            assert!(chunks.ended());
            assert_eq!(body, b"Wiki0123456789");
        }
    }

    #[test]
    fn what_follows_the_body_is_left() {
        let (mut chunks, mut body) = (Chunks::default(), Vec::new());
        let bytes = [BODY, b"HTTP/1.1"].concat();
        assert_eq!(chunks.feed(&bytes, &mut body, 6), Some(BODY.len()));
        assert_eq!(body, b"Wiki01");
    }

    #[test]
    fn what_are_no_chunks_is_said() {
        for bytes in [&b"zz\r\n"[..], b"\r\n", b"ffffffffffffffff\r\n", b"1\r\nab", b"-1\r\n"] {
            assert_eq!(Chunks::default().feed(bytes, &mut Vec::new(), 9), None, "{bytes:?}");
        }
    }
}
