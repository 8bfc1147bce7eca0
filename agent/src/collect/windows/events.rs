//! How often the system's event log knows of something. Events are counted and never read.

use windows::Win32::System::EventLog::{
    EVT_HANDLE, EvtClose, EvtNext, EvtQuery, EvtQueryChannelPath,
};
use windows::core::{HSTRING, w};

use super::failed;
use crate::collect::source::Sourced;

/// Events that are counted at most; a log of 20 MB holds some ten thousand of any kind.
const MOST: usize = 10_000;

/// How many are fetched at once.
const BATCH: usize = 64;

/// `ERROR_NO_MORE_ITEMS` as an HRESULT.
const NO_MORE: i32 = 0x8007_0103_u32.cast_signed();

/// Counts the events of the log `System` by a provider and a number.
///
/// # Errors
/// Why the log could not be asked.
#[expect(unsafe_code, reason = "wevtapi's handles")]
pub fn count(provider: &str, event: u32) -> Sourced<f64> {
    let query = format!("*[System[Provider[@Name='{provider}'] and (EventID={event})]]");
    // SAFETY: the texts end with a zero.
    let found = unsafe {
        EvtQuery(
            None,
            w!("System"),
            &HSTRING::from(query),
            EvtQueryChannelPath.0,
        )
    };
    let found = Handle(found.map_err(|error| failed("the event log", &error))?);
    let mut count = 0;
    while count < MOST {
        let (mut events, mut fetched) = ([0; BATCH], 0);
        // SAFETY: the places are valid for the call.
        match unsafe { EvtNext(found.0, &mut events, 0, 0, &raw mut fetched) } {
            Ok(()) => {}
            Err(error) if error.code().0 == NO_MORE => break,
            Err(error) => return Err(failed("the event log", &error)),
        }
        if fetched == 0 {
            break;
        }
        for event in events.iter().take(fetched as usize) {
            drop(Handle(EVT_HANDLE(*event)));
            count += 1;
        }
    }
    Ok(count as f64)
}

struct Handle(EVT_HANDLE);

impl Drop for Handle {
    #[expect(unsafe_code, reason = "wevtapi's handles")]
    fn drop(&mut self) {
        // SAFETY: the handle was given by EvtQuery or EvtNext and is closed once.
        let _ = unsafe { EvtClose(self.0) };
    }
}
