//! A real SMTP server that keeps its mail in a folder and fails when a story tells it to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::patience::{PATIENCE, eventually};
use super::pki::Pki;
use super::process::Process;

const SERVER: &str = include_str!("smtp_server.py");

/// The account that the server accepts.
pub const USER: &str = "collector";

/// The password of [`USER`].
pub const PASSWORD: &str = "a password for tests";

/// A running mail server with STARTTLS and authentication.
#[derive(Debug)]
pub struct MailServer {
    folder: PathBuf,
    process: Process,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

/// A message as it was accepted.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Everything, header and body.
    pub text: String,
}

impl MailServer {
    /// Starts a server whose files lie in `<folder>/mail`.
    ///
    /// # Panics
    /// When aiosmtpd is not installed, or the server does not start.
    #[must_use]
    pub fn start(folder: &Path, pki: &Pki) -> Self {
        Self::start_on(folder, pki, 0)
    }

    /// Starts it on a port that an earlier one had.
    ///
    /// # Panics
    /// As [`MailServer::start`].
    #[must_use]
    pub fn start_on(folder: &Path, pki: &Pki, port: u16) -> Self {
        Self::start_with(folder, pki, port, &[])
    }

    /// Starts one that speaks TLS from the first byte on, as on port 465.
    ///
    /// # Panics
    /// As [`MailServer::start`].
    #[must_use]
    pub fn start_implicit(folder: &Path, pki: &Pki) -> Self {
        Self::start_with(folder, pki, 0, &["--implicit-tls"])
    }

    fn start_with(folder: &Path, pki: &Pki, port: u16, more: &[&str]) -> Self {
        let folder = folder.join("mail");
        fs::create_dir_all(&folder).expect("a folder can be made");
        let script = folder.join("smtp_server.py");
        fs::write(&script, SERVER).expect("the server can be written");
        fs::write(folder.join("password"), PASSWORD).expect("the password can be written");
        let _ = fs::remove_file(folder.join("port"));
        let mut command = Command::new(python());
        command.arg(&script).arg("--folder").arg(&folder);
        command
            .arg("--certificate")
            .arg(&pki.certificate)
            .arg("--key")
            .arg(&pki.key);
        command
            .args(["--user", USER, "--password-file"])
            .arg(folder.join("password"));
        command.args(["--port", &port.to_string()]).args(more);
        let mut process = Process::start("smtp", &folder, &mut command);
        let port = eventually("the mail server", PATIENCE, || {
            if let Some(status) = process.ended() {
                panic!("the mail server ended with {status}: {}", process.log());
            }
            let text = fs::read_to_string(folder.join("port")).map_err(|e| e.to_string())?;
            text.trim().parse().map_err(|_| text)
        });
        Self {
            folder,
            process,
            port,
        }
    }

    /// What it answers to the next messages: `451`, `554`, `drop`, `slow`; afterwards it accepts.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn answer(&self, answers: &[&str]) {
        let new = self.folder.join("answers.story");
        fs::write(&new, answers.join("\n") + "\n").expect("answers can be written");
        fs::rename(&new, self.folder.join("answers")).expect("answers can be put in place");
    }

    /// What was answered to each message that was offered, in order.
    #[must_use]
    pub fn offers(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("offers")).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// What was accepted, in order.
    ///
    /// # Panics
    /// When the folder cannot be read.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        read_mails(&self.folder, |name| name.ends_with(".eml"))
    }

    /// Ends the server; what it accepted stays.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

/// Reads every message of a folder, in the order of their names.
pub(super) fn read_mails(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<Mail> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| wanted(&file.file_name().unwrap_or_default().to_string_lossy()));
    files.sort();
    let read = |file: &PathBuf| {
        let bytes = fs::read(file).unwrap_or_default();
        Mail {
            text: String::from_utf8_lossy(&bytes).replace("\r\n", "\n"),
        }
    };
    files.iter().map(read).collect()
}

impl Mail {
    /// A header's content on one line, without regard to case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let (head, _) = self.text.split_once("\n\n")?;
        let unfolded = head.replace("\n ", " ").replace("\n\t", " ");
        unfolded.lines().find_map(|line| {
            let (key, content) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| content.trim().to_owned())
        })
    }
}

/// The Python that has aiosmtpd.
fn python() -> PathBuf {
    let python = super::repository().join(".venv/bin/python");
    assert!(
        python.is_file(),
        "no {}: run `tests/run`, which makes it",
        python.display()
    );
    python
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folded_header_is_one_line() {
        let text = "Subject: Battery\n worn\nMessage-ID: <a@b>\n\nSubject: not this".to_owned();
        let mail = Mail { text };
        assert_eq!(mail.header("subject").as_deref(), Some("Battery worn"));
        assert_eq!(mail.header("References"), None);
    }
}
