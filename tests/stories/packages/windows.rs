//! The installer for Windows, run under Wine with the agent for Windows and a real collector: a laptop's life from
//! the first installation to the removal that leaves nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rollcall_shared::time::UnixMs;
use rollcall_tests::rig;
use rollcall_tests::rig::agent::last_sequence;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::fake_clock::FakeClock;
use rollcall_tests::rig::patience::{eventually, require, wall_clock};
use rollcall_tests::rig::process::{self, Finished};
use rollcall_tests::rig::wine::Wine;
use rollcall_tests::rig::world::Network;

use super::faults::plug_in;
use super::guides::{ADDRESS, TOKEN};
use super::{NEXT, package};
use crate::settings::QUICK;

/// Wine on a busy machine is slow to start.
const PATIENCE: Duration = Duration::from_secs(120);

const SERVICE: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\rollcall-agent";
const SETTINGS: &str = r"HKLM\SOFTWARE\Rollcall\Agent";
const PROGRAM: &str = "Program Files/Rollcall/rollcall-agent.exe";
const DATA: &str = "ProgramData/Rollcall";

/// What stands behind the next version's program, so that one is told from the other.
const NEXT_MARK: &[u8] = b"the next version";

#[test]
fn the_installer_for_windows_installs_updates_repairs_and_removes() {
    let folder = rig::folder();
    let machine = match Machine::new(folder.path()) {
        Ok(machine) => machine,
        Err(reason) => return rig::skip("the installer under Wine", &reason),
    };
    let mut collector = Collector::start(folder.path(), QUICK);
    let before = machine.snapshot();
    let token = collector.token(&["--site", "Lincoln", "--uses", "1"]);

    machine.install_as_told(&collector, &token);
    let device = machine.await_device(&collector);
    machine.verify_as_told();
    machine.the_token_is_nowhere(&token);
    let image = machine.wine.registry(SERVICE, "ImagePath");
    assert!(
        image.contains(r#""C:\Program Files\Rollcall\rollcall-agent.exe" service run --data "C:\ProgramData\Rollcall""#),
        "a path with a space stands in quotes, or Windows tries C:\\Program.exe first: {image}"
    );

    // While the collector is away reports gather, and the update keeps them and the identity.
    collector.kill();
    let identity = machine.identity();
    let away = machine.await_waiting_reports();
    machine.install(&machine.next, &[]);
    assert!(machine.is_next(), "the program was replaced");
    assert_eq!(machine.identity(), identity);
    let kept = machine.wine.registry(SETTINGS, "Collector");
    assert!(kept.contains(&collector.grpc.to_string()), "{kept}");
    collector.run();
    machine.await_status("connected");
    every_report_arrived(&collector, &device, away);
    assert_eq!(
        collector.devices().unwrap().len(),
        1,
        "it is the same laptop"
    );

    let older = machine.msiexec(&["/i", &machine.now]);
    // Of 1603, Wine hands on the last byte.
    assert_eq!(
        older.status.code(),
        Some(1603 % 256),
        "an older version is refused: {older:?}"
    );
    assert!(machine.is_next() && machine.version().contains(NEXT));

    machine.is_repaired();
    machine.await_status("connected");
    assert_eq!(machine.identity(), identity);

    // Removed with KEEPDATA and installed again without a token, it is the same laptop.
    machine.remove(&["KEEPDATA=1"]);
    assert!(!machine.has_service() && !machine.file(PROGRAM).exists());
    assert_eq!(machine.identity(), identity);
    machine.install(&machine.next, &[&collector_is(&collector)]);
    machine.await_status("connected");
    assert_eq!(
        collector.devices().unwrap().len(),
        1,
        "it is the same laptop still"
    );

    let removed = machine.msiexec_as_told("msiexec /x ", &machine.next, &[]);
    assert!(removed.status.success(), "{removed:?}");
    let after = machine.snapshot();
    assert_eq!(
        difference(&before, &after),
        Vec::<String>::new(),
        "nothing is left"
    );
    machine.the_token_is_nowhere(&token);
    collector.stop();
}

/// A dead collector, then a token that is used up: each is told, and ends by itself when the cause is gone.
#[test]
fn an_agent_that_the_installer_for_windows_left_outlives_bad_days() {
    let folder = rig::folder();
    let machine = match Machine::new(folder.path()) {
        Ok(machine) => machine,
        Err(reason) => return rig::skip("bad days under Wine", &reason),
    };
    let mut collector = Collector::start(folder.path(), QUICK);
    let used_up = collector.token(&["--site", "Lincoln", "--uses", "1"]);
    let first = rig::agent::Laptop::new(folder.path(), "first");
    let _ = first.enroll(collector.grpc, &used_up).success();
    collector.stop();

    machine.install(
        &machine.now,
        &[&collector_is(&collector), &format!("TOKEN={used_up}")],
    );
    machine.await_waiting(15, "the collector to answer");
    collector.run();
    machine.await_waiting(16, "a token that the collector accepts");
    let good = collector.token(&["--site", "Lincoln", "--uses", "1"]);
    fs::write(machine.file(DATA).join("token"), &good).unwrap();
    machine.await_status("connected");
    machine.the_token_is_nowhere(&good);
    let done = machine.msiexec(&["/x", &machine.now]);
    assert!(
        done.status.success() && !machine.file(DATA).exists(),
        "{done:?}"
    );
    collector.stop();
}

/// A token that is none, no network at all, and a clock in 2001: each is told, and ends by itself when the cause is gone.
#[test]
fn an_agent_that_the_installer_for_windows_left_starts_in_2001_without_network() {
    for program in ["unshare", "nsenter", "ip"] {
        if rig::program(program).is_none() {
            let reason = format!("`{program}` is not installed");
            return rig::skip("2001 without network under Wine", &reason);
        }
    }
    let clock = FakeClock::showing("@2001-01-01 00:00:00");
    let Some(clock) = clock.filter(|_| rig::is_root()) else {
        let reason = "it takes `faketime` and root";
        return rig::skip("2001 without network under Wine", reason);
    };
    let folder = rig::folder();
    let network = Network::unplugged("windows", folder.path());
    let machine = Machine::of(folder.path(), || {
        Wine::start_by(folder.path(), network.launcher(), &clock.variables())
    });
    let mut machine = match machine {
        Ok(machine) => machine,
        Err(reason) => return rig::skip("2001 without network under Wine", &reason),
    };
    let mut collector = Collector::start(folder.path(), QUICK);
    machine.install(
        &machine.now,
        &[&collector_is(&collector), "TOKEN=rc1.not-one"],
    );
    machine.await_waiting(16, "a token that the collector accepts");
    let good = collector.token(&["--site", "Lincoln", "--uses", "1"]);
    fs::write(machine.file(DATA).join("token"), &good).unwrap();
    machine.await_waiting(10, "a network");
    plug_in(network.holder(), collector.grpc);
    machine.await_status("days behind the collector's");
    machine.the_token_is_nowhere(&good);
    let identity = machine.identity();

    machine.wine.restart(&[]);
    machine.await_status("connected");
    let said = machine.agent(&["status"]).stdout;
    assert!(!said.contains("behind"), "{said}");
    assert_eq!(machine.identity(), identity);
    collector.stop();
}

fn collector_is(collector: &Collector) -> String {
    format!("COLLECTOR={}", collector.grpc)
}

/// All that waited is stored: readings of the time without a collector, and none is missing.
fn every_report_arrived(collector: &Collector, device: &str, away: (UnixMs, UnixMs)) {
    eventually("the reports of before the update", PATIENCE, || {
        let missing = collector.metric("rollcall_store_missing_reports_total")?;
        require(missing.abs() < 0.5, || {
            format!("{missing} reports are missing")
        })?;
        let points = collector.points_between(device, ("system.uptime", ""), away)?;
        require(!points.is_empty(), || {
            "nothing of the time without a collector".to_owned()
        })
    });
}

/// A Windows machine as far as Wine is one, and two versions of the installer.
struct Machine {
    wine: Wine,
    folder: PathBuf,
    now: String,
    next: String,
}

impl Machine {
    fn new(folder: &Path) -> Result<Self, String> {
        Self::of(folder, || Wine::start(folder))
    }

    fn of(folder: &Path, start: impl FnOnce() -> Result<Wine, String>) -> Result<Self, String> {
        for tool in [
            "wixl",
            "msibuild",
            "x86_64-w64-mingw32-gcc",
            "x86_64-w64-mingw32-strip",
        ] {
            rig::program(tool).ok_or_else(|| format!("`{tool}` is not installed"))?;
        }
        let wine = start()?;
        let agent = std::env::var_os("ROLLCALL_WINDOWS_AGENT").ok_or("no agent for Windows")?;
        let programs = folder.join("programs");
        fs::create_dir(&programs).unwrap();
        let program = programs.join("rollcall-agent.exe");
        let mut strip = Command::new("x86_64-w64-mingw32-strip");
        let _ = process::run(strip.arg("-o").arg(&program).arg(agent), PATIENCE).success();
        let make = |out: &str, options: &[&str]| {
            let out = folder.join(out);
            let _ = package(&programs, &out, &[&["msi"], options].concat()).success();
            Wine::path(&super::one(&out, "rollcall-agent-", ".msi"))
        };
        let now = make("now", &[]);
        let bytes = fs::read(&program).unwrap();
        fs::write(&program, [&bytes, NEXT_MARK].concat()).unwrap();
        let next = make("next", &["--as-version", NEXT]);
        Ok(Self {
            wine,
            folder: folder.to_owned(),
            now,
            next,
        })
    }

    fn msiexec(&self, words: &[&str]) -> Finished {
        self.wine.msiexec(words, &self.log_file())
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("msiexec.log")
    }

    /// The last lines that the engine has written, which are in UTF-16 on Windows and in UTF-8 here or there.
    fn end_of_log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        let text: Vec<u8> = bytes.into_iter().filter(|byte| *byte != 0).collect();
        let text = String::from_utf8_lossy(&text).into_owned();
        // The list of all properties is at the end.
        let lines = text.lines().filter(|line| !line.starts_with("Property("));
        let lines: Vec<&str> = lines.collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn install(&self, installer: &str, properties: &[&str]) {
        let done = self.msiexec(&[&["/i", installer], properties].concat());
        assert!(done.status.success(), "{done:?}");
        assert!(self.has_service() && self.file(PROGRAM).exists());
    }

    /// A command of the page for Intune with this installer, and with what is the story's own in place of the page's.
    fn msiexec_as_told(&self, begin: &str, installer: &str, own: &[(&str, &str)]) -> Finished {
        let page = guide("intune.md");
        let line = page
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with(begin));
        let words = line.expect("the page has the command").split(' ').skip(1);
        let words: Vec<String> = words
            .filter(|word| *word != "/qn")
            .map(|word| match word.ends_with(".msi") {
                true => installer.to_owned(),
                false => own
                    .iter()
                    .fold(word.to_owned(), |word, (page, own)| word.replace(page, own)),
            })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(
            line.map(|line| line.contains(" /qn")),
            Some(true),
            "{line:?}"
        );
        self.msiexec(&words)
    }

    fn install_as_told(&self, collector: &Collector, token: &str) {
        let address = collector.grpc.to_string();
        let own = [(ADDRESS, address.as_str()), (TOKEN, token)];
        let done = self.msiexec_as_told("msiexec /i ", &self.now, &own);
        assert!(done.status.success(), "{done:?}");
        assert!(self.has_service() && self.file(PROGRAM).exists());
    }

    /// What all pages for Windows say of how to verify, in the shell that they name.
    fn verify_as_told(&self) {
        let page = guide("intune.md");
        let (_, verify) = page.split_once("## Verify").unwrap();
        let block = verify.split("```").nth(1).unwrap().trim();
        for other in ["group-policy.md", "pdq.md", "sccm.md"] {
            assert!(guide(other).contains(block), "{other} says it otherwise");
        }
        let script = self.folder.join("verify.cmd");
        for line in block.lines() {
            // A shell's way with quotes in its arguments is its own; a script has the line as it is.
            fs::write(&script, format!("@{line}\r\n")).unwrap();
            eventually(line, PATIENCE, || {
                let done = self.wine.program(&["cmd", "/c", &Wine::path(&script)]);
                let is_well = done.status.success() && !done.stdout.trim().is_empty();
                require(is_well, || format!("{done:?}"))
            });
        }
    }

    fn remove(&self, properties: &[&str]) {
        let done = self.msiexec(&[&["/x", &self.next], properties].concat());
        assert!(done.status.success(), "{done:?}");
    }

    /// Files, registry values and the service are damaged, and the installer puts them right.
    fn is_repaired(&self) {
        let stopped = self.wine.program(&["net", "stop", "rollcall-agent"]);
        assert!(stopped.status.success(), "{stopped:?}");
        // A file of its own: the service has said that it has stopped, and its process may still be leaving.
        fs::remove_file(self.file(PROGRAM)).unwrap();
        fs::write(self.file(PROGRAM), "damaged").unwrap();
        let _ = self
            .wine
            .program(&["reg", "delete", SETTINGS, "/v", "Version", "/f"])
            .success();
        // What `/famus` stands for. Wine's msiexec knows `/f` only as far as to say that it is not implemented.
        let done = self.msiexec(&["/i", &self.next, "REINSTALL=ALL", "REINSTALLMODE=amus"]);
        assert!(done.status.success(), "{done:?} {}", self.end_of_log());
        assert!(self.is_next(), "the program is back");
        assert!(self.version().contains(NEXT));
    }

    fn agent(&self, words: &[&str]) -> Finished {
        let program = Wine::path(&self.file(PROGRAM));
        self.wine.program(
            &[
                &[program.as_str()],
                words,
                &["--data", r"C:\ProgramData\Rollcall"],
            ]
            .concat(),
        )
    }

    fn await_status(&self, words: &str) {
        eventually(words, PATIENCE, || {
            let status = self.agent(&["status"]);
            let found = status.status.success() && status.stdout.contains(words);
            require(found, || format!("{status:?} {}", self.agent_log()))
        });
    }

    fn await_waiting(&self, code: i32, words: &str) {
        eventually(words, PATIENCE, || {
            let status = self.agent(&["status"]);
            let found = status.status.code() == Some(code) && status.stdout.contains(words);
            require(found, || format!("{status:?} {}", self.agent_log()))
        });
    }

    fn await_device(&self, collector: &Collector) -> String {
        eventually("a Windows laptop at the collector", PATIENCE, || {
            let devices = collector.devices()?;
            let device = devices.first().ok_or_else(|| self.agent_log())?;
            require(device["last_report_at"].is_string(), || format!("{device}"))?;
            let id = device["id"].as_str().ok_or("a device has an id")?;
            Ok::<_, String>(id.to_owned())
        })
    }

    /// Waits until some reports wait on disk; the time in which they were gathered.
    fn await_waiting_reports(&self) -> (UnixMs, UnixMs) {
        let data = self.file(DATA);
        let (from, before) = (wall_clock(), last_sequence(&data));
        eventually("reports that wait", PATIENCE, || {
            let last = last_sequence(&data);
            require(last >= before + 7, || format!("{before}, now {last}"))
        });
        (from, wall_clock())
    }

    fn agent_log(&self) -> String {
        fs::read_to_string(self.file(DATA).join("agent.log")).unwrap_or_default()
    }

    /// Every file of the identity, with what is in it.
    fn identity(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let folder = self.file(DATA).join("identity");
        let files: Vec<PathBuf> = files_below(&folder)
            .into_iter()
            .filter(|path| path.is_file())
            .collect();
        assert!(!files.is_empty(), "there is an identity");
        files
            .into_iter()
            .map(|file| (file.clone(), fs::read(file).unwrap()))
            .collect()
    }

    fn the_token_is_nowhere(&self, token: &str) {
        let secret = token.split('.').nth(1).unwrap();
        let mut places: Vec<PathBuf> = files_below(&self.file("ProgramData")).into_iter().collect();
        places.push(self.log_file());
        let holders: Vec<&PathBuf> = places.iter().filter(|file| holds(file, secret)).collect();
        assert!(holders.is_empty(), "the token is in {holders:?}");
        let registry = self.registry();
        assert!(
            !registry.iter().any(|line| line.contains(secret)),
            "the token is in the registry"
        );
    }

    fn has_service(&self) -> bool {
        self.wine.registry(SERVICE, "Start").contains("0x2")
    }

    fn version(&self) -> String {
        self.wine.registry(SETTINGS, "Version")
    }

    fn is_next(&self) -> bool {
        fs::read(self.file(PROGRAM)).is_ok_and(|bytes| bytes.ends_with(NEXT_MARK))
    }

    fn file(&self, path: &str) -> PathBuf {
        self.wine.on_drive_c(path)
    }

    /// Files and folders of drive C, keys and values of the registry, and with them the services.
    fn snapshot(&self) -> BTreeSet<String> {
        let drive = self.file("");
        let mut found: BTreeSet<String> = files_below(&drive)
            .into_iter()
            .map(|path| format!("{}", path.strip_prefix(&drive).unwrap().display()))
            .collect();
        found.extend(self.registry());
        found.retain(|line| !is_wines_own(line));
        found
    }

    fn registry(&self) -> Vec<String> {
        let keys = [r"HKLM\SOFTWARE", r"HKLM\SYSTEM", r"HKCU"];
        keys.iter()
            .flat_map(|key| self.wine.registry_lines(key))
            .collect()
    }
}

