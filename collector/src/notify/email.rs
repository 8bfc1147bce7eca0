//! E-mail by SMTP, with TLS and authentication.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use rollcall_shared::time::UnixMs;

use super::Outcome;
use super::config::{Security, SmtpConfig};
use super::letter::Letter;
use super::secret::Secret;

/// A mail server and who is written to.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    timeout: Duration,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Smtp {
    /// Reads the password and the certificates.
    pub fn build(config: &SmtpConfig) -> anyhow::Result<Self> {
        let timeout = Duration::from_secs(config.timeout_s.into());
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port())
            .timeout(Some(timeout))
            .tls(tls(config)?);
        let password = Secret::read(
            config.password_file.as_deref(),
            config.password_env.as_deref(),
        )
        .context("password_file")?;
        if let (Some(username), Some(password)) = (&config.username, password) {
            let password = password.expose().to_owned();
            builder = builder.credentials(Credentials::new(username.clone(), password));
        }
        let mailbox = |text: &String| text.parse::<Mailbox>().with_context(|| text.clone());
        Ok(Self {
            transport: builder.build(),
            timeout,
            from: mailbox(&config.from).context("from")?,
            to: config
                .to
                .iter()
                .map(mailbox)
                .collect::<anyhow::Result<_>>()
                .context("to")?,
        })
    }

    /// Sends a letter; the server's timeout bounds each of its answers, and this one the whole.
    pub async fn send(&self, letter: &Letter, now: UnixMs) -> Outcome {
        let message = match message(letter, &self.from, &self.to, now) {
            Ok(message) => message,
            Err(error) => {
                return Outcome::Rejected(format!("the message cannot be written: {error:#}"));
            }
        };
        match tokio::time::timeout(self.timeout, self.transport.send(message)).await {
            Ok(Ok(_)) => Outcome::Delivered,
            Ok(Err(error)) => classify(&error),
            Err(_) => Outcome::retry(format!("no answer within {} s", self.timeout.as_secs())),
        }
    }
}

