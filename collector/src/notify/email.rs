//! E-mail by SMTP, with TLS and authentication.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use rollcall_shared::error::chain;
use rollcall_shared::id::Label;
use rollcall_shared::time::UnixMs;

use super::Outcome;
use super::config::{Security, SmtpConfig};
use super::markup::page;
use super::post::Post;
use super::secret::Secret;

/// A mail server and who is written to.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    timeout: Duration,
    from: Mailbox,
    /// Where servers report what they could not deliver later on.
    bounces_to: Address,
    to: Vec<Mailbox>,
    to_by_site: BTreeMap<Label, Vec<Mailbox>>,
}

impl Smtp {
    /// Reads the password and the certificates.
    pub fn build(config: &SmtpConfig, timeout_s: u32) -> anyhow::Result<Self> {
        let timeout = Duration::from_secs(timeout_s.into());
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
        let mailboxes = |texts: &[String]| -> anyhow::Result<Vec<Mailbox>> {
            texts.iter().map(mailbox).collect()
        };
        let from = mailbox(&config.from).context("from")?;
        let bounces_to = match &config.bounces_to {
            Some(text) => mailbox(text).context("bounces_to")?.email,
            None => from.email.clone(),
        };
        let by_site = config.to_by_site.iter();
        let by_site = by_site.map(|(site, to)| Ok((site.clone(), mailboxes(to)?)));
        Ok(Self {
            transport: builder.build(),
            timeout,
            from,
            bounces_to,
            to: mailboxes(&config.to).context("to")?,
            to_by_site: by_site
                .collect::<anyhow::Result<_>>()
                .context("to_by_site")?,
        })
    }

    /// Sends a message to all its receivers. Where the server refuses it for good, each receiver is tried
    /// alone, so that one address that is gone does not keep it from the others.
    pub async fn send(&self, post: &Post, now: UnixMs) -> Outcome {
        let to = self.receivers(post);
        let message = match message(post, &self.from, to, now) {
            Ok(message) => message.formatted(),
            Err(error) => {
                return Outcome::Rejected(format!("the message cannot be written: {error:#}"));
            }
        };
        match self.offer(to, &message).await {
            Outcome::Rejected(why) if to.len() > 1 => self.offer_to_each(to, &message, &why).await,
            outcome => outcome,
        }
    }

    fn receivers(&self, post: &Post) -> &[Mailbox] {
        let of_site = post
            .site
            .as_ref()
            .and_then(|site| self.to_by_site.get(site));
        of_site.unwrap_or(&self.to)
    }

    async fn offer_to_each(&self, to: &[Mailbox], message: &[u8], why: &str) -> Outcome {
        let mut refused = Vec::new();
        for mailbox in to {
            match self.offer(std::slice::from_ref(mailbox), message).await {
                Outcome::Rejected(why) => refused.push(format!("{}: {why}", mailbox.email)),
                // All are tried again; the others know the message by its id.
                retry @ Outcome::Retry { .. } => return retry,
                Outcome::Delivered | Outcome::Partly(_) => {}
            }
        }
        match refused.len() {
            // Whatever it was, it is over.
            0 => Outcome::Delivered,
            all if all == to.len() => Outcome::Rejected(why.to_owned()),
            _ => Outcome::Partly(refused.join("; ")),
        }
    }

    /// Offers a message; the server's timeout bounds each of its answers, and this one the whole.
    async fn offer(&self, to: &[Mailbox], message: &[u8]) -> Outcome {
        let to = to.iter().map(|mailbox| mailbox.email.clone()).collect();
        let envelope = match Envelope::new(Some(self.bounces_to.clone()), to) {
            Ok(envelope) => envelope,
            Err(error) => return Outcome::Rejected(error.to_string()),
        };
        let sent = self.transport.send_raw(&envelope, message);
        match tokio::time::timeout(self.timeout, sent).await {
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

/// A post as a message that threads with the others about its incident and that no machine answers.
fn message(post: &Post, from: &Mailbox, to: &[Mailbox], now: UnixMs) -> anyhow::Result<Message> {
    let domain = from.email.domain();
    let id = &post.key;
    let mut builder = Message::builder()
        .from(from.clone())
        .date(system_time(now))
        .subject(post.subject.clone())
        .message_id(Some(format!("<{id}@{domain}>")))
        .raw_header(raw("X-Rollcall-Key", id.clone()))
        .raw_header(raw("Auto-Submitted", "auto-generated".to_owned()));
    if let Some(thread) = &post.answers {
        let first = format!("<{thread}@{domain}>");
        builder = builder.in_reply_to(first.clone()).references(first);
    }
    for mailbox in to {
        builder = builder.to(mailbox.clone());
    }
    let html = page(&post.subject, &post.html);
    Ok(builder.multipart(MultiPart::alternative_plain_html(post.text.clone(), html))?)
}

fn raw(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

fn system_time(now: UnixMs) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(now.0).unwrap_or(0))
}

#[cfg(test)]
mod tests;
