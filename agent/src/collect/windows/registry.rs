//! Values of HKEY_LOCAL_MACHINE, as a 64-bit program sees them.

use windows::Win32::System::Registry::{
    HKEY, HKEY_LOCAL_MACHINE, KEY_QUERY_VALUE, REG_ROUTINE_FLAGS, RRF_RT_REG_DWORD, RRF_RT_REG_SZ,
    RegCloseKey, RegGetValueW, RegOpenKeyExW,
};
use windows::core::HSTRING;

use super::text_of;
use crate::collect::source::Sourced;

/// Units of the longest text that is read; names of products and processors have some dozens.
const TEXT_UNITS: usize = 512;

/// A text.
///
/// # Errors
/// Why there is none.
pub fn text(key: &str, value: &str) -> Sourced<String> {
    let mut buffer = [0_u16; TEXT_UNITS];
    get(key, value, RRF_RT_REG_SZ, &mut buffer)?;
    Ok(text_of(&buffer))
}

/// A number of 32 bits.
///
/// # Errors
/// Why there is none.
pub fn number(key: &str, value: &str) -> Sourced<u32> {
    let mut buffer = [0_u16; 2];
    get(key, value, RRF_RT_REG_DWORD, &mut buffer)?;
    Ok(u32::from(buffer[1]) << 16 | u32::from(buffer[0]))
}

/// Whether there is such a key.
#[expect(unsafe_code, reason = "advapi32")]
pub fn has_key(key: &str) -> bool {
    let mut opened = HKEY::default();
    // SAFETY: the name ends with a zero, and the place is valid for the call.
    let code = unsafe {
        RegOpenKeyExW(
            HKEY_LOCAL_MACHINE,
            &HSTRING::from(key),
            None,
            KEY_QUERY_VALUE,
            &raw mut opened,
        )
    };
    if code.is_ok() {
        // SAFETY: it was opened above.
        let _ = unsafe { RegCloseKey(opened) };
    }
    code.is_ok()
}

#[expect(unsafe_code, reason = "advapi32")]
fn get(key: &str, value: &str, kind: REG_ROUTINE_FLAGS, buffer: &mut [u16]) -> Sourced<()> {
    let mut bytes = size_of_val(buffer) as u32;
    // SAFETY: names end with a zero, and the buffer has the length that is told.
    let code = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            &HSTRING::from(key),
            &HSTRING::from(value),
            kind,
            None,
            Some(buffer.as_mut_ptr().cast()),
            Some(&raw mut bytes),
        )
    };
    if code.is_ok() {
        return Ok(());
    }
    Err(format!("the registry has no {value} ({})", code.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_build_and_no_nonsense() {
        let key = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
        assert!(text(key, "CurrentBuild").unwrap().parse::<u32>().is_ok());
        assert!(has_key(key) && !has_key(r"SOFTWARE\Rollcall\Absent"));
        assert!(number(key, "Absent").unwrap_err().contains("no Absent"));
    }
}
