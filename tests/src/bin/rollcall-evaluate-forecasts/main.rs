//! Prints how well the forecasts do on recorded histories of drives and batteries.
//!
//! The histories are not part of the repository: ROLLCALL_DATA names their folder, `../shared/data`
//! where it is not set. Drives are split by their serial: what was fitted on one half is reported on
//! the other.

mod batteries;
mod drives;
mod score;
mod table;

use std::path::PathBuf;

use anyhow::Result;

fn main() -> Result<()> {
    let Some(folder) = data_folder() else {
        println!("no recorded histories: set ROLLCALL_DATA to their folder");
        return Ok(());
    };
    print!("{}", drives::report(&folder.join("drives"))?);
    print!("{}", batteries::report(&folder.join("battery"))?);
    Ok(())
}

/// The folder of the recorded histories, where it is there.
fn data_folder() -> Option<PathBuf> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("ROLLCALL_DATA").map_or_else(default, PathBuf::from);
    folder.is_dir().then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures that the documentation promises, on the half of the drives that nothing was fitted
    /// on. Without the histories there is nothing to check.
    #[test]
    fn the_drive_card_keeps_what_it_promises() {
        let Some(folder) = data_folder() else {
            println!("skipped: set ROLLCALL_DATA to the folder of recorded histories");
            return;
        };
        let fleet = drives::backblaze(&folder.join("drives")).unwrap();
        let reported: Vec<_> = fleet.iter().filter(|drive| !drive.fitted).collect();
        let score = score::score(
            &reported,
            rollcall_collector::evaluate::forecast::drive::FAILING,
        );
        assert!(score.recall() > 0.50, "{score:?}");
        assert!(score.precision() > 0.63, "{score:?}");
        assert!(score.false_alarms_per_year() < 0.012, "{score:?}");
    }
}
