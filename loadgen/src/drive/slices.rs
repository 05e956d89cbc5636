//! Slices on disk: what a long drive measured does not pile up in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, Write};

use proofload_reports::run::Slice;

/// The slices of a drive in time order, in an unnamed file that ends with this value, and their sums.
#[derive(Debug)]
pub struct Slices {
    file: File,
    count: usize,
    totals: BTreeMap<String, u64>,
    duration_s: f64,
}

impl Slices {
    /// # Errors
    /// When there is no room for temporary files.
    pub fn new() -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile()?, count: 0, totals: BTreeMap::new(), duration_s: 0.0 })
    }

    /// Adds a slice, one line of JSON: an interrupted drive leaves none by halves.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn push(&mut self, slice: &Slice) -> io::Result<()> {
        let mut line = serde_json::to_vec(slice)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.count += 1;
        self.duration_s += slice.duration_s;
        for (name, count) in &slice.counters {
            match self.totals.get_mut(name) {
                Some(total) => *total += count,
                None => drop(self.totals.insert(name.clone(), *count)),
            }
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sum of a counter over all slices.
    pub fn total(&self, counter: &str) -> u64 {
        self.totals.get(counter).copied().unwrap_or(0)
    }

    /// The sums of all counters.
    pub fn totals(&self) -> &BTreeMap<String, u64> {
        &self.totals
    }

    pub fn duration_s(&self) -> f64 {
        self.duration_s
    }

    /// Reads the slices back, one at a time.
    ///
    /// # Panics
    /// If the file cannot be read, which nobody but this value has.
    pub fn iter(&self) -> impl Iterator<Item = Slice> {
        let mut file = &self.file;
        file.rewind().expect("a file can be read from its beginning");
        BufReader::new(file).lines().take(self.count).map(|line| {
            let line = line.expect("what was written can be read");
            serde_json::from_str(&line).expect("it was written as a slice")
        })
    }
}
