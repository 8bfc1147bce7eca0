//! Users on the command line. A password comes from a file or the standard input, never from the command
//! line, which other users of the machine can read.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use rollcall_shared::id::Label;

use super::parse_role;
use crate::control::Request;
use crate::store::Role;
use crate::user::{MOST, Password};

/// Bytes of a password with the end of its line.
const PASSWORD_BYTES: u64 = MOST as u64 * 4 + 2;

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make one
    Add {
        /// The name, such as anna or anna@school.example
        name: String,
        #[command(flatten)]
        powers: Powers,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List them
    List,
    /// Let one in no longer, and end their sessions
    Remove {
        /// The name
        name: String,
    },
    /// Set a new password, and end the user's sessions
    Passwd {
        /// The name
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Change what one may do and see
    Role {
        /// The name
        name: String,
        #[command(flatten)]
        powers: Powers,
    },
}

#[derive(Debug, Args)]
pub(super) struct Powers {
    /// What they may do: viewer, technician or admin
    #[arg(long, value_parser = parse_role)]
    role: Role,
    /// A site that they may see, all without this; may be given more than once
    #[arg(long)]
    site: Vec<Label>,
}

#[derive(Debug, Args)]
pub(super) struct PasswordArgs {
    /// A file with the password; without it the standard input is read
    #[arg(long)]
    password_file: Option<PathBuf>,
}

impl TryFrom<UserCommand> for Request {
    type Error = anyhow::Error;

    fn try_from(command: UserCommand) -> anyhow::Result<Self> {
        Ok(match command {
            UserCommand::Add {
                name,
                powers,
                password,
            } => Self::UserAdd {
                name,
                role: powers.role,
                sites: powers.site,
                password: password.read()?,
            },
            UserCommand::List => Self::UserList,
            UserCommand::Remove { name } => Self::UserRemove { name },
            UserCommand::Passwd { name, password } => Self::UserPassword {
                name,
                password: password.read()?,
            },
            UserCommand::Role { name, powers } => Self::UserRole {
                name,
                role: powers.role,
                sites: powers.site,
            },
        })
    }
}

impl PasswordArgs {
    fn read(&self) -> anyhow::Result<Password> {
        match &self.password_file {
            Some(file) => from_file(file),
            None => from_input(),
        }
    }
}

fn from_file(file: &Path) -> anyhow::Result<Password> {
    let place = file.display();
    let opened = std::fs::File::open(file).with_context(|| format!("`--password-file {place}`"))?;
    from_reader(opened).with_context(|| format!("`--password-file {place}`"))
}

fn from_input() -> anyhow::Result<Password> {
    let input = std::io::stdin();
    if input.is_terminal() {
        bail!(
            "what is typed here would be seen: give `--password-file FILE`, or the password on the \
             standard input, such as by `systemd-ask-password | rollcall-collector user …`"
        );
    }
    from_reader(input.lock()).context("the password on the standard input")
}

fn from_reader(reader: impl std::io::Read) -> anyhow::Result<Password> {
    let mut text = String::new();
    reader.take(PASSWORD_BYTES + 1).read_to_string(&mut text)?;
    ensure!(
        text.len() as u64 <= PASSWORD_BYTES,
        "it has more than {MOST} characters"
    );
    Ok(Password::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_without_the_end_of_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "correct horse battery\n").unwrap();
        let args = PasswordArgs {
            password_file: Some(file.clone()),
        };
        assert_eq!(args.read().unwrap().expose(), "correct horse battery");
        std::fs::write(&file, "x".repeat(5000)).unwrap();
        let error = format!("{:#}", args.read().unwrap_err());
        assert!(
            error.contains("password-file") && error.contains("256"),
            "{error}"
        );
        std::fs::remove_file(&file).unwrap();
        assert!(format!("{:#}", args.read().unwrap_err()).contains("password-file"));
    }
}
