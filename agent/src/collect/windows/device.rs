//! Questions to drivers.

use std::ffi::c_void;

use windows::Win32::Foundation::{CloseHandle, GENERIC_READ, GENERIC_WRITE, HANDLE};
use windows::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAGS_AND_ATTRIBUTES, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING,
};
use windows::Win32::System::IO::DeviceIoControl;
use windows::core::PCWSTR;

/// An open device.
pub struct Device(HANDLE);

impl Device {
    /// Opens the device of a path that ends with a zero; without access, questions that need none are
    /// answered without waking a drive.
    ///
    /// # Errors
    /// What Windows says.
    #[expect(unsafe_code, reason = "kernel32's handles")]
    pub fn open(path: &[u16], with_access: bool) -> windows::core::Result<Self> {
        let access = if with_access {
            GENERIC_READ.0 | GENERIC_WRITE.0
        } else {
            0
        };
        debug_assert_eq!(path.last(), Some(&0), "the path ends with a zero");
        // SAFETY: the path ends with a zero.
        let handle = unsafe {
            CreateFileW(
                PCWSTR(path.as_ptr()),
                access,
                FILE_SHARE_READ | FILE_SHARE_WRITE,
                None,
                OPEN_EXISTING,
                FILE_FLAGS_AND_ATTRIBUTES(0),
                None,
            )?
        };
        Ok(Self(handle))
    }

    /// Asks a question whose answer is a structure of numbers; what the driver leaves out is zero.
    ///
    /// # Errors
    /// What Windows says.
    #[expect(unsafe_code, reason = "drivers read and write structures")]
    pub fn ask<Q: Copy, A: Answer>(&self, code: u32, question: &Q) -> windows::core::Result<A> {
        let mut answer = A::EMPTY;
        let mut bytes = 0;
        // SAFETY: both structures live for the call, which is told their sizes, and any bits are a valid
        // answer.
        unsafe {
            DeviceIoControl(
                self.0,
                code,
                Some(std::ptr::from_ref(question).cast::<c_void>()),
                size_of::<Q>() as u32,
                Some((&raw mut answer).cast()),
                size_of::<A>() as u32,
                Some(&raw mut bytes),
                None,
            )?;
        }
        Ok(answer)
    }
}

impl Drop for Device {
    #[expect(unsafe_code, reason = "kernel32's handles")]
    fn drop(&mut self) {
        // SAFETY: the handle was opened by this type and is closed once.
        let _ = unsafe { CloseHandle(self.0) };
    }
}

/// Structures of plain numbers, of which any bits are valid.
pub trait Answer: Copy {
    /// All of them zero.
    const EMPTY: Self;
}

impl Answer for u32 {
    const EMPTY: Self = 0;
}

impl<const N: usize> Answer for [u16; N] {
    const EMPTY: Self = [0; N];
}

impl<const N: usize> Answer for [u8; N] {
    const EMPTY: Self = [0; N];
}

impl Answer for windows::Win32::System::Power::BATTERY_INFORMATION {
    const EMPTY: Self = Self {
        Capabilities: 0,
        Technology: 0,
        Reserved: [0; 3],
        Chemistry: [0; 4],
        DesignedCapacity: 0,
        FullChargedCapacity: 0,
        DefaultAlert1: 0,
        DefaultAlert2: 0,
        CriticalBias: 0,
        CycleCount: 0,
    };
}

impl Answer for windows::Win32::System::Power::BATTERY_STATUS {
    const EMPTY: Self = Self {
        PowerState: 0,
        Capacity: 0,
        Voltage: 0,
        Rate: 0,
    };
}