fn guide(name: &str) -> String {
    fs::read_to_string(rig::repository().join("deploy/guides").join(name)).unwrap()
}

/// What Wine itself leaves when it runs programs: the empty keys and the folder of its installer engine, that it has
/// no screen, and what it counts. None of it can hold anything of a product: a value below such a key is another line.
fn is_wines_own(line: &str) -> bool {
    let engine = [
        r"HKEY_LOCAL_MACHINE\SOFTWARE\Classes\Installer",
        r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Installer",
    ];
    let is_empty_key = line.ends_with('|') && engine.iter().any(|key| line.starts_with(key));
    let is_screen = line.contains(r"\CurrentControlSet\Control\Video\");
    let is_count = line.contains(r"\Control\ServiceCurrent|");
    // How its consoles look, written by the first program that has one, such as `net`.
    let is_console = line.starts_with(r"HKEY_CURRENT_USER\Console|");
    is_empty_key || is_screen || is_count || is_console || line == "windows/Installer"
}

/// Every file and folder below a folder. Links are not followed: a prefix has some to the user's own folders.
fn files_below(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files_below(&entry.path()));
        }
        found.insert(entry.path());
    }
    found
}

/// Whether a file has this text, in the bytes of UTF-8 or of UTF-16.
fn holds(file: &Path, text: &str) -> bool {
    let Ok(bytes) = fs::read(file) else {
        return false;
    };
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let has = |wanted: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
    has(text.as_bytes()) || has(&wide)
}

fn difference(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<String> {
    let gone = before.difference(after).map(|line| format!("- {line}"));
    gone.chain(after.difference(before).map(|line| format!("+ {line}")))
        .collect()
}
