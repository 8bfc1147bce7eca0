//! Zeros that take no room on disk.
//!
//! The engine writes its file in segments of 512 KiB. What it has freed it fills with zeros whenever it
//! opens, and so it does with the rest of the segment that it goes on in: of a small database most is
//! zeros. A hole reads as zeros too, so nothing is different but the room. What is written into one
//! later takes room again, for which the store's reserve is there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes of a segment of the engine, as it is configured.
const SEGMENT: u64 = 512 * 1024;

/// Bytes of a page of the file system, as a rule; a part of one cannot be a hole.
const PAGE: u64 = 4096;

/// Makes holes of the zeros in the engine's file: of segments that are free, and of the end of the last.
/// It must not be written meanwhile. A file system that knows no holes leaves everything as it is.
pub(super) fn make(file: &File) -> io::Result<()> {
    let bytes = file.metadata()?.len();
    let mut segment = vec![0; SEGMENT as usize];
    for at in (0..bytes).step_by(SEGMENT as usize) {
        let size = SEGMENT.min(bytes - at);
        let is_last = at + size == bytes;
        let part = &mut segment[..size as usize];
        if !is_last && !is_free(file, at)? {
            continue;
        }
        file.read_exact_at(part, at)?;
        let used = part.iter().rposition(|byte| *byte != 0);
        let used = used
            .map_or(0, |last| last as u64 + 1)
            .next_multiple_of(PAGE);
        if used < size && (is_last || used == 0) && !dig(file, at + used, size - used) {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether a segment has no head: one that is used begins with its checksum and number.
fn is_free(file: &File, at: u64) -> io::Result<bool> {
    let mut head = [0; 20];
    file.read_exact_at(&mut head, at)?;
    Ok(head == [0; 20])
}

/// Whether there is a hole now.
#[cfg(target_os = "linux")]
fn dig(file: &File, at: u64, bytes: u64) -> bool {
    use rustix::fs::{FallocateFlags, fallocate};
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(file, hole, at, bytes).is_ok()
}

#[cfg(not(target_os = "linux"))]
const fn dig(_: &File, _: u64, _: u64) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn zeros_take_no_room_and_nothing_else_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let segment = SEGMENT as usize;
        let mut bytes = vec![0; 4 * segment - 1];
        // The second is free; the third has zeros within; the last has its end free.
        bytes[..segment].fill(1);
        bytes[2 * segment] = 1;
        bytes[3 * segment - 1] = 1;
        bytes[3 * segment + 5000] = 1;
        std::fs::write(&path, &bytes).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        file.sync_all().unwrap();
        let before = file.metadata().unwrap().blocks() * 512;
        make(&file).unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes);
        let after = file.metadata().unwrap().blocks() * 512;
        if cfg!(target_os = "linux") {
            assert!(
                before - after >= 2 * SEGMENT - 3 * PAGE,
                "{before} bytes became {after}"
            );
        }
    }
}
