//! A spool's files in memory: for the crowd, whose spools need not survive the simulator.

use std::collections::BTreeMap;
use std::io;

use rollcall_agent::spool::files::Files;

/// Files of one flat folder that nobody else sees. How much they hold, the spool bounds.
#[derive(Debug, Default)]
pub struct MemoryFiles {
    files: BTreeMap<String, Vec<u8>>,
}

impl MemoryFiles {
    fn file(&self, name: &str) -> io::Result<&Vec<u8>> {
        self.files
            .get(name)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Files for MemoryFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.file(name).cloned()
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(self.file(name)?.len() as u64)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.files.entry(name.to_owned()).or_default();
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::StorageFull)?;
        let end = start + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::StorageFull)?;
        self.files
            .entry(name.to_owned())
            .or_default()
            .resize(length, 0);
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name).map(|_| ())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let file = self.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let removed = self.files.remove(name);
        removed
            .map(|_| ())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_agent::spool::{Spool, SpoolLimits};
    use rollcall_shared::id::Sequence;

    #[test]
    fn a_spool_works_over_it_and_stays_bounded() {
        let limits = SpoolLimits {
            bytes: 1,
            segment_bytes: 16 * 1024,
        };
        let (mut spool, _) = Spool::open_files(MemoryFiles::default(), limits).unwrap();
        for _ in 0..3000 {
            spool.append(&[7; 1000]).unwrap();
        }
        let stats = spool.stats();
        assert!(
            stats.dropped > 2000 && stats.bytes < 600 * 1024,
            "{stats:?}"
        );
        let oldest = spool.position().next;
        let records = spool.read_from(oldest, 5000).unwrap();
        assert_eq!(
            (records[0].sequence, records[0].payload.len()),
            (oldest, 1000)
        );
        spool.acknowledge(Sequence(3000)).unwrap();
        assert!(spool.read_from(Sequence(1), 5000).unwrap().is_empty());
        assert!(spool.stats().bytes < 64 * 1024, "{:?}", spool.stats());
    }
}
