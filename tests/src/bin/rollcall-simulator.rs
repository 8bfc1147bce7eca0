//! The binary `rollcall-simulator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rollcall_tests::simulator::command::main()
}