/// A reply of the 5xx class is final; 4xx, lost connections and failed TLS may pass.
fn classify(error: &lettre::transport::smtp::Error) -> Outcome {
    let why = chain(error);
    if error.is_permanent() {
        Outcome::Rejected(why)
    } else {
        Outcome::retry(why)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn tls(config: &SmtpConfig) -> anyhow::Result<Tls> {
    if config.security == Security::NoneOnLoopbackOnly {
        return Ok(Tls::None);
    }
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(file) = &config.ca_file {
        let read =
            || -> anyhow::Result<Certificate> { Ok(Certificate::from_pem(&std::fs::read(file)?)?) };
        let certificate = read().with_context(|| format!("ca_file {}", file.display()))?;
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(certificate);
    }
    let parameters = builder.build_rustls().context("TLS")?;
    Ok(match config.security {
        Security::Tls => Tls::Wrapper(parameters),
        _ => Tls::Required(parameters),
    })
}

/// The letter as a message that threads with the others about its alert and that no machine answers.
fn message(
    letter: &Letter,
    from: &Mailbox,
    to: &[Mailbox],
    now: UnixMs,
) -> anyhow::Result<Message> {
    let domain = from.email.domain();
    let (id, thread) = (letter.key(), letter.thread_key());
    let mut builder = Message::builder()
        .from(from.clone())
        .date(system_time(now))
        .subject(letter.subject())
        .message_id(Some(format!("<{id}@{domain}>")))
        .raw_header(raw("X-Rollcall-Key", id.clone()))
        .raw_header(raw("Auto-Submitted", "auto-generated".to_owned()))
        .header(ContentType::TEXT_PLAIN);
    if thread != id {
        let first = format!("<{thread}@{domain}>");
        builder = builder.in_reply_to(first.clone()).references(first);
    }
    for mailbox in to {
        builder = builder.to(mailbox.clone());
    }
    Ok(builder.body(letter.text())?)
}

fn raw(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

fn system_time(now: UnixMs) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(now.0).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;
    use crate::notification::Event;
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    const NOW: UnixMs = UnixMs(1_788_361_200_000);

    /// A server on loopback that answers the end of a message with `reply`, or hangs up without one.
    async fn converse(reply: Option<&'static str>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            let mut heard = Vec::new();
            let mut in_body = false;
            write.write_all(b"220 ready\r\n").await.unwrap();
            while let Ok(Some(line)) = lines.next_line().await {
                let answer = match (in_body, line.as_str()) {
                    (true, ".") => match reply {
                        Some(reply) => reply,
                        None => return heard,
                    },
                    (true, _) => "",
                    (false, "DATA") => "354 go on",
                    (false, "QUIT") => "221 bye",
                    (false, _) => "250 ok",
                };
                in_body = (in_body || line == "DATA") && line != ".";
                if !answer.is_empty() {
                    write
                        .write_all(format!("{answer}\r\n").as_bytes())
                        .await
                        .unwrap();
                }
                heard.push(line);
            }
            heard
        });
        (port, heard)
    }

    fn plain(port: u16, timeout_s: u32) -> Smtp {
        let text = format!(
            "name = \"desk\"\nhost = \"127.0.0.1\"\nport = {port}\nsecurity = \"none-on-loopback-only\"\n\
             from = \"rollcall@d.example\"\nto = [\"desk@d.example\"]\ntimeout_s = {timeout_s}\n"
        );
        Smtp::build(&toml::from_str(&text).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn replies_decide_what_becomes_of_a_letter() {
        let letter = letter(Event::Fired);
        for (reply, expected) in [
            (Some("250 kept"), "delivered"),
            (Some("451 4.3.2 later"), "retry"),
            (Some("554 5.7.1 never"), "rejected"),
            (None, "retry"),
        ] {
            let (port, heard) = converse(reply).await;
            let outcome = plain(port, 10).send(&letter, NOW).await;
            let word = match &outcome {
                Outcome::Delivered => "delivered",
                Outcome::Retry { .. } => "retry",
                Outcome::Rejected(_) => "rejected",
            };
            assert_eq!(word, expected, "{reply:?}: {outcome:?}");
            let heard = heard.await.unwrap();
            assert!(
                heard.iter().any(|line| line == "RCPT TO:<desk@d.example>"),
                "{heard:?}"
            );
            let key = format!("X-Rollcall-Key: {}", letter.key());
            assert!(
                heard.join("\n").replace("\n ", " ").contains(&key),
                "{heard:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let outcome = plain(port, 1).send(&letter(Event::Fired), NOW).await;
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    }

    #[tokio::test]
    async fn without_tls_nothing_is_sent_to_a_server_that_must_have_it() {
        let (port, heard) = converse(Some("250 kept")).await;
        let mut secure = plain(port, 10);
        let text = format!(
            "name = \"desk\"\nhost = \"localhost\"\nport = {port}\nfrom = \"a@d.example\"\nto = [\"b@d.example\"]\n"
        );
        secure.transport = Smtp::build(&toml::from_str(&text).unwrap())
            .unwrap()
            .transport;
        let outcome = secure.send(&letter(Event::Fired), NOW).await;
        assert!(!matches!(outcome, Outcome::Delivered), "{outcome:?}");
        let heard = heard.await.unwrap();
        assert!(
            !heard.iter().any(|line| line.starts_with("MAIL")),
            "{heard:?}"
        );
    }

    fn written(event: Event) -> (Letter, String) {
        let letter = letter(event);
        let from = "Rollcall <rollcall@d.example>".parse().unwrap();
        let to = ["desk@d.example".parse().unwrap()];
        let message = message(&letter, &from, &to, NOW).unwrap();
        (letter, String::from_utf8(message.formatted()).unwrap())
    }

    #[test]
    fn a_message_carries_its_key_and_no_machine_answers_it() {
        let (letter, text) = written(Event::Fired);
        let key = letter.key();
        for line in [
            format!("Message-ID: <{key}@d.example>\r\n"),
            "Auto-Submitted: auto-generated\r\n".to_owned(),
            "Date: Wed, 02 Sep 2026 15:00:00 +0000\r\n".to_owned(),
            "To: desk@d.example\r\n".to_owned(),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }
        assert!(
            text.replace("\r\n ", " ")
                .contains(&format!("X-Rollcall-Key: {key}")),
            "{text}"
        );
        assert!(!text.contains("In-Reply-To"));
    }

    #[test]
    fn a_resolution_answers_the_message_that_told_of_it() {
        let (letter, text) = written(Event::Resolved);
        let first = format!("<{}@d.example>", letter.thread_key());
        let unfolded = text.replace("\r\n ", " ");
        assert!(
            unfolded.contains(&format!("In-Reply-To: {first}")),
            "{text}"
        );
        assert!(unfolded.contains(&format!("References: {first}")), "{text}");
    }
}
