//! The reference receiver believes what the collector signs, also while the key is being replaced, and nothing else.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use rollcall_tests::rig;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::patience::{PATIENCE, eventually};
use rollcall_tests::rig::process::Process;
use rollcall_tests::rig::{program, repository};

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_b2xkIGtleXMgYXJlIHJlcGxhY2VkIG9mdGVu";

/// A running receiver of `deploy/helpdesk`.
struct Receiver {
    process: Process,
    address: SocketAddr,
}

impl Receiver {
    fn start(folder: &Path, name: &str, secret: &str) -> Self {
        let file = folder.join(format!("{name}.secret"));
        std::fs::write(&file, secret).unwrap();
        let python = program("python3").expect("the rig's own servers need Python as well");
        let mut command = Command::new(python);
        command.arg(repository().join("deploy/helpdesk/webhook_receiver.py"));
        command.arg("--secret-file").arg(&file);
        let process = Process::start(name, folder, command.args(["--listen", "127.0.0.1:0"]));
        let address = eventually("the receiver's address", PATIENCE, || {
            let log = process.log();
            let line = log.lines().next().ok_or("nothing yet")?;
            let line: serde_json::Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
            let address = line["listening"].as_str().ok_or("no address")?;
            address.parse().map_err(|_| address.to_owned())
        });
        Self { process, address }
    }
}

#[test]
fn webhook_receiver_believes_either_key_while_one_is_replaced() {
    let folder = rig::folder();
    let knows_old = Receiver::start(folder.path(), "knows-old", OLD);
    let knows_new = Receiver::start(folder.path(), "knows-new", NEW);
    let stranger = Receiver::start(folder.path(), "stranger", "a secret of somebody else");
    for (name, secret) in [("old", OLD), ("new", NEW)] {
        std::fs::write(folder.path().join(name), secret).unwrap();
    }
    let channel = |name: &str, receiver: &Receiver| {
        format!(
            "[[channel]]\nkind = \"webhook\"\nname = \"{name}\"\nurl = \"http://{}/\"\nsecret_file = \"old\"\n\
             next_secret_file = \"new\"\n",
            receiver.address
        )
    };
    let config = [
        channel("knows-old", &knows_old),
        channel("knows-new", &knows_new),
        channel("stranger", &stranger),
    ];
    let collector = Collector::initialised(folder.path(), &config.concat());
    let config = collector.config.display().to_string();
    let test = |name: &str| collector.command(&["channel", "test", name, "--config", &config]);
    for (name, receiver) in [("knows-old", &knows_old), ("knows-new", &knows_new)] {
        let said = test(name).success();
        assert_eq!(said, format!("channel `{name}` took the message\n"));
        let log = receiver.process.log();
        let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        assert_eq!(last["body"]["type"], "alert.test", "{log}");
    }
    let refused = test("stranger").failure();
    assert!(refused.contains("401"), "{refused}");
    assert!(
        stranger
            .process
            .log()
            .contains("webhook-signature is not of this body")
    );

    let checked = collector.command(&["channel", "check", "--config", &config]);
    let checked = checked.success();
    assert!(
        checked.contains("knows-old: right: signed calls of http://"),
        "{checked}"
    );
    let presets = collector.command(&["channel", "presets"]).success();
    assert_eq!(presets.lines().count(), 8, "{presets}");
    assert!(
        presets.contains("zendesk\tZendesk Support\tnot yet tried against the vendor"),
        "{presets}"
    );
}
