//! SQLite's write-ahead log, read from outside: how many write transactions were committed.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use proofload_reports::run;

use super::{Counters, Reading, Witness};

/// How often the log is followed. It begins anew after a checkpoint and then overwrites itself: the shorter the period, the
/// less can be missed.
const PERIOD: Duration = Duration::from_millis(20);
const HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

/// Counts `sqlite.wal_commits`, the frames that end a transaction, in the log of one database; and `sqlite.wal_gaps`, how
/// often the log was overwritten before it was read to its end: where that is not zero, commits are missing from the count.
/// Statements that only read leave no trace here.
pub struct WriteAheadLog {
    log: Arc<Mutex<Log>>,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WriteAheadLog {
    /// Follows the log of `database`, a file; it need not exist yet.
    pub fn follow(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        let log = Arc::new(Mutex::new(Log::at(PathBuf::from(path))));
        let (end, ended) = mpsc::channel();
        let followed = Arc::clone(&log);
        let thread = std::thread::spawn(move || {
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                lock(&followed).advance();
            }
        });
        Self { log, end: Some(end), thread: Some(thread) }
    }
}

impl Witness for WriteAheadLog {
    fn name(&self) -> &str {
        "sqlite"
    }

    fn about(&self) -> run::Witness {
        run::Witness {
            standing: run::Standing::Independent,
            source: "commit frames in SQLite's write-ahead log (write transactions only)".to_owned(),
        }
    }

    fn read(&mut self) -> Reading<'_> {
        Box::pin(async {
            let mut log = lock(&self.log);
            log.advance();
            Ok(Counters::from([
                ("sqlite.wal_commits".to_owned(), log.commits),
                ("sqlite.wal_gaps".to_owned(), log.gaps),
            ]))
        })
    }
}

impl Drop for WriteAheadLog {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The log as far as it was read.
struct Log {
    path: PathBuf,
    open: Option<Open>,
    commits: u64,
    gaps: u64,
}

/// A log file. Its salts change whenever it begins anew; frames with older salts are remains.
struct Open {
    file: File,
    inode: u64,
    frame: u64,
    salts: u64,
    /// Checkpoints since the file was made: one more at each new beginning.
    generation: u32,
    /// Where the next frame is expected.
    position: u64,
}

impl Log {
    fn at(path: PathBuf) -> Self {
        Self { path, open: None, commits: 0, gaps: 0 }
    }

    /// Reads on, over new beginnings and new files. A log that cannot be read now may be at the next time.
    fn advance(&mut self) {
        let inode = std::fs::metadata(&self.path).map(|metadata| metadata.ino()).ok();
        if let Some(open) = &mut self.open {
            // A file that was removed can still be read to its end.
            let (commits, gaps) = open.read_on();
            self.commits += commits;
            self.gaps += gaps;
            if Some(open.inode) == inode {
                return;
            }
            self.open = None;
        }
        if let Ok(Some(mut open)) = Open::at(&self.path) {
            self.commits += open.read_frames();
            self.open = Some(open);
        }
    }
}

impl Open {
    /// `None` while the file has no header yet.
    fn at(path: &Path) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        let inode = file.metadata()?.ino();
        let Some(header) = Header::read(&file) else { return Ok(None) };
        let frame = FRAME_HEADER + header.page;
        let Header { salts, generation, .. } = header;
        Ok(Some(Self { file, inode, frame, salts, generation, position: HEADER }))
    }

    /// Commits and gaps since the last call.
    fn read_on(&mut self) -> (u64, u64) {
        let mut commits = self.read_frames();
        let Some(header) = Header::read(&self.file).filter(|header| header.salts != self.salts) else {
            return (commits, 0);
        };
        // It began anew, and overwrites from its beginning what was before. Frames of the last generation that were not read
        // yet were lost if the new ones reach beyond where reading stood, or a whole generation passed meanwhile.
        let before = self.position;
        let passed = header.generation.wrapping_sub(self.generation);
        (self.salts, self.generation, self.position) = (header.salts, header.generation, HEADER);
        commits += self.read_frames();
        (commits, u64::from(passed != 1 || self.position > before))
    }

    /// Counts the commits among the frames that follow, as far as they are of this generation.
    fn read_frames(&mut self) -> u64 {
        let mut commits = 0;
        let mut header = [0; FRAME_HEADER as usize];
        while self.file.read_exact_at(&mut header, self.position).is_ok() {
            if big_endian_64(&header[8..16]) != self.salts {
                break;
            }
            // The size of the database after the commit; zero in all frames but a transaction's last.
            commits += u64::from(header[4..8] != [0; 4]);
            self.position += self.frame;
        }
        commits
    }
}

struct Header {
    page: u64,
    generation: u32,
    salts: u64,
}

impl Header {
    fn read(file: &File) -> Option<Self> {
        let mut bytes = [0; HEADER as usize];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        // The magic's last bit tells the byte order of checksums, which are not looked at.
        (word(0) & !1 == 0x377f_0682).then(|| Self {
            page: u64::from(word(8)),
            generation: word(12),
            salts: big_endian_64(&bytes[16..24]),
        })
    }
}

fn big_endian_64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
