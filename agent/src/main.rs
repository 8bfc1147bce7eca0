//! The binary `rollcall-agent`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rollcall_agent::command::main()
}
