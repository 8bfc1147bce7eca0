use super::*;

#[derive(Debug, Deserialize)]
struct File {
    channel: Vec<ChannelConfig>,
}

const MAIL: &str = "[[channel]]\nkind = \"smtp\"\nname = \"desk\"\nhost = \"mail.example\"\nfrom = \"Rollcall <rollcall@d.example>\"\nto = [\"desk@d.example\"]\n";
const HOOK: &str = "[[channel]]\nkind = \"webhook\"\nname = \"hook\"\nurl = \"https://desk.example/in\"\nsecret_file = \"/etc/secret\"\n";
const TICKET: &str = "[[channel]]\nkind = \"ticket\"\nname = \"rt\"\npreset = \"request-tracker\"\nurl = \"https://rt.example\"\nsettings = { queue = \"Laptops\" }\nsecrets = { token = { file = \"/etc/token\" } }\n";
const CHAT: &str =
    "[[channel]]\nkind = \"chat\"\nname = \"room\"\nstyle = \"teams\"\nurl_env = \"ROOM\"\n";
const MANAGER: &str =
    "[[channel]]\nkind = \"alertmanager\"\nname = \"am\"\nurl = \"http://127.0.0.1:9093\"\n";

fn read(text: &str) -> Result<(), String> {
    let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    check(&file.channel).map_err(|error| error.to_string())
}

#[test]
fn channels_have_sensible_defaults() {
    let file: File = toml::from_str(&format!("{MAIL}{HOOK}{TICKET}{CHAT}{MANAGER}")).unwrap();
    check(&file.channel).unwrap();
    let Kind::Smtp(smtp) = &file.channel[0].kind else {
        panic!("the first is e-mail");
    };
    assert_eq!((smtp.port(), smtp.security), (587, Security::Starttls));
    assert!(file.channel[1].route().unwrap().audiences.is_empty());
    let Kind::Alertmanager(manager) = &file.channel[4].kind else {
        panic!("the last is Alertmanager");
    };
    assert_eq!(manager.resend_s, 60);
    let mut hook = file.channel[1].clone();
    hook.resolve(Path::new("/opt"));
    assert_eq!(hook, file.channel[1], "an absolute path stays");
    let relative = format!("{HOOK}{TICKET}")
        .replace("/etc/secret", "secret")
        .replace("/etc/token", "token");
    let mut relative: File = toml::from_str(&relative).unwrap();
    for channel in &mut relative.channel {
        channel.resolve(Path::new("/etc"));
    }
    assert_eq!(relative.channel[..], file.channel[1..3]);
}

#[test]
fn a_channel_that_reports_is_told_of_nothing_else() {
    let text = format!("{MAIL}report = {{ day = \"monday\", at = \"07:00\" }}\n");
    let file: File = toml::from_str(&text).unwrap();
    check(&file.channel).unwrap();
    assert_eq!(file.channel[0].route(), None);
}

#[test]
fn each_mistake_names_channel_and_field() {
    let mistakes = [
        (
            MAIL.replace("desk@d.example", "desk at d"),
            "channel `desk`: to: ",
        ),
        (
            format!("{MAIL}security = \"none-on-loopback-only\""),
            "channel `desk`: security: ",
        ),
        (
            format!("{MAIL}password_file = \"x\""),
            "channel `desk`: username: ",
        ),
        (
            format!("{MAIL}timeout_s = 0"),
            "channel `desk`: timeout_s: ",
        ),
        (
            format!("{MAIL}bounces_to = \"nobody\""),
            "channel `desk`: bounces_to: ",
        ),
        (
            format!("{MAIL}to_by_site = {{ Lincoln = [] }}"),
            "channel `desk`: to_by_site: has 0 receivers",
        ),
        (
            format!("{MAIL}{MAIL}"),
            "channel `desk`: name: is the name of an earlier",
        ),
        (
            MAIL.replace("\"desk\"", "\"Help desk\""),
            "channel `Help desk`: name: ",
        ),
        (
            format!("{MAIL}digest = {{ at = [\"7 o'clock\"] }}"),
            "channel `desk`: digest.at: `7 o'clock` is no time such as 07:30",
        ),
        (
            format!("{MAIL}report = {{ day = \"mon\", at = \"07:00\" }}"),
            "channel `desk`: report.day: `mon` is no day",
        ),
        (
            format!("{HOOK}digest = {{ at = [\"07:30\"] }}"),
            "channel `hook`: digest: is for channels of kind",
        ),
        (HOOK.replace("https", "http"), "channel `hook`: url: "),
        (
            HOOK.replace("https://", "https://user:secret@"),
            "channel `hook`: url: holds a user",
        ),
        (
            format!("{HOOK}secret_env = \"x\""),
            "channel `hook`: secret_file: ",
        ),
        (
            format!("{HOOK}secret = \"abc\""),
            "channel `hook`: unknown field `secret`",
        ),
        (
            HOOK.replace("webhook", "hook"),
            "channel `hook`: kind: must be `smtp`",
        ),
        (
            TICKET.replace("request-tracker", "request-tracer"),
            "channel `rt`: preset: `request-tracer` is no preset; there are freshservice",
        ),
        (
            TICKET.replace("queue =", "que ="),
            "channel `rt`: settings: the preset does not know `que`",
        ),
        (
            TICKET.replace("settings = { queue = \"Laptops\" }\n", ""),
            "channel `rt`: settings: `queue` is missing: The queue's name",
        ),
        (
            TICKET.replace("token =", "key ="),
            "channel `rt`: secrets: the preset does not know `key`; it knows token",
        ),
        (
            TICKET.replace("{ file = \"/etc/token\" }", "{}"),
            "channel `rt`: secrets: `token`: give either `file` or `env`",
        ),
        (
            format!("{MANAGER}labels = {{ \"1st\" = \"x\" }}"),
            "channel `am`: labels: `1st` is no name",
        ),
        (
            CHAT.replace("url_env = \"ROOM\"\n", ""),
            "channel `room`: url_file: give either `url_file` or `url_env`",
        ),
    ];
    for (text, message) in mistakes {
        let error = read(&text).unwrap_err();
        assert!(error.starts_with(message), "{error}");
    }
    for loopback in ["http://127.0.0.1:8080", "http://[::1]:8080"] {
        assert_eq!(
            read(&HOOK.replace("https://desk.example", loopback)),
            Ok(())
        );
    }
}
