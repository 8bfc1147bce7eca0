//! Who may enter the data folder on Windows: the system and administrators, and nobody else.
//!
//! `%ProgramData%` lets every user make folders in it, so one that is there already may be a pupil's, who
//! as its owner could open it again. Such a folder is refused.

use std::ffi::c_void;
use std::io;
use std::os::windows::ffi::OsStrExt as _;
use std::path::Path;

use windows::Win32::Foundation::{CloseHandle, HANDLE, HLOCAL, LocalFree};
use windows::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, GetNamedSecurityInfoW, SDDL_REVISION_1,
    SE_FILE_OBJECT, SetNamedSecurityInfoW,
};
use windows::Win32::Security::{
    ACL, DACL_SECURITY_INFORMATION, EqualSid, GetSecurityDescriptorDacl, GetTokenInformation,
    IsWellKnownSid, OWNER_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION,
    PSECURITY_DESCRIPTOR, PSID, TOKEN_QUERY, TOKEN_USER, TokenUser, WinBuiltinAdministratorsSid,
    WinLocalSystemSid,
};
use windows::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};
use windows::core::{BOOL, PCWSTR, w};

/// Full control for SYSTEM and Administrators, inherited by all that lies below; nothing is inherited from
/// above.
const PRIVATE: PCWSTR = w!("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)");

/// Bytes that a token's user takes at most: a pointer, flags and the longest identifier.
const TOKEN_USER_BYTES: usize = 256;

/// Closes the folder to all but the system and administrators.
///
/// # Errors
/// `PermissionDenied` where the folder is another user's, or where the caller may not do it.
pub fn keep_private(folder: &Path) -> io::Result<()> {
    let name: Vec<u16> = folder.as_os_str().encode_wide().chain([0]).collect();
    let name = PCWSTR(name.as_ptr());
    if !is_ours(name)? {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it was made by another user, who could read it; remove it, or name another by --data",
        ));
    }
    set_private(name)
}

/// Memory that a Windows call has allocated for its caller.
struct Descriptor(PSECURITY_DESCRIPTOR);

impl Drop for Descriptor {
    #[expect(unsafe_code, reason = "Windows asks its caller to free the descriptor")]
    fn drop(&mut self) {
        // SAFETY: the descriptor was allocated by LocalAlloc, and nothing refers to it any more.
        unsafe { LocalFree(Some(HLOCAL(self.0.0))) };
    }
}

#[expect(
    unsafe_code,
    reason = "security descriptors are read by Windows' own functions"
)]
fn is_ours(name: PCWSTR) -> io::Result<bool> {
    let mut owner = PSID::default();
    let mut descriptor = PSECURITY_DESCRIPTOR::default();
    // SAFETY: the name ends with a zero, and the two places are valid for the call.
    let read = unsafe {
        GetNamedSecurityInfoW(
            name,
            SE_FILE_OBJECT,
            OWNER_SECURITY_INFORMATION,
            Some(&raw mut owner),
            None,
            None,
            None,
            &raw mut descriptor,
        )
    };
    read.ok()?;
    let _descriptor = Descriptor(descriptor);
    // SAFETY: the owner lies in the descriptor, which lives until the end of this function.
    let is_systems = unsafe {
        IsWellKnownSid(owner, WinLocalSystemSid).as_bool()
            || IsWellKnownSid(owner, WinBuiltinAdministratorsSid).as_bool()
    };
    Ok(is_systems || is_this_user(owner)?)
}

#[expect(
    unsafe_code,
    reason = "the process's token is read by Windows' own functions"
)]
fn is_this_user(sid: PSID) -> io::Result<bool> {
    let mut token = HANDLE::default();
    // SAFETY: the handle of the process needs no closing; the token's is closed below.
    unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token)? };
    // Aligned as the structure needs it.
    let mut buffer = [0_u64; TOKEN_USER_BYTES / 8];
    let place: *mut c_void = buffer.as_mut_ptr().cast();
    let mut length = 0;
    // SAFETY: the buffer has the length that is told.
    let read = unsafe {
        GetTokenInformation(
            token,
            TokenUser,
            Some(place),
            TOKEN_USER_BYTES as u32,
            &raw mut length,
        )
    };
    // SAFETY: the token was opened above.
    let _ = unsafe { CloseHandle(token) };
    read?;
    // SAFETY: the call filled the buffer with this structure; its identifier lies behind it.
    let user = unsafe { (*place.cast::<TOKEN_USER>()).User.Sid };
    // SAFETY: both are valid identifiers.
    Ok(unsafe { EqualSid(user, sid) }.is_ok())
}

#[expect(
    unsafe_code,
    reason = "security descriptors are made by Windows' own functions"
)]
fn set_private(name: PCWSTR) -> io::Result<()> {
    let mut descriptor = PSECURITY_DESCRIPTOR::default();
    // SAFETY: the text ends with a zero, and the place is valid for the call.
    unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            PRIVATE,
            SDDL_REVISION_1,
            &raw mut descriptor,
            None,
        )?;
    }
    let descriptor = Descriptor(descriptor);
    let (mut is_present, mut is_default) = (BOOL::default(), BOOL::default());
    let mut list: *mut ACL = std::ptr::null_mut();
    // SAFETY: the descriptor is valid, and the list lies in it until the end of this function.
    let set = unsafe {
        GetSecurityDescriptorDacl(
            descriptor.0,
            &raw mut is_present,
            &raw mut list,
            &raw mut is_default,
        )?;
        SetNamedSecurityInfoW(
            name,
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION,
            None,
            None,
            Some(list),
            None,
        )
    };
    Ok(set.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_ones_own_is_closed_and_goes_on_to_be_used() {
        let folder = tempfile::tempdir().unwrap();
        keep_private(folder.path()).unwrap();
        std::fs::write(folder.path().join("key"), "secret").unwrap();
        assert_eq!(std::fs::read(folder.path().join("key")).unwrap(), b"secret");
        assert!(keep_private(&folder.path().join("absent")).is_err());
    }
}
