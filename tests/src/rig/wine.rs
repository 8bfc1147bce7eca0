//! The agent for Windows, under Wine: its prefix, its service manager, its paths.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::process::{self, Finished};
use super::{copy_tree, program};

/// How long a Windows program may take; Wine starts in a second or two on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A prefix of a story's own, whose services live until the story ends.
#[derive(Debug)]
pub struct Wine {
    prefix: PathBuf,
    agent: PathBuf,
    launcher: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Wine {
    /// A copy of the prefix that `tests/run` has prepared, with the agent that it has built.
    ///
    /// # Errors
    /// Why there is none on this machine.
    pub fn start(folder: &Path) -> Result<Self, String> {
        Self::start_by(folder, Vec::new(), &[])
    }

    /// The same, with all its programs started by way of another, and with variables of their own.
    ///
    /// # Errors
    /// Why there is none on this machine.
    pub fn start_by(
        folder: &Path,
        launcher: Vec<String>,
        environment: &[(&str, &str)],
    ) -> Result<Self, String> {
        let of = |name: &str| {
            let path = std::env::var_os(name).map(PathBuf::from);
            path.filter(|path| path.exists())
                .ok_or_else(|| "`tests/run windows` has prepared nothing for it".to_owned())
        };
        if program("wine").is_none() {
            return Err("`wine` is not installed".to_owned());
        }
        let (prepared, agent) = (of("ROLLCALL_WINE_PREFIX")?, of("ROLLCALL_WINDOWS_AGENT")?);
        let prefix = folder.join("wine");
        copy_tree(&prepared, &prefix);
        let environment = environment.iter();
        let wine = Self {
            prefix,
            agent,
            launcher,
            environment: environment
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        wine.boot()?;
        Ok(wine)
    }

    /// Ends all of its programs and starts it anew, as a machine restarts, with other variables.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self, environment: &[(&str, &str)]) {
        let _ = self.base("wineserver").arg("--kill").status();
        let _ = self.base("wineserver").arg("--wait").status();
        self.environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.boot().expect("it started before");
    }

    fn boot(&self) -> Result<(), String> {
        // Without it services end with the last program that a person runs.
        let started = self.quietly("wineserver", "--persistent");
        // The prefix's own services begin with its first program, and would keep that one's pipes open.
        let started = started.and_then(|()| self.quietly("wine", "wineboot"));
        started.map_err(|error| format!("wine: {error}"))
    }

    fn quietly(&self, program: &str, argument: &str) -> std::io::Result<()> {
        let mut command = self.base(program);
        command
            .arg(argument)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().map(drop)
    }

    /// Runs a command of the agent to its end.
    pub fn agent(&self, arguments: &[&str]) -> Finished {
        let mut command = self.base("wine");
        process::run(command.arg(&self.agent).args(arguments), PATIENCE)
    }

    /// A value of the registry, as `reg query` prints it.
    #[must_use]
    pub fn registry(&self, key: &str, value: &str) -> String {
        let mut command = self.base("wine");
        let finished = process::run(command.args(["reg", "query", key, "/v", value]), PATIENCE);
        finished.stdout
    }

    /// Runs a program of Windows or of Wine to its end.
    pub fn program(&self, words: &[&str]) -> Finished {
        process::run(self.base("wine").args(words), PATIENCE)
    }

    /// Runs the installer engine without a window, with its whole log in a file of this machine.
    pub fn msiexec(&self, words: &[&str], log: &Path) -> Finished {
        let log = Self::path(log);
        self.program(&[&["msiexec"], words, &["/qn", "/l*v", &log]].concat())
    }

    /// A file of the prefix, named as on drive C.
    #[must_use]
    pub fn on_drive_c(&self, path: &str) -> PathBuf {
        self.prefix
            .join("drive_c")
            .join(path.trim_start_matches('/'))
    }

    /// Every key and value below a key of the registry: `key|value`, or `key|` for the key itself.
    ///
    /// # Panics
    /// When Wine cannot export it.
    #[must_use]
    pub fn registry_lines(&self, key: &str) -> Vec<String> {
        let file = self.prefix.join("exported.reg");
        let exported = self.program(&["reg", "export", key, &Self::path(&file), "/y"]);
        assert!(exported.status.success(), "{exported:?}");
        let bytes = fs::read(&file).expect("what was exported can be read");
        let _ = fs::remove_file(&file);
        let units: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        lines_of_export(&String::from_utf16_lossy(&units))
    }

    /// How a Windows program finds a file of this machine.
    #[must_use]
    pub fn path(file: &Path) -> String {
        format!("Z:{}", file.display()).replace('/', "\\")
    }

    fn base(&self, program: &str) -> Command {
        let mut words = self.launcher.iter().map(String::as_str).chain([program]);
        let mut command = Command::new(words.next().unwrap_or(program));
        command.args(words).envs(
            self.environment
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        // On drive C, where paths of this machine such as `/proc` lead nowhere, as on Windows.
        command
            .current_dir(self.prefix.join("drive_c"))
            .env("WINEPREFIX", &self.prefix)
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all")
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
            .env_remove("DISPLAY")
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Wine {
    /// Ends every program of the prefix.
    fn drop(&mut self) {
        let mut command = self.base("wineserver");
        let _ = command.arg("--kill").status();
        let _ = fs::remove_dir_all(&self.prefix);
    }
}

fn lines_of_export(text: &str) -> Vec<String> {
    let mut key = "";
    let mut lines = Vec::new();
    for line in text
        .lines()
        .skip(1)
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            key = name;
            lines.push(format!("{key}|"));
        } else {
            lines.push(format!("{key}|{line}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_an_export_name_their_key() {
        let text = "\u{feff}Windows Registry Editor Version 5.00\r\n\r\n[HKLM\\A]\r\n\"b\"=\"c\"\r\n\r\n[HKLM\\D]\r\n";
        assert_eq!(
            lines_of_export(text),
            ["HKLM\\A|", "HKLM\\A|\"b\"=\"c\"", "HKLM\\D|"]
        );
    }
}
