//! How `tests/bench` and its measuring programs take turns: the program says `ready`, waits for
//! `go`, says what it saw, and waits for the end of its input. Whoever counts processor time in
//! between counts what was measured, and nothing of what went before.

use std::io::BufRead as _;

use serde::Serialize;

/// The other side: standard input and output.
pub(super) struct Conversation;

impl Conversation {
    /// Says a line.
    pub fn say(what: &impl Serialize) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string(what)?);
        Ok(())
    }

    /// Waits for the next line; whether there was one.
    pub async fn heard() -> anyhow::Result<bool> {
        let read = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line)
        });
        Ok(read.await?? > 0)
    }
}
