//! The file of a backup: what was copied, what changed meanwhile, and the means to know it whole.
//!
//! ```text
//! file    := magic[16] frame*
//! frame   := kind[1] unpacked[4] packed[4] checksum[4] payload, zstd
//!            checksum: CRC-32 of the three before it and the payload
//! Head    := Head, JSON: the first frame
//! File    := name mode[4] content        a file beside the store
//! Slice   := database tree (key value)*  what a tree held
//! Commit  := database (tree key put[1] value?)*   what changed later
//! Removed := database                    a week that was removed later
//! GivenUp := text                       instead of the end: why there is none
//! End     := End, JSON, with the SHA-256 of all frames before it: the last frame
//! ```
//! Texts, keys and values are preceded by their length in four bytes; numbers are little-endian.
//! Frames are applied in their order, each replacing what was there: after the last one every database
//! is as it was at one moment, [`End::ended`]. A frame holds about a mebibyte, so that neither side
//! needs more memory however large the store is.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use ring::digest::{Context, SHA256};
use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

use super::codec::{Decoder, Encoder, Problem};
use super::database::Op;

const MAGIC: &[u8; 16] = b"rollcall backup\n";

/// The form that this version writes, and the newest that it reads.
pub(super) const FORM: u32 = 1;

/// A frame is closed once it has so many bytes.
const FRAME_BYTES: usize = 1024 * 1024;

/// No frame has more: its last entry is at most a value and a key, or a file.
const FRAME_MOST: usize = 4 * 1024 * 1024;

/// zstd's default: blocks are packed already, records are not.
const LEVEL: i32 = 3;

const HEAD: u8 = 1;
const FILE: u8 = 2;
const SLICE: u8 = 3;
const COMMIT: u8 = 4;
const REMOVED: u8 = 5;
const END: u8 = 6;
const GIVEN_UP: u8 = 7;

/// What a backup says of itself at its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The form of the file.
    pub form: u32,
    /// The version of the collector that made it.
    pub collector: String,
    /// The schema of the store.
    pub schema: u32,
    /// When it was begun.
    pub began: UnixMs,
    /// Whether the authority and its keys are in it.
    pub authority: bool,
}

/// What a backup says of itself at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The moment that it is of.
    pub ended: UnixMs,
    /// The keys that were copied, by database and tree.
    pub keys: BTreeMap<String, BTreeMap<String, u64>>,
    /// Changes made while it was copied, which it holds too.
    pub changes: u64,
    /// Files beside the store.
    pub files: u64,
    /// SHA-256 of everything before this, in hexadecimal digits.
    pub sha256: String,
}

/// A frame, unpacked.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Frame {
    Head(Head),
    File {
        name: String,
        mode: u32,
        content: Vec<u8>,
    },
    Slice {
        database: String,
        tree: String,
        entries: Vec<(Vec<u8>, Vec<u8>)>,
    },
    Commit {
        database: String,
        changes: Vec<Change>,
    },
    Removed {
        database: String,
    },
    End(End),
}

