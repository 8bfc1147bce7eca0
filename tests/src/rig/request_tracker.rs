//! Request Tracker 5 as Debian has it, with a database of the story's own.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::patience::{eventually, require};
use super::process::{self, Process};
use super::{http, is_root, ports, program};

const SETUP: &str = include_str!("request_tracker.pl");

/// The database that the package has made.
const DATABASE: &str = "/var/lib/dbconfig-common/sqlite3/request-tracker5/rtdb";

const SERVER: &str = "/usr/share/request-tracker5/libexec/rt-server";

/// Its setup takes some seconds, and its first answer compiles what it needs.
const SLOW: Duration = Duration::from_secs(120);

/// A running Request Tracker with the queue `Laptops`.
#[derive(Debug)]
pub struct RequestTracker {
    /// Where it answers.
    pub address: SocketAddr,
    /// The token of the user who writes tickets.
    pub token: String,
    process: Process,
}

impl RequestTracker {
    /// Starts one, where that is possible.
    ///
    /// # Errors
    /// What the machine lacks for it.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub fn start(folder: &Path) -> Result<Self, String> {
        if !is_root() {
            return Err("Request Tracker is set up by root only".to_owned());
        }
        for file in [DATABASE, SERVER] {
            let is_there = Path::new(file).is_file();
            require(is_there, || {
                format!(
                    "{file} is missing: request-tracker5, rt5-db-sqlite and rt5-standalone are not installed"
                )
            })?;
        }
        program("setpriv").ok_or("`setpriv` is not installed")?;
        let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let folder = folder.join("request-tracker");
        write_files(&folder, address);
        let mut setup = as_its_user(&folder);
        setup.arg("perl").arg(folder.join("setup.pl"));
        let token = process::run(&mut setup, SLOW).success().trim().to_owned();
        let mut server = as_its_user(&folder);
        let port = address.port().to_string();
        server.args([SERVER, "--host", "127.0.0.1", "--port", &port]);
        let process = Process::start("rt-server", &folder, &mut server);
        let tracker = Self {
            address,
            token,
            process,
        };
        eventually("Request Tracker", SLOW, || tracker.get("/REST/2.0/rt"));
        Ok(tracker)
    }

    /// Every ticket of the queue, with what the story looks at.
    ///
    /// # Errors
    /// When it does not answer as it should.
    pub fn tickets(&self) -> Result<Vec<Value>, String> {
        let found = self.get(
            "/REST/2.0/tickets?query=Queue%20%3D%20%27Laptops%27&fields=Subject,Status&orderby=id",
        )?;
        let items = found["items"].as_array().cloned();
        items.ok_or_else(|| format!("no items in {found}"))
    }

    /// The kinds of what happened to a ticket, in order, such as `Create`, `Comment`, `Status`.
    ///
    /// # Errors
    /// As [`RequestTracker::tickets`].
    pub fn history(&self, ticket: &str) -> Result<Vec<String>, String> {
        let path = format!("/REST/2.0/ticket/{ticket}/history?fields=Type&per_page=100");
        let found = self.get(&path)?;
        let items = found["items"].as_array().cloned().unwrap_or_default();
        let kind = |item: &Value| item["Type"].as_str().unwrap_or_default().to_owned();
        Ok(items.iter().map(kind).collect())
    }

    fn get(&self, path: &str) -> Result<Value, String> {
        let authorization = format!("token {}", self.token);
        let answer = http::get_as(self.address, path, Some(&authorization))?;
        require(answer.status == 200, || {
            format!("{path}: {} {}", answer.status, answer.body)
        })?;
        serde_json::from_str(&answer.body).map_err(|error| format!("{path}: {error}"))
    }
}

impl Drop for RequestTracker {
    fn drop(&mut self) {
        // Its server has children of its own, which it ends when it is asked to.
        if self.process.ended().is_none() {
            self.process.signal(rustix::process::Signal::TERM);
            eventually("the end of Request Tracker", SLOW, || {
                self.process.ended().ok_or("it still runs")
            });
        }
    }
}

fn write_files(folder: &Path, address: SocketAddr) {
    let write = |name: &str, text: &str| {
        fs::write(folder.join(name), text).expect("Request Tracker's files can be written");
    };
    let data = folder.join("data");
    for made in [&data, &folder.join("no-site-config")] {
        fs::create_dir_all(made).expect("a folder can be made");
    }
    let database = data.join("rtdb");
    fs::copy(DATABASE, &database).expect("the database can be copied");
    let (user, group) = ids_of_its_user();
    for owned in [&data, &database] {
        chown(owned, Some(user), Some(group)).expect("root may give a file");
    }
    // It reaches its folder as its own user, through that of the story.
    for folder in folder.ancestors().take(2) {
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder, mode).expect("a folder's mode can be set");
    }
    let port = address.port();
    let database = database.display();
    write("setup.pl", SETUP);
    write(
        "RT_SiteConfig.pm",
        &format!(
            "Set($rtname, 'school.example');\nSet($Organization, 'school.example');\n\
             Set($DatabaseType, 'SQLite');\nSet($DatabaseName, '{database}');\n\
             Set($WebDomain, '127.0.0.1');\nSet($WebPort, {port});\nSet($WebPath, '');\n\
             Set($WebBaseURL, 'http://127.0.0.1:{port}');\nSet($RestrictReferrer, 0);\n\
             Set($LogToSyslog, undef);\nSet($LogToSTDERR, 'warning');\nSet($MailCommand, 'testfile');\n1;\n"
        ),
    );
}

fn as_its_user(folder: &Path) -> Command {
    let mut command = Command::new(program("setpriv").unwrap_or_else(|| PathBuf::from("setpriv")));
    command.args([
        "--reuid",
        "www-data",
        "--regid",
        "www-data",
        "--clear-groups",
    ]);
    command.env("RT_SITE_CONFIG", folder.join("RT_SiteConfig.pm"));
    command.env("RT_SITE_CONFIG_DIR", folder.join("no-site-config"));
    command
}

fn ids_of_its_user() -> (u32, u32) {
    let text = fs::read_to_string("/etc/passwd").expect("the list of users can be read");
    let line = text.lines().find(|line| line.starts_with("www-data:"));
    let fields: Vec<&str> = line.expect("its user exists").split(':').collect();
    let number = |at: usize| fields[at].parse().expect("an id is a number");
    (number(2), number(3))
}
