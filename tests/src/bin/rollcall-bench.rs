//! The binary `rollcall-bench`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rollcall_tests::bench::main()
}
