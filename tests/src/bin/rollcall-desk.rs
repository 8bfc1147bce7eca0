//! A month of simulated school life at the desk, in figures.

use std::process::ExitCode;

fn main() -> ExitCode {
    rollcall_tests::desk::figures::main()
}
