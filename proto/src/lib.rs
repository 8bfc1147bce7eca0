//! The wire: generated code, and the one place where it meets the domain's types.
//!
//! Messages are versioned by package; fields are only ever added.

pub mod convert;

/// The generated messages and services of `rollcall.v1`.
#[allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications)]
pub mod v1 {
    tonic::include_proto!("rollcall.v1");
}

/// The description of `rollcall.v1` as an encoded `FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rollcall.v1.bin"));
