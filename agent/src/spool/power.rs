//! Files whose power can be taken away between any two operations and in the midst of any write.
//!
//! What was not synced may be lost, in whole or in part: of the writes to a file a prefix survives,
//! the last of it torn; of the changes of names a prefix survives.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::files::Files;

/// A small generator for tests: xorshift64*.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(word).unwrap() % bound
    }
}

#[derive(Debug, Clone)]
enum Write {
    Bytes { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Debug, Clone)]
enum Naming {
    Link { name: String, node: usize },
    Unlink { name: String },
    Rename { from: String, to: String },
}

#[derive(Debug, Clone, Default)]
struct Node {
    durable: Vec<u8>,
    pending: Vec<Write>,
}

#[derive(Debug, Default)]
struct Disk {
    nodes: Vec<Node>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<Naming>,
    /// Operations that change something, until the power goes.
    operations_left: Option<usize>,
    capacity: Option<usize>,
}

/// Shared, so that a test keeps the disk while the spool that used it is gone.
#[derive(Debug, Clone, Default)]
pub struct PoweredFiles(Arc<Mutex<Disk>>);

impl PoweredFiles {
    /// The power goes after this many changing operations.
    pub fn cut_power_after(&self, operations: usize) {
        self.0.lock().unwrap().operations_left = Some(operations);
    }

    /// No more than this many bytes fit on the disk.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.0.lock().unwrap().capacity = bytes;
    }

    /// What is found on the disk when the power is back.
    pub fn after_power_loss(&self, dice: &mut Dice) -> Self {
        let disk = self.0.lock().unwrap();
        let mut names = disk.durable_names.clone();
        for naming in &disk.pending_names[..dice.below(disk.pending_names.len() + 1)] {
            apply_naming(&mut names, naming);
        }
        let nodes = disk.nodes.iter().map(|node| survive(node, dice)).collect();
        let survived = Disk {
            nodes,
            durable_names: names,
            ..Disk::default()
        };
        Self(Arc::new(Mutex::new(survived)))
    }

    /// Flips one bit of a file.
    pub fn flip(&self, name: &str, byte: usize, bit: u8) {
        let mut disk = self.0.lock().unwrap();
        let node = disk.names()[name];
        let mut bytes = disk.nodes[node].content();
        bytes[byte] ^= 1 << bit;
        disk.nodes[node] = Node {
            durable: bytes,
            pending: Vec::new(),
        };
    }

    /// An independent copy, all durable.
    pub fn copy(&self) -> Self {
        let disk = self.0.lock().unwrap();
        let nodes = disk.nodes.iter().map(|node| Node {
            durable: node.content(),
            pending: Vec::new(),
        });
        let copy = Disk {
            nodes: nodes.collect(),
            durable_names: disk.names(),
            ..Disk::default()
        };
        Self(Arc::new(Mutex::new(copy)))
    }

    /// Bytes of all files.
    pub fn used(&self) -> usize {
        self.0.lock().unwrap().used()
    }
}

impl Disk {
    fn names(&self) -> BTreeMap<String, usize> {
        let mut names = self.durable_names.clone();
        for naming in &self.pending_names {
            apply_naming(&mut names, naming);
        }
        names
    }

    fn node(&self, name: &str) -> io::Result<usize> {
        self.names()
            .get(name)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn used(&self) -> usize {
        self.names()
            .values()
            .map(|&node| self.nodes[node].content().len())
            .sum()
    }

    fn spend(&mut self) -> io::Result<()> {
        match &mut self.operations_left {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn write(&mut self, name: &str, write: Write) -> io::Result<()> {
        let node = if let Ok(node) = self.node(name) {
            node
        } else {
            self.nodes.push(Node::default());
            let node = self.nodes.len() - 1;
            self.pending_names.push(Naming::Link {
                name: name.to_owned(),
                node,
            });
            node
        };
        let before = self.nodes[node].content().len();
        self.nodes[node].pending.push(write);
        let grown = self.nodes[node].content().len() > before;
        if grown && self.capacity.is_some_and(|capacity| self.used() > capacity) {
            // As a real disk does, part of the bytes are written before the room ends.
            if let Some(Write::Bytes { bytes, .. }) = self.nodes[node].pending.last_mut() {
                bytes.truncate(bytes.len() / 2);
            }
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Node {
    fn content(&self) -> Vec<u8> {
        let mut content = self.durable.clone();
        for write in &self.pending {
            apply_write(&mut content, write);
        }
        content
    }
}

fn apply_write(content: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Bytes { offset, bytes } => {
            let end = offset + bytes.len();
            if !bytes.is_empty() && content.len() < end {
                content.resize(end, 0);
            }
            if !bytes.is_empty() {
                content[*offset..end].copy_from_slice(bytes);
            }
        }
        Write::Length(length) => content.resize(*length, 0),
    }
}

fn apply_naming(names: &mut BTreeMap<String, usize>, naming: &Naming) {
    match naming {
        Naming::Link { name, node } => {
            names.insert(name.clone(), *node);
        }
        Naming::Unlink { name } => {
            names.remove(name);
        }
        Naming::Rename { from, to } => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
    }
}

fn survive(node: &Node, dice: &mut Dice) -> Node {
    let mut content = node.durable.clone();
    let survivors = dice.below(node.pending.len() + 1);
    for write in &node.pending[..survivors] {
        apply_write(&mut content, write);
    }
    if let Some(Write::Bytes { offset, bytes }) = node.pending.get(survivors) {
        let kept = bytes[..dice.below(bytes.len() + 1)].to_vec();
        // Half of the time the length had reached the disk and the bytes had not.
        if dice.below(2) == 0 && content.len() < offset + bytes.len() && !kept.is_empty() {
            content.resize(offset + bytes.len(), 0);
        }
        apply_write(
            &mut content,
            &Write::Bytes {
                offset: *offset,
                bytes: kept,
            },
        );
    }
    Node {
        durable: content,
        pending: Vec::new(),
    }
}

impl Files for PoweredFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().names().into_keys().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let disk = self.0.lock().unwrap();
        Ok(disk.nodes[disk.node(name)?].content())
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(self.read(name)?.len() as u64)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let write = Write::Bytes {
            offset: usize::try_from(offset).unwrap(),
            bytes: bytes.to_vec(),
        };
        // The write under way when the power goes may reach the disk in part.
        let powered = disk.spend();
        if powered.is_ok() || disk.operations_left == Some(0) {
            disk.write(name, write)?;
        }
        powered
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.spend()?;
        disk.write(name, Write::Length(usize::try_from(length).unwrap()))
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.spend()?;
        let node = disk.node(name)?;
        disk.nodes[node] = Node {
            durable: disk.nodes[node].content(),
            pending: Vec::new(),
        };
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.spend()?;
        disk.node(from)?;
        disk.pending_names.push(Naming::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        });
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.spend()?;
        disk.node(name)?;
        disk.pending_names.push(Naming::Unlink {
            name: name.to_owned(),
        });
        Ok(())
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.spend()?;
        disk.durable_names = disk.names();
        disk.pending_names.clear();
        Ok(())
    }
}
