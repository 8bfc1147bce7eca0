//! Configurations of collectors, for stories.

use std::path::{Path, PathBuf};

use rollcall_tests::rig::pki::Pki;
use rollcall_tests::rig::repository;
use rollcall_tests::rig::smtp::{PASSWORD, USER};
use rollcall_tests::rig::webhook::Receiver;

/// Agents that read and send every second.
pub const QUICK: &str = "[agents.schedule]\nfast_s = 1\nnetwork_s = 5\ndisk_s = 1\ndrive_s = 5\n\
     slow_s = 1\nsend_s = 1\nfull_s = 5\n";

/// One of the default rules alone, which fires and clears within a second.
pub fn quick_rule(folder: &Path, name: &str) -> PathBuf {
    let default = repository().join("collector/rules/default.toml");
    let text = std::fs::read_to_string(&default).unwrap();
    let (calendar, rules) = text.split_once("[[rule]]").unwrap();
    let mut rules = rules.split("[[rule]]");
    let wanted = format!("\nname = \"{name}\"\n");
    let rule = rules.find(|rule| rule.contains(&wanted)).unwrap();
    let quick = rule.lines().map(|line| match line.split_once(" = ") {
        Some((hold @ ("for" | "for-calendar" | "clear-for"), _)) => format!("{hold} = \"1s\"\n"),
        _ => format!("{line}\n"),
    });
    let file = folder.join("rules.toml");
    let quick: String = quick.collect();
    std::fs::write(&file, format!("{calendar}[[rule]]{quick}")).unwrap();
    file
}

/// Adds one of the default rules, as it is, to those that [`quick_rule`] wrote.
pub fn add_default_rule(folder: &Path, name: &str) {
    let default = repository().join("collector/rules/default.toml");
    let text = std::fs::read_to_string(&default).unwrap();
    let wanted = format!("\nname = \"{name}\"\n");
    let rule = text.split("[[rule]]").find(|rule| rule.contains(&wanted));
    let file = folder.join("rules.toml");
    let known = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{known}\n[[rule]]{}", rule.unwrap())).unwrap();
}

/// Two rules of one laptop's battery that fire and clear within a second, whatever was before: its charge
/// is low, and it has had many cycles.
pub fn battery_rules(folder: &Path) -> PathBuf {
    let rule = |name: &str, title: &str, condition: &str| {
        format!(
            "[[rule]]\nname = \"{name}\"\ntitle = \"{title}\"\nseverity = \"warning\"\naudience = \"help-desk\"\n\
             all = [{{ {condition} }}]\nfor = \"1s\"\nclear-for = \"1s\"\nrunbook-text = \"Look at it.\"\n\
             family.en = \"It is looked at.\"\n"
        )
    };
    let low = "metric = \"hw.battery.charge\", op = \"below\", value = \"20 %\", clear = \"30 %\"";
    let old = "metric = \"hw.battery.cycles\", op = \"above\", value = 1000";
    let file = folder.join("rules.toml");
    let rules = [
        rule("charge-low", "Battery is low", low),
        rule("many-cycles", "Battery is old", old),
    ];
    std::fs::write(&file, rules.concat()).unwrap();
    file
}

/// A configuration that tells a mail server and a receiver of webhooks.
pub fn with_channels(folder: &Path, port: u16, pki: &Pki, receiver: &Receiver) -> String {
    let mail = with_mail(folder, port, pki);
    format!("{mail}\n{}", webhook_channel(folder, receiver))
}

/// A configuration that tells a mail server.
pub fn with_mail(folder: &Path, port: u16, pki: &Pki) -> String {
    with_mail_by(folder, port, pki, "starttls")
}

/// A configuration that tells a mail server with this `security`.
pub fn with_mail_by(folder: &Path, port: u16, pki: &Pki, security: &str) -> String {
    let rules = quick_rule(folder, "battery-worn");
    let password = folder.join("smtp-password");
    std::fs::write(&password, PASSWORD).unwrap();
    format!(
        "rules = \"{}\"\n{QUICK}\n[[channel]]\nname = \"mail\"\nkind = \"smtp\"\n\
         host = \"localhost\"\nport = {port}\nsecurity = \"{security}\"\nca_file = \"{}\"\n\
         username = \"{USER}\"\npassword_file = \"{}\"\n\
         from = \"Rollcall <rollcall@school.example>\"\nto = [\"help-desk@school.example\"]\n",
        rules.display(),
        pki.authority.display(),
        password.display(),
    )
}

fn webhook_channel(folder: &Path, receiver: &Receiver) -> String {
    let secret = folder.join("webhook-secret");
    std::fs::write(&secret, &receiver.secret).unwrap();
    format!(
        "[[channel]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"http://{}/hook\"\n\
         secret_file = \"{}\"\n",
        receiver.address,
        secret.display(),
    )
}

/// Disks that were imaged from a laptop's, each on hardware of its own.
pub fn clones(
    laptop: &rollcall_tests::rig::agent::Laptop,
    folder: &Path,
    name: &str,
    count: usize,
) -> Vec<rollcall_agent::agent::Setup> {
    let clone = |number: usize| {
        let clone = laptop.cloned(folder, &format!("{name}-{number}"));
        let uuid = format!("4c4c4544-0000-0000-{:04}-{number:012}", name.len());
        clone.set_serials(&uuid, &format!("{name}{number}"));
        let paths = rollcall_agent::paths::Paths::new(&clone.data);
        rollcall_agent::agent::Setup {
            token: rollcall_agent::agent::TokenSource {
                dropped: Some(paths.dropped_token()),
                ..Default::default()
            },
            paths,
            config: Default::default(),
            roots: rollcall_agent::collect::Roots::under(&clone.root),
        }
    };
    (0..count).map(clone).collect()
}
