//! Fixed drives with letters: size, free space, type, and whether one was mounted read-only.

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use crate::collect::source::{self, Sourced};

/// A volume with a letter.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// The letter and a colon.
    pub name: String,
    /// What `GetVolumeInformationW` says; an encrypted volume that is locked says nothing.
    pub kind: Sourced<Kind>,
    /// (all bytes, bytes that can still be filled).
    pub space: Sourced<(u64, u64)>,
}

/// Type and flags of a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Such as `NTFS`.
    pub name: String,
    /// `FILE_READ_ONLY_VOLUME`.
    pub read_only: bool,
}

/// What is reported of the volumes.
#[must_use]
pub fn readings(volumes: &[Volume]) -> Vec<Reading> {
    if volumes.is_empty() {
        let why = "Windows lists no fixed drive";
        return vec![Reading::unavailable(
            &metric::FILESYSTEM_UTILIZATION,
            "",
            why,
        )];
    }
    volumes.iter().flat_map(of_volume).collect()
}

fn of_volume(volume: &Volume) -> Vec<Reading> {
    let name = &volume.name;
    let bytes = volume.space.clone().map(|space| space.0 as f64);
    let free = volume.space.clone().map(|space| space.1 as f64);
    let used = volume.space.clone().and_then(|(all, free)| {
        if all == 0 {
            return Err("its size is zero".to_owned());
        }
        Ok((1.0 - free as f64 / all as f64).clamp(0.0, 1.0))
    });
    let kind = volume.kind.clone();
    vec![
        source::number_or_why(&metric::FILESYSTEM_LIMIT, name, bytes),
        source::number_or_why(&metric::FILESYSTEM_FREE, name, free),
        source::number_or_why(&metric::FILESYSTEM_UTILIZATION, name, used),
        source::flag_or_why(
            &metric::FILESYSTEM_READ_ONLY,
            name,
            kind.clone().map(|kind| kind.read_only),
        ),
        source::text_or_why(
            &metric::FILESYSTEM_TYPE,
            name,
            kind.map(|kind| kind.name.to_ascii_lowercase()),
        ),
    ]
}

/// The letters of a mask as `GetLogicalDrives` gives it.
pub fn letters(mask: u32) -> impl Iterator<Item = char> {
    ('A'..='Z')
        .enumerate()
        .filter(move |(bit, _)| mask & (1 << bit) != 0)
        .map(|(_, letter)| letter)
}

#[cfg(windows)]
pub use self::native::read;

#[cfg(windows)]
mod native {
    use rollcall_shared::reading::Reading;
    use windows::Win32::Storage::FileSystem::{
        GetDiskFreeSpaceExW, GetDriveTypeW, GetLogicalDrives, GetVolumeInformationW,
    };
    use windows::core::HSTRING;

    use super::{Kind, Volume, letters, readings};
    use crate::collect::source::Sourced;
    use crate::collect::windows::{failed, text_of};

    /// `DRIVE_FIXED` of winbase.h: neither removable, nor a network's, nor optical.
    const FIXED: u32 = 3;

    /// `FILE_READ_ONLY_VOLUME` of winnt.h.
    const READ_ONLY: u32 = 0x0008_0000;

    /// Reads every fixed drive.
    #[expect(unsafe_code, reason = "kernel32")]
    pub fn read() -> Vec<Reading> {
        // SAFETY: it takes nothing.
        let mask = unsafe { GetLogicalDrives() };
        let volumes: Vec<Volume> = letters(mask).filter_map(volume).collect();
        readings(&volumes)
    }

    #[expect(unsafe_code, reason = "kernel32")]
    fn volume(letter: char) -> Option<Volume> {
        let root = HSTRING::from(format!("{letter}:\\"));
        // SAFETY: the text ends with a zero.
        let is_fixed = unsafe { GetDriveTypeW(&root) } == FIXED;
        is_fixed.then(|| Volume {
            name: format!("{letter}:"),
            kind: kind(&root),
            space: space(&root),
        })
    }

    #[expect(unsafe_code, reason = "kernel32")]
    fn kind(root: &HSTRING) -> Sourced<Kind> {
        let (mut name, mut flags) = ([0; 64], 0);
        // SAFETY: places and buffer are valid for the call.
        unsafe {
            GetVolumeInformationW(
                root,
                None,
                None,
                None,
                Some(&raw mut flags),
                Some(&mut name),
            )
        }
        .map_err(|error| failed("GetVolumeInformationW", &error))?;
        Ok(Kind {
            name: text_of(&name),
            read_only: flags & READ_ONLY != 0,
        })
    }

    #[expect(unsafe_code, reason = "kernel32")]
    fn space(root: &HSTRING) -> Sourced<(u64, u64)> {
        let (mut available, mut all) = (0, 0);
        // SAFETY: the places are valid for the call.
        unsafe { GetDiskFreeSpaceExW(root, Some(&raw mut available), Some(&raw mut all), None) }
            .map_err(|error| failed("GetDiskFreeSpaceExW", &error))?;
        Ok((all, available))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, value};

    #[test]
    fn a_full_drive_a_locked_one_and_none() {
        let full = Volume {
            name: "C:".to_owned(),
            kind: Ok(Kind {
                name: "NTFS".to_owned(),
                read_only: false,
            }),
            space: Ok((1000, 50)),
        };
        let locked = Volume {
            name: "D:".to_owned(),
            kind: Err("locked by BitLocker".to_owned()),
            space: Err("locked by BitLocker".to_owned()),
        };
        let readings = readings(&[full, locked]);
        assert_eq!(
            number(&readings, "system.filesystem.utilization", "C:"),
            Some(0.95)
        );
        assert_eq!(value(&readings, "system.filesystem.type", "C:"), "ntfs");
        assert_eq!(value(&readings, "system.filesystem.read_only", "C:"), "no");
        assert_eq!(
            value(&readings, "system.filesystem.utilization", "D:"),
            "unavailable: locked by BitLocker"
        );
        let none = super::readings(&[]);
        assert!(value(&none, "system.filesystem.utilization", "").contains("no fixed drive"));
        assert_eq!(letters(0b1101).collect::<String>(), "ACD");
    }
}
