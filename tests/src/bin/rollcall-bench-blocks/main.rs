//! Measures what a sample costs in a block: bytes on disk, processor time to pack and to unpack, for
//! the store's own form and for others that were tried.
//!
//! The series are the simulator's, and recorded ones from the folder in ROLLCALL_DATA (by default
//! `../shared/data`) where it is there. `--json FILE` writes the figures too, `--laptops N` says how
//! many laptops are simulated.

mod candidates;
mod figures;
mod ideal;
mod recorded;
mod simulated;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use rollcall_collector::store::block::Column;

use candidates::CANDIDATES;
use figures::Figures;

/// Bytes and processor time of a sample in a block.
#[derive(Debug, Parser)]
struct Options {
    /// Laptops to simulate.
    #[arg(long, default_value_t = 100)]
    laptops: u32,
    /// Where to write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Devices with their series over one span, as a store seals them.
struct Subject {
    /// A word for the JSON keys.
    name: &'static str,
    /// What it is.
    about: &'static str,
    /// What goes into one block each.
    blocks: Vec<Vec<Column>>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut subjects = simulated::subjects(options.laptops);
    match recorded::folder() {
        Some(folder) => subjects.extend(recorded::subjects(&folder)?),
        None => println!("no recorded series: set ROLLCALL_DATA to their folder"),
    }
    let mut json = serde_json::Map::new();
    for subject in subjects {
        println!("\n{}: {}", subject.name, subject.about);
        println!("{}", Figures::HEADER);
        for candidate in CANDIDATES {
            let figures = Figures::of(candidate, &subject.blocks)?;
            println!("{figures}");
            let key = format!("{}_{}", subject.name, candidate.name);
            json.insert(key, figures.json());
        }
        let ideal = ideal::bytes_per_sample(&subject.blocks);
        println!("a coder of single numbers that cost nothing itself: {ideal:.3} bytes a sample");
        json.insert(format!("{}_ideal", subject.name), ideal.into());
    }
    if let Some(path) = options.json {
        let text = serde_json::to_string_pretty(&json)?;
        std::fs::write(&path, text)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}