/// A change of one key, by the name of its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub tree: String,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// Why a backup cannot be read. Each but the first names where in the file.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is something else.
    #[error("it is not a backup of Rollcall")]
    Foreign,
    /// A newer version made it.
    #[error(
        "it has form {found} and this version reads up to {FORM}; use the newer rollcall-collector"
    )]
    Newer {
        /// Its form.
        found: u32,
    },
    /// It ends before its end.
    #[error("it is cut off after {at} bytes: it was not written to its end, or not copied whole")]
    CutOff {
        /// Bytes that are there.
        at: u64,
    },
    /// A frame is not what was written.
    #[error("it is damaged at byte {at}: {problem}")]
    Damaged {
        /// Where the frame begins.
        at: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// Who made it gave up.
    #[error("it was given up while it was made: {why}")]
    GivenUp {
        /// The reason.
        why: String,
    },
    /// It cannot be read or written at all.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes a backup.
pub(super) struct ArchiveWriter<W> {
    out: W,
    whole: Context,
    end: End,
    bytes: u64,
}

impl<W: Write> ArchiveWriter<W> {
    pub fn begin(out: W, head: &Head) -> io::Result<Self> {
        let mut writer = Self {
            out,
            whole: Context::new(&SHA256),
            end: End {
                ended: head.began,
                keys: BTreeMap::new(),
                changes: 0,
                files: 0,
                sha256: String::new(),
            },
            bytes: 0,
        };
        writer.raw(MAGIC)?;
        writer.json(HEAD, head)?;
        Ok(writer)
    }

    pub fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let mut form = Encoder::default();
        form.bytes(name.as_bytes());
        form.u32(mode);
        form.bytes(content);
        self.end.files += 1;
        self.frame(FILE, &form.0)
    }

    /// Writes what a tree holds; `between` is called after each frame.
    pub fn tree<E: From<io::Error>>(
        &mut self,
        database: &str,
        tree: &str,
        pairs: impl Iterator<Item = io::Result<(Vec<u8>, Vec<u8>)>>,
        mut between: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut slice = slice_of(database, tree);
        let (empty, mut count) = (slice.0.len(), 0);
        for pair in pairs {
            let (key, value) = pair?;
            slice.bytes(&key);
            slice.bytes(&value);
            count += 1;
            if slice.0.len() >= FRAME_BYTES {
                self.frame(SLICE, &slice.0)?;
                slice = slice_of(database, tree);
                between(self)?;
            }
        }
        if slice.0.len() > empty {
            self.frame(SLICE, &slice.0)?;
        }
        let trees = self.end.keys.entry(database.to_owned()).or_default();
        *trees.entry(tree.to_owned()).or_default() += count;
        between(self)
    }

    pub fn commit(&mut self, database: &str, trees: &[String], ops: &[Op]) -> io::Result<()> {
        let mut form = commit_of(database);
        for op in ops {
            form.bytes(trees[op.tree].as_bytes());
            form.bytes(&op.key);
            form.u8(u8::from(op.value.is_some()));
            form.bytes(op.value.as_deref().unwrap_or_default());
            self.end.changes += 1;
            if form.0.len() >= FRAME_BYTES {
                self.frame(COMMIT, &form.0)?;
                form = commit_of(database);
            }
        }
        self.frame(COMMIT, &form.0)
    }

    pub fn removed(&mut self, database: &str) -> io::Result<()> {
        let mut form = Encoder::default();
        form.bytes(database.as_bytes());
        self.end.changes += 1;
        self.frame(REMOVED, &form.0)
    }

    /// Ends the file, and answers with what it says of itself and its length in bytes.
    pub fn end(mut self, ended: UnixMs) -> io::Result<(End, u64)> {
        let digest = self.whole.clone().finish();
        let end = End {
            ended,
            sha256: hexadecimal(digest.as_ref()),
            ..self.end.clone()
        };
        self.json(END, &end)?;
        self.out.flush()?;
        Ok((end, self.bytes))
    }

    /// Says why there is no end.
    pub fn give_up(&mut self, why: &str) -> io::Result<()> {
        self.frame(GIVEN_UP, why.as_bytes())?;
        self.out.flush()
    }

    fn json(&mut self, kind: u8, value: &impl Serialize) -> io::Result<()> {
        let json = serde_json::to_vec(value)?;
        self.frame(kind, &json)
    }

    fn frame(&mut self, kind: u8, unpacked: &[u8]) -> io::Result<()> {
        let payload = zstd::bulk::compress(unpacked, LEVEL)?;
        let length = |bytes: &[u8]| {
            let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            Ok::<_, io::Error>(length.to_le_bytes())
        };
        let mut head = vec![kind];
        head.extend(length(unpacked)?);
        head.extend(length(&payload)?);
        head.extend(checksum(&head, &payload).to_le_bytes());
        self.raw(&head)?;
        self.raw(&payload)
    }

    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.whole.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

/// Reads a backup, frame by frame.
pub(super) struct ArchiveReader<R> {
    from: R,
    whole: Context,
    at: u64,
    done: bool,
}

impl<R: Read> ArchiveReader<R> {
    /// Begins to read, and answers with the head too.
    pub fn begin(from: R) -> Result<(Self, Head), ArchiveError> {
        let mut reader = Self {
            from,
            whole: Context::new(&SHA256),
            at: 0,
            done: false,
        };
        let mut magic = [0; MAGIC.len()];
        match reader.fill(&mut magic) {
            Err(ArchiveError::CutOff { .. }) => return Err(ArchiveError::Foreign),
            done => done?,
        }
        if magic != *MAGIC {
            return Err(ArchiveError::Foreign);
        }
        reader.whole.update(&magic);
        match reader.next()? {
            Some(Frame::Head(head)) if head.form > FORM => {
                Err(ArchiveError::Newer { found: head.form })
            }
            Some(Frame::Head(head)) => Ok((reader, head)),
            _ => Err(reader.damaged(0, "it does not begin with its head")),
        }
    }

    /// The next frame; none after the end, which has been compared with all before it then.
    pub fn next(&mut self) -> Result<Option<Frame>, ArchiveError> {
        if self.done {
            return Ok(None);
        }
        let began = self.at;
        let mut head = [0; 13];
        self.fill(&mut head)?;
        let number = |at: usize| {
            u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes are four"))
        };
        let (unpacked, packed) = (number(1) as usize, number(5) as usize);
        if unpacked > FRAME_MOST || packed > FRAME_MOST + FRAME_MOST / 8 {
            return Err(self.damaged(began, "a frame is larger than any may be"));
        }
        let mut payload = vec![0; packed];
        self.fill(&mut payload)?;
        if checksum(&head[..9], &payload) != number(9) {
            return Err(self.damaged(began, "its checksum is another"));
        }
        let bytes = zstd::bulk::decompress(&payload, unpacked)
            .map_err(|error| self.damaged(began, &error.to_string()))?;
        if head[0] == GIVEN_UP {
            let why = String::from_utf8_lossy(&bytes).into_owned();
            return Err(ArchiveError::GivenUp { why });
        }
        let frame = parse(head[0], &bytes).map_err(|problem| self.damaged(began, &problem))?;
        match &frame {
            Frame::End(end) => self.compare(began, end)?,
            _ => {
                self.whole.update(&head);
                self.whole.update(&payload);
            }
        }
        Ok(Some(frame))
    }

    fn compare(&mut self, began: u64, end: &End) -> Result<(), ArchiveError> {
        self.done = true;
        let digest = self.whole.clone().finish();
        if hexadecimal(digest.as_ref()) != end.sha256 {
            return Err(self.damaged(
                began,
                "its SHA-256 is another: frames are missing or changed",
            ));
        }
        let mut more = [0];
        match self.from.read(&mut more)? {
            0 => Ok(()),
            _ => Err(self.damaged(self.at, "something follows its end")),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        let filled = self.from.read_exact(bytes);
        filled.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveError::CutOff { at: self.at },
            _ => error.into(),
        })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn damaged(&self, at: u64, problem: &str) -> ArchiveError {
        ArchiveError::Damaged {
            at,
            problem: problem.to_owned(),
        }
    }
}

fn parse(kind: u8, bytes: &[u8]) -> Result<Frame, Problem> {
    let json_error = |error: serde_json::Error| error.to_string();
    let mut form = Decoder(bytes);
    match kind {
        HEAD => serde_json::from_slice(bytes)
            .map(Frame::Head)
            .map_err(json_error),
        END => serde_json::from_slice(bytes)
            .map(Frame::End)
            .map_err(json_error),
        FILE => Ok(Frame::File {
            name: text(&mut form)?,
            mode: form.u32()?,
            content: form.bytes()?.to_vec(),
        }),
        SLICE => Ok(Frame::Slice {
            database: text(&mut form)?,
            tree: text(&mut form)?,
            entries: rest(&mut form, |form| {
                Ok((form.bytes()?.to_vec(), form.bytes()?.to_vec()))
            })?,
        }),
        COMMIT => Ok(Frame::Commit {
            database: text(&mut form)?,
            changes: rest(&mut form, change)?,
        }),
        REMOVED => Ok(Frame::Removed {
            database: text(&mut form)?,
        }),
        other => Err(format!("its frame of kind {other} is unknown")),
    }
}

fn change(form: &mut Decoder<'_>) -> Result<Change, Problem> {
    let (tree, key, put) = (text(form)?, form.bytes()?.to_vec(), form.u8()? == 1);
    let value = form.bytes()?.to_vec();
    Ok(Change {
        tree,
        key,
        value: put.then_some(value),
    })
}

fn rest<T>(
    form: &mut Decoder<'_>,
    mut one: impl FnMut(&mut Decoder<'_>) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let mut all = Vec::new();
    while !form.is_empty() {
        all.push(one(form)?);
    }
    Ok(all)
}

fn text(form: &mut Decoder<'_>) -> Result<String, Problem> {
    String::from_utf8(form.bytes()?.to_vec()).map_err(|error| error.to_string())
}

fn slice_of(database: &str, tree: &str) -> Encoder {
    let mut form = Encoder::default();
    form.bytes(database.as_bytes());
    form.bytes(tree.as_bytes());
    form
}

fn commit_of(database: &str) -> Encoder {
    let mut form = Encoder::default();
    form.bytes(database.as_bytes());
    form
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Vec<u8> {
        let head = Head {
            form: FORM,
            collector: "1.2.3".to_owned(),
            schema: 1,
            began: UnixMs(5),
            authority: true,
        };
        let mut file = Vec::new();
        let mut writer = ArchiveWriter::begin(&mut file, &head).unwrap();
        writer
            .file("authority/authority.key", 0o600, b"secret")
            .unwrap();
        let pairs = (0..3000_u32).map(|n| Ok((n.to_be_bytes().to_vec(), vec![n as u8; 700])));
        writer
            .tree("hot", "log", pairs, |_| Ok::<(), io::Error>(()))
            .unwrap();
        let op = |key: u8, value: Option<Vec<u8>>| Op {
            tree: 0,
            key: vec![key],
            value,
        };
        let ops = [op(1, Some(vec![1])), op(2, None), op(3, Some(Vec::new()))];
        writer.commit("hot", &["log".to_owned()], &ops).unwrap();
        writer.removed("2026-W10").unwrap();
        let (end, bytes) = writer.end(UnixMs(6)).unwrap();
        assert_eq!((end.keys["hot"]["log"], end.changes), (3000, 4));
        assert_eq!(bytes, file.len() as u64);
        file
    }

    fn read(file: &[u8]) -> Result<Vec<Frame>, ArchiveError> {
        let (mut reader, _) = ArchiveReader::begin(file)?;
        std::iter::from_fn(|| reader.next().transpose()).collect()
    }

    #[test]
    fn what_was_written_comes_back_in_order() {
        let frames = read(&example()).unwrap();
        let slices = frames.iter().filter_map(|frame| match frame {
            Frame::Slice { entries, .. } => Some(entries.len()),
            _ => None,
        });
        let slices: Vec<usize> = slices.collect();
        assert!(
            slices.len() > 1 && slices.iter().sum::<usize>() == 3000,
            "{slices:?}"
        );
        let Some(
            [
                Frame::Commit { changes, .. },
                Frame::Removed { .. },
                Frame::End(_),
            ],
        ) = frames.last_chunk::<3>()
        else {
            panic!("another order");
        };
        let values: Vec<_> = changes.iter().map(|change| change.value.clone()).collect();
        assert_eq!(values, [Some(vec![1]), None, Some(Vec::new())]);
    }

    #[test]
    fn no_flipped_byte_goes_unnoticed() {
        let file = example();
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << (at % 8);
            assert!(read(&damaged).is_err(), "byte {at} of {}", file.len());
        }
    }

    #[test]
    fn neither_a_cut_nor_an_addition_nor_a_missing_frame_goes_unnoticed() {
        let file = example();
        for length in (0..file.len()).step_by(7) {
            assert!(read(&file[..length]).is_err(), "{length} bytes");
        }
        assert!(read(&[&file[..], b"x"].concat()).is_err());
        let packed =
            |at: usize| u32::from_le_bytes(file[at + 5..at + 9].try_into().unwrap()) as usize + 13;
        let second = MAGIC.len() + packed(MAGIC.len());
        let third = second + packed(second);
        let without = [&file[..second], &file[third..]].concat();
        let error = read(&without).unwrap_err().to_string();
        assert!(error.contains("SHA-256"), "{error}");
    }
}
