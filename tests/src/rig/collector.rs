//! A collector: the real binary, with its data in a folder of the story's own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rollcall_shared::time::UnixMs;
use serde_json::Value;

use super::patience::{PATIENCE, eventually, require, wall_clock};
use super::process::{self, Finished, Process};
use super::{binaries, http};

/// A collector and where it can be reached.
#[derive(Debug)]
pub struct Collector {
    folder: PathBuf,
    /// Where its data lie.
    pub data: PathBuf,
    /// Its configuration file.
    pub config: PathBuf,
    /// The address of its HTTP interface.
    pub http: SocketAddr,
    /// The address at which agents reach it.
    pub grpc: SocketAddr,
    environment: Vec<(String, String)>,
    program: PathBuf,
    process: Option<Process>,
}

impl Collector {
    /// Initialises one in `folder` with this configuration, and runs it until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start(folder: &Path, config: &str) -> Self {
        let mut collector = Self::initialised(folder, config);
        collector.run();
        collector
    }

    /// Initialises one without running it.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn initialised(folder: &Path, config: &str) -> Self {
        Self::initialised_at(folder, config, &["127.0.0.1"])
    }

    /// Initialises one that laptops reach by these addresses, without running it.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn initialised_at(folder: &Path, config: &str, addresses: &[&str]) -> Self {
        Self::made(binaries::collector(), folder, config, addresses)
    }

    /// Initialises one by another program than today's, without running it.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn initialised_by(program: PathBuf, folder: &Path, config: &str) -> Self {
        Self::made(program, folder, config, &["127.0.0.1"])
    }

    fn made(program: PathBuf, folder: &Path, config: &str, addresses: &[&str]) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let collector = Self {
            folder: folder.to_owned(),
            data: folder.join("collector"),
            config: folder.join("collector.toml"),
            http: any,
            grpc: any,
            environment: Vec::new(),
            program,
            process: None,
        };
        collector.configure(config);
        let mut command = vec!["init", "--name", "localhost"];
        for address in addresses {
            command.extend(["--address", address]);
        }
        let _ = collector.command(&command).success();
        collector
    }

    /// Sets a variable of the environment of later runs.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Has later runs and commands be those of today's program.
    pub fn update(&mut self) {
        self.program = binaries::collector();
    }

    /// Writes its configuration, which a running collector takes up by itself.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn configure(&self, config: &str) {
        let new = self.folder.join("collector.toml.new");
        fs::write(&new, config).expect("the configuration can be written");
        fs::rename(&new, &self.config).expect("the configuration can be put in place");
    }

    /// Runs it, at the addresses that it had before if it had any, until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn run(&mut self) {
        self.spawn();
        self.await_ready();
    }

    /// Starts its process without waiting.
    pub fn spawn(&mut self) {
        let _ = fs::remove_file(self.data.join("run.json"));
        let mut command = Command::new(&self.program);
        command
            .arg("run")
            .arg("--data")
            .arg(&self.data)
            .arg("--config")
            .arg(&self.config);
        command.args([
            "--grpc",
            &self.grpc.to_string(),
            "--http",
            &self.http.to_string(),
        ]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::start("collector", &self.folder, &mut command));
    }

    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// When it does not, or ends.
    pub fn await_ready(&mut self) {
        let process = self.process.as_mut().expect("it was started");
        let file = self.data.join("run.json");
        (self.http, self.grpc) = eventually("a ready collector", PATIENCE, || {
            if let Some(status) = process.ended() {
                panic!("the collector ended with {status}");
            }
            let addresses = read_addresses(&file)?;
            let answer = http::get(addresses.0, "/readyz", None)?;
            require(answer.status == 200, || format!("/readyz says {answer:?}"))?;
            Ok::<_, String>(addresses)
        });
    }

    /// Its process.
    ///
    /// # Panics
    /// When it was never run.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it was run")
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("collector.log")).unwrap_or_default()
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process().kill();
    }

    /// Stops it in order.
    ///
    /// # Panics
    /// When it does not leave with status 0.
    pub fn stop(&mut self) {
        let status = self.process().stop(PATIENCE);
        assert!(status.success(), "the collector stopped with {status}");
    }

    /// Runs another command of its binary on the same data.
    pub fn command(&self, arguments: &[&str]) -> Finished {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--data").arg(&self.data);
        process::run(&mut command, PATIENCE)
    }

    /// Makes an enrolment token.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn token(&self, arguments: &[&str]) -> String {
        let command = [&["token", "create"], arguments].concat();
        let text = self.command(&command).success();
        let token = text
            .split_whitespace()
            .find(|word| word.starts_with("rc1."));
        token
            .unwrap_or_else(|| panic!("no token in: {text}"))
            .to_owned()
    }

    /// The admin's API token.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn admin_token(&self) -> String {
        let text = fs::read_to_string(self.data.join("admin-token"));
        text.expect("an initialised collector has an admin token")
            .trim()
            .to_owned()
    }

    /// Asks its JSON interface as the admin.
    ///
    /// # Errors
    /// When it is down, or answers with another status than 200.
    pub fn get(&self, path: &str) -> Result<Value, String> {
        let answer = http::get(self.http, path, Some(&self.admin_token()))?;
        require(answer.status == 200, || {
            format!("{path}: {} {}", answer.status, answer.body)
        })?;
        serde_json::from_str(&answer.body).map_err(|error| format!("{path}: {error}"))
    }

    /// Every device.
    ///
    /// # Errors
    /// As [`Collector::get`].
    pub fn devices(&self) -> Result<Vec<Value>, String> {
        self.list("/api/v1/devices?page_size=1000", "devices")
    }

    /// The alerts in a state: `pending`, `firing` or `resolved`.
    ///
    /// # Errors
    /// As [`Collector::get`].
    pub fn alerts(&self, state: &str) -> Result<Vec<Value>, String> {
        self.list(
            &format!("/api/v1/alerts?state={state}&page_size=1000"),
            "alerts",
        )
    }

    /// Every point of one series over the last 400 days, oldest first.
    ///
    /// # Errors
    /// As [`Collector::get`].
    pub fn series(&self, device: &str, metric: &str, instance: &str) -> Result<Vec<Value>, String> {
        let to = wall_clock().plus_ms(60_000).0;
        self.series_between(device, metric, instance, (to - SERIES_MS, to))
    }

    /// Its readings of one metric since a moment.
    ///
    /// # Errors
    /// As [`Collector::get`].
    pub fn series_since(
        &self,
        device: &str,
        metric: &str,
        instance: &str,
        from: UnixMs,
    ) -> Result<Vec<Value>, String> {
        let to = wall_clock().plus_ms(60_000).0;
        self.series_between(device, metric, instance, (from.0.max(to - SERIES_MS), to))
    }

    /// The points of one series whose time lies between these, each included.
    ///
    /// # Errors
    /// As [`Collector::get`].
    pub fn points_between(
        &self,
        device: &str,
        (metric, instance): (&str, &str),
        (from, to): (UnixMs, UnixMs),
    ) -> Result<Vec<Value>, String> {
        self.series_between(device, metric, instance, (from.0, to.0))
    }

    /// Halves the time until an answer leaves nothing out.
    fn series_between(
        &self,
        device: &str,
        metric: &str,
        instance: &str,
        (from, to): (i64, i64),
    ) -> Result<Vec<Value>, String> {
        let address = format!("/api/v1/devices/{device}/series?metric={metric}");
        let path = format!(
            "{address}&instance={instance}&from={from}&to={to}&points=10000&resolution=raw"
        );
        let answer = self.get(&path)?;
        if answer["thinned"] == false {
            let points = answer["points"].as_array().cloned();
            return points.ok_or_else(|| format!("no points in {answer}"));
        }
        let middle = from + (to - from) / 2;
        let half = |window| self.series_between(device, metric, instance, window);
        Ok([half((from, middle))?, half((middle + 1, to))?].concat())
    }

    /// The value of a counter or gauge in `/metrics`, summed over its labels; 0 while absent.
    ///
    /// # Errors
    /// As [`Collector::get`].
    pub fn metric(&self, name: &str) -> Result<f64, String> {
        let answer = http::get(self.http, "/metrics", Some(&self.admin_token()))?;
        require(answer.status == 200, || {
            format!("/metrics: {} {}", answer.status, answer.body)
        })?;
        Ok(sum_of(&answer.body, name))
    }

    fn list(&self, path: &str, field: &str) -> Result<Vec<Value>, String> {
        let answer = self.get(path)?;
        let list = answer[field].as_array().cloned();
        list.ok_or_else(|| format!("{path}: no `{field}` in {answer}"))
    }
}

