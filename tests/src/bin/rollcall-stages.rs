//! Measures the collector's stages in one process, without a network.

use std::process::ExitCode;

fn main() -> ExitCode {
    rollcall_tests::stages::main()
}
