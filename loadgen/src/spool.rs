//! A spool: numbered texts in the order they came, on disk beyond the first few.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// What is kept in memory before it goes to disk; small, so that no write takes long.
const ROOM: usize = 64 << 10;

/// Numbered texts, each up to 64 KB. The file has no name, and ends with this value.
#[derive(Debug)]
pub struct Spool {
    room: usize,
    buffer: Vec<u8>,
    file: Option<File>,
    /// How much of the file is written.
    written: u64,
    count: usize,
    /// Why no more is kept.
    broken: Option<io::Error>,
}

impl Default for Spool {
    fn default() -> Self {
        Self::with_room(ROOM)
    }
}

impl Spool {
    /// One that keeps up to `room` bytes in memory.
    pub fn with_room(room: usize) -> Self {
        Self { room, buffer: Vec::new(), file: None, written: 0, count: 0, broken: None }
    }

    /// Adds one. A full disk is told by [`Spool::whole`].
    pub fn push(&mut self, number: u64, text: &str) {
        if self.broken.is_some() {
            return;
        }
        let text = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
        self.buffer.extend_from_slice(&number.to_le_bytes());
        self.buffer.extend_from_slice(&(text.len() as u16).to_le_bytes());
        self.buffer.extend_from_slice(text);
        self.count += 1;
        if self.buffer.len() >= self.room {
            self.broken = self.write().err();
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.write_all_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// # Errors
    /// When there was no room for all of it.
    pub fn whole(&self) -> io::Result<()> {
        match &self.broken {
            Some(error) => Err(match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            }),
            None => Ok(()),
        }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Reads all back, in the order they came.
    ///
    /// # Panics
    /// If the file cannot be read, which nobody but this value has.
    pub fn iter(&self) -> impl Iterator<Item = (u64, String)> {
        let on_disk = Written { file: self.file.as_ref(), at: 0, end: self.written };
        let mut records = BufReader::with_capacity(ROOM, on_disk).chain(Cursor::new(&self.buffer));
        std::iter::from_fn(move || {
            if records.fill_buf().expect("what was written can be read").is_empty() {
                return None;
            }
            let (mut number, mut length) = ([0; 8], [0; 2]);
            records.read_exact(&mut number).expect("a record begins with its number");
            records.read_exact(&mut length).expect("and its text's length");
            let mut text = vec![0; usize::from(u16::from_le_bytes(length))];
            records.read_exact(&mut text).expect("and ends with its text");
            Some((u64::from_le_bytes(number), String::from_utf8_lossy(&text).into_owned()))
        })
    }
}

/// What was written to a file, read from its beginning without a cursor of the file's own.
struct Written<'a> {
    file: Option<&'a File>,
    at: u64,
    end: u64,
}

impl Read for Written<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(file) = self.file else { return Ok(0) };
        let most = buffer.len().min((self.end - self.at) as usize);
        let read = file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Several spools, one after the other; cheap to share.
#[derive(Debug, Clone)]
pub struct Spools(Vec<Arc<Spool>>);

impl Spools {
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// # Errors
    /// When there was no room for all of it.
    pub fn add(&mut self, spool: Spool) -> io::Result<()> {
        if !spool.is_empty() {
            spool.whole()?;
            self.0.push(Arc::new(spool));
        }
        Ok(())
    }

    pub fn extend(&mut self, others: &Spools) {
        self.0.extend_from_slice(&others.0);
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|spool| spool.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`Spool::iter`].
    pub fn iter(&self) -> impl Iterator<Item = (u64, String)> {
        self.0.iter().flat_map(|spool| spool.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order_whatever_the_room() {
        let texts: Vec<(u64, String)> =
            (0..500).map(|n| (n * n, "x".repeat(n as usize % 40) + &n.to_string())).collect();
        for room in [0, 1, 100, 1 << 20] {
            let mut spool = Spool::with_room(room);
            texts.iter().for_each(|(number, text)| spool.push(*number, text));
            assert_eq!(spool.len(), 500);
            assert_eq!(spool.iter().collect::<Vec<_>>(), texts, "room {room}");
            // While one reads, another may, and more may come.
            assert_eq!(spool.iter().zip(spool.iter()).filter(|(a, b)| a == b).count(), 500);
            spool.push(7, "");
            assert_eq!(spool.iter().last(), Some((7, String::new())));
            spool.whole().unwrap();
        }
    }

    #[test]
    fn several_are_read_one_after_the_other() {
        let mut spools = Spools::none();
        for numbers in [0..3, 3..3, 3..5] {
            let mut spool = Spool::with_room(16);
            numbers.for_each(|number| spool.push(number, "abcdefgh"));
            spools.add(spool).unwrap();
        }
        let mut twice = spools.clone();
        twice.extend(&spools);
        assert_eq!(spools.iter().map(|(number, _)| number).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!((spools.len(), twice.len()), (5, 10));
    }
}