/// How far back [`Collector::series`] looks: 400 days.
const SERIES_MS: i64 = 400 * 86_400_000;

/// How long a story watches that nothing more happens.
pub const QUIET: Duration = Duration::from_secs(4);

/// Adds up the samples of a metric, or of one series when the name has labels.
fn sum_of(text: &str, name: &str) -> f64 {
    let samples = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = match rest.chars().next()? {
            ' ' => rest,
            '{' => rest.rsplit_once('}')?.1,
            _ => return None,
        };
        value.trim().parse::<f64>().ok()
    });
    samples.sum()
}

fn read_addresses(file: &Path) -> Result<(SocketAddr, SocketAddr), String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let run: Value = serde_json::from_str(&text).map_err(|error| format!("{text}: {error}"))?;
    let address = |name: &str| -> Result<SocketAddr, String> {
        let text = run[name]
            .as_str()
            .ok_or_else(|| format!("no `{name}` in {run}"))?;
        text.parse().map_err(|error| format!("{text}: {error}"))
    };
    Ok((address("http")?, address("grpc")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_name_are_added_up() {
        let text = "# HELP a x\na{why=\"b\"} 2\na{why=\"c\"} 3\na_total 7\n";
        assert!((sum_of(text, "a") - 5.0).abs() < 1e-9);
        assert!((sum_of(text, "a_total") - 7.0).abs() < 1e-9);
        assert!((sum_of(text, "a{why=\"c\"}") - 3.0).abs() < 1e-9);
        assert!(sum_of(text, "b").abs() < 1e-9);
    }
}
