//! Ticket systems over HTTP: one ticket for each incident, as [`next`] decides and a preset describes.

mod call;
mod next;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use rollcall_shared::time::UnixMs;
use serde_json::Value;

use super::Outcome;
use super::config::TicketConfig;
use super::http::{self, Answer};
use super::letter::Letter;
use super::preset::template::{self, Values};
use super::preset::{Preset, Request};
use super::secret::Secret;
use crate::incident::Cause;
use crate::memo::{Content, Memo, MemoKey, Subject, Ticket, TicketState};
use crate::notification::DeviceName;
use crate::store::{Store, Write};
use call::{Called, Caller, Seen};
use next::{Ability, Next};

/// Decisions about one notification in one attempt: look for it, then act on what was found.
const DECISIONS: usize = 4;

/// A day, in milliseconds.
const DAY_MS: i64 = 86_400_000;

/// A ticket system.
pub struct TicketSystem {
    caller: Caller,
    preset: Arc<Preset>,
    can: Ability,
}

/// What became of an attempt, and what is to be committed with it.
pub struct Attempt {
    /// What became of it.
    pub outcome: Outcome,
    /// What is remembered from now on.
    pub writes: Vec<Write>,
    /// What was done, for the audit log.
    pub did: String,
}

impl TicketSystem {
    /// Reads the preset, the secrets and the certificates.
    pub fn build(config: &TicketConfig, timeout_s: u32) -> anyhow::Result<Self> {
        let preset = Arc::new(config.read_preset()?);
        config
            .check_against(&preset)
            .map_err(|(field, problem)| anyhow::anyhow!("{field}: {problem}"))?;
        let client = http::client(timeout_s, config.ca_file.as_deref())?;
        let mut fixed = settings(config, &preset);
        for (name, source) in &config.secrets {
            let secret = Secret::read(source.file.as_deref(), source.env.as_deref());
            let secret = secret
                .with_context(|| format!("secrets.{name}"))?
                .with_context(|| format!("secrets.{name}: is missing"))?;
            fixed.insert(format!("secret.{name}"), Value::from(secret.expose()));
        }
        let days = config.reopen_days.unwrap_or(preset.reopen_days);
        let settle_s = config.settle_s.unwrap_or(preset.settle_s);
        Ok(Self {
            can: Ability {
                find: preset.find.is_some(),
                comment: !preset.comment.is_empty(),
                resolve: !preset.resolve.is_empty(),
                reopen: !preset.reopen.is_empty(),
                reopen_ms: i64::from(days) * DAY_MS,
                settle_ms: i64::from(settle_s) * 1000,
            },
            caller: Caller::new(client, &config.url, Arc::clone(&preset), fixed),
            preset,
        })
    }

    /// Does what is next for a letter. That a ticket is asked for is durable before it is.
    pub async fn deliver(&self, letter: &Letter, store: &Store, now: UnixMs) -> Attempt {
        let key = &letter.notification.key;
        let subject = Subject::Ticket(key.incident);
        let key = MemoKey {
            channel: key.channel.clone(),
            subject,
        };
        let known = match store.memo(&key).map(|memo| memo.content) {
            Some(Content::Ticket(ticket)) => Some(ticket),
            _ => None,
        };
        let mut desk = Desk {
            system: self,
            letter,
            store,
            now,
            known,
            did: String::new(),
        };
        let outcome = match desk.follow().await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Rejected(format!("{error:#}")),
        };
        let writes = match desk.known {
            Some(ticket) => vec![Write::PutMemo(Memo {
                key,
                content: Content::Ticket(ticket),
            })],
            None if store.memo(&key).is_some() => vec![Write::RemoveMemo(key)],
            None => Vec::new(),
        };
        Attempt {
            outcome,
            writes,
            did: desk.did,
        }
    }

    /// Makes a ticket that says it is a test, and does with it whatever the system can; answers what was
    /// done.
    pub async fn test(&self, letter: &Letter) -> anyhow::Result<String> {
        let mut values = values_of(letter);
        let key = letter.notification.incident.id.to_string();
        values.insert("key".to_owned(), Value::from(key.clone()));
        let made = self
            .test_call("create", &self.preset.create.request, &values)
            .await?;
        let ticket = self
            .caller
            .created(&made)
            .context("create: its answer shows no ticket where the preset looks for it")?;
        let mut did = format!("made ticket {}", ticket.number);
        add_ticket(&mut values, &ticket.id, &ticket.number);
        if let Some(find) = &self.preset.find {
            let answer = self.test_call("find", &find.request, &values).await?;
            let found = self.caller.found(&answer, &key)?;
            match found.iter().any(|seen| seen.id == ticket.id) {
                true => did.push_str(", found it by its key"),
                false => did.push_str(", did not find it by its key yet"),
            }
        }
        let steps = [
            ("comment", "commented", &self.preset.comment),
            ("resolve", "resolved", &self.preset.resolve),
        ];
        for (name, word, requests) in steps {
            for request in requests {
                self.test_call(name, request, &values).await?;
            }
            if !requests.is_empty() {
                did.push_str(&format!(", {word} it"));
            }
        }
        Ok(did)
    }

    async fn test_call(
        &self,
        name: &str,
        request: &Request,
        values: &Values,
    ) -> anyhow::Result<Answer> {
        match self.caller.call(request, values).await? {
            Called::Success(answer) => Ok(answer),
            Called::Refused(answer) => anyhow::bail!("{name}: {}", answer.words()),
            Called::Unanswered(error) => anyhow::bail!("{name}: {}", error.why),
        }
    }
}

/// One attempt in the making.
struct Desk<'a> {
    system: &'a TicketSystem,
    letter: &'a Letter,
    store: &'a Store,
    now: UnixMs,
    /// What is known of the ticket, and is remembered afterwards.
    known: Option<Ticket>,
    did: String,
}

impl Desk<'_> {
    async fn follow(&mut self) -> anyhow::Result<Outcome> {
        let told = &self.letter.notification;
        let (event, incident, can) = (told.event, told.key.incident, self.system.can);
        let mut step = next::next(
            event,
            incident,
            self.known.as_ref(),
            can,
            told.is_by_hand,
            self.now,
        );
        for _ in 0..DECISIONS {
            step = match step {
                Next::Create { key, earlier } => return self.create(key, earlier).await,
                Next::Find(key) => match self.find(&key).await? {
                    Ok(true) => {
                        let known = self.known.as_ref();
                        next::next(event, incident, known, can, false, self.now)
                    }
                    Ok(false) => {
                        next::not_found(event, incident, self.known.as_ref(), can, self.now)
                    }
                    Err(outcome) => return Ok(outcome),
                },
                Next::Comment => return self.take("commented", &self.system.preset.comment).await,
                Next::Resolve => return self.take("resolved", &self.system.preset.resolve).await,
                Next::Reopen => return self.take("reopened", &self.system.preset.reopen).await,
                Next::Nothing(why) => {
                    self.did = why.to_owned();
                    if self.is_unmade() {
                        self.known = None;
                    }
                    return Ok(Outcome::Delivered);
                }
                Next::NotBefore(at) => {
                    return Ok(Outcome::Retry {
                        why: "the create was not answered, and the ticket is not to be found yet"
                            .to_owned(),
                        after_ms: Some(at.since(self.now)),
                    });
                }
                Next::AskPerson(key) => {
                    return Ok(Outcome::Rejected(format!(
                        "the create was not answered, and this system cannot be searched: look there \
                         for {key}, then discard this if there is a ticket, or else retry it"
                    )));
                }
            };
        }
        Ok(Outcome::retry("there is always something else to be done"))
    }

    fn is_unmade(&self) -> bool {
        let state = self.known.as_ref().map(|ticket| ticket.state);
        state == Some(TicketState::Asked)
    }

    async fn create(&mut self, key: String, earlier: u32) -> anyhow::Result<Outcome> {
        let asked = Ticket {
            key: key.clone(),
            state: TicketState::Asked,
            id: String::new(),
            number: String::new(),
            at: self.now,
            earlier,
        };
        let told = &self.letter.notification.key;
        let memo = Memo::of_ticket(&told.channel, told.incident, asked.clone());
        if let Err(error) = self.store.commit(vec![Write::PutMemo(memo)]).await {
            return Ok(Outcome::retry(format!("nothing was asked for: {error}")));
        }
        let before = self.known.replace(asked);
        let request = &self.system.preset.create.request;
        match self.system.caller.call(request, &self.values(&key)).await? {
            Called::Success(answer) => match self.system.caller.created(&answer) {
                Some(seen) => {
                    self.did = format!("made ticket {}", seen.number);
                    self.note(&seen);
                    Ok(Outcome::Delivered)
                }
                None => Ok(Outcome::retry(format!(
                    "create: the answer shows no ticket at `{}`: {}",
                    self.system.preset.create.id,
                    answer.words()
                ))),
            },
            Called::Refused(answer) => {
                // A refusal by the system itself made nothing; a gateway's error may come after it did.
                if !answer.status.is_server_error() {
                    self.known = before;
                }
                Ok(named("create", answer.outcome()))
            }
            Called::Unanswered(error) => {
                if error.was_not_sent {
                    self.known = before;
                }
                Ok(named("create", error.outcome()))
            }
        }
    }

    /// Looks for the ticket; whether it is there.
    async fn find(&mut self, key: &str) -> anyhow::Result<Result<bool, Outcome>> {
        let Some(find) = &self.system.preset.find else {
            return Ok(Ok(false));
        };
        let values = self.values(key);
        let answer = match self.system.caller.call(&find.request, &values).await? {
            Called::Success(answer) => answer,
            Called::Refused(answer) => return Ok(Err(named("find", answer.outcome()))),
            Called::Unanswered(error) => return Ok(Err(named("find", error.outcome()))),
        };
        let seen = self.system.caller.found(&answer, key)?;
        if seen.len() > 1 {
            let numbers: Vec<&str> = seen.iter().map(|seen| seen.number.as_str()).collect();
            tracing::warn!(
                key,
                tickets = numbers.join(", "),
                "several tickets bear one key"
            );
        }
        // An open one before a closed one; otherwise the one that was made first.
        let best = seen.iter().find(|seen| !seen.is_closed).or(seen.first());
        let Some(best) = best else {
            return Ok(Ok(false));
        };
        self.did = format!("found ticket {}", best.number);
        if self.known.is_none() {
            self.known = Some(Ticket {
                key: key.to_owned(),
                state: TicketState::Open,
                id: String::new(),
                number: String::new(),
                at: self.now,
                earlier: 0,
            });
        }
        self.note(&best.clone());
        Ok(Ok(true))
    }

    fn note(&mut self, seen: &Seen) {
        if let Some(ticket) = &mut self.known {
            ticket.id.clone_from(&seen.id);
            ticket.number.clone_from(&seen.number);
            ticket.at = self.now;
            ticket.state = match seen.is_closed {
                true => TicketState::Closed,
                false => TicketState::Open,
            };
        }
    }

    /// Makes the calls of a step, each of which has to succeed.
    async fn take(&mut self, word: &str, requests: &[Request]) -> anyhow::Result<Outcome> {
        let Some(ticket) = self.known.clone() else {
            return Ok(Outcome::retry("there is no ticket"));
        };
        let values = self.values(&ticket.key);
        for request in requests {
            match self.system.caller.call(request, &values).await? {
                Called::Success(_) => {}
                Called::Refused(answer) if is_gone(&answer) => return Ok(self.forget(word)),
                Called::Refused(answer) => return Ok(named(word, answer.outcome())),
                Called::Unanswered(error) => return Ok(named(word, error.outcome())),
            }
        }
        self.did = format!("{word} ticket {}", ticket.number);
        if let Some(known) = &mut self.known {
            match word {
                "resolved" => (known.state, known.at) = (TicketState::Closed, self.now),
                "reopened" => (known.state, known.at) = (TicketState::Open, self.now),
                _ => {}
            }
        }
        Ok(Outcome::Delivered)
    }

    /// Somebody has removed the ticket: its end needs no word, and for anything else there is a new one.
    fn forget(&mut self, word: &str) -> Outcome {
        let Some(known) = &mut self.known else {
            return Outcome::Delivered;
        };
        self.did = format!("ticket {} is gone", known.number);
        if word == "resolved" {
            known.state = TicketState::Closed;
            return Outcome::Delivered;
        }
        // Old enough that a search without a find counts at once.
        (known.state, known.at) = (TicketState::Asked, UnixMs(0));
        if !self.system.can.find {
            self.known = None;
        }
        Outcome::retry("the ticket is gone")
    }

    fn values(&self, key: &str) -> Values {
        let mut values = values_of(self.letter);
        values.insert("key".to_owned(), Value::from(key));
        if let Some(ticket) = &self.known {
            add_ticket(&mut values, &ticket.id, &ticket.number);
        }
        values
    }
}

fn is_gone(answer: &Answer) -> bool {
    [reqwest::StatusCode::NOT_FOUND, reqwest::StatusCode::GONE].contains(&answer.status)
}

/// The outcome, with the step that led to it.
fn named(step: &str, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Retry { why, after_ms } => Outcome::Retry {
            why: format!("{step}: {why}"),
            after_ms,
        },
        Outcome::Rejected(why) => Outcome::Rejected(format!("{step}: {why}")),
        delivered => delivered,
    }
}

fn add_ticket(values: &mut Values, id: &str, number: &str) {
    values.insert("ticket.id".to_owned(), Value::from(id));
    values.insert("ticket.number".to_owned(), Value::from(number));
}

fn settings(config: &TicketConfig, preset: &Preset) -> Values {
    let mut values = BTreeMap::new();
    for (name, setting) in &preset.settings {
        let given = config.settings.get(name).or(setting.default.as_ref());
        let value = given.map_or(Value::Null, template::json);
        values.insert(format!("settings.{name}"), value);
    }
    values
}

/// What a letter gives to templates.
fn values_of(letter: &Letter) -> Values {
    let told = &letter.notification;
    let incident = &told.incident;
    let leading = incident.leading();
    let device = match incident.cause {
        Cause::Device(device) => device.to_string(),
        Cause::Shared { .. } => String::new(),
    };
    let text = |text: &str| Value::from(text);
    let of_device = |field: fn(&DeviceName) -> &Option<String>| match &told.devices[..] {
        [device] => field(device).as_deref().unwrap_or_default(),
        _ => "",
    };
    let sites: Vec<&str> = incident.sites.iter().map(|site| site.as_str()).collect();
    let pairs = [
        ("key", text(&incident.id.to_string())),
        ("event", text(told.event.word())),
        ("subject", text(&letter.subject())),
        ("title", text(&letter.title())),
        ("text", text(&letter.text())),
        ("html", text(&letter.html())),
        ("severity", text(incident.severity.word())),
        ("audience", text(incident.audience.word())),
        ("site", text(&letter.place())),
        ("sites", Value::from(sites)),
        ("rule", text(leading.map_or("", |f| f.key.rule.as_str()))),
        (
            "evidence",
            text(leading.map_or("", |f| f.evidence.as_str())),
        ),
        ("device", text(&device)),
        ("device_name", text(&letter.what())),
        ("asset_tag", text(of_device(|device| &device.tag))),
        ("school", text(of_device(|device| &device.school))),
        ("devices", Value::from(incident.devices)),
        ("since", text(&incident.since.to_string())),
        ("incident", text(&incident.id.to_string())),
        ("runbook", text(&letter.runbook)),
        ("family", text(&letter.family_text())),
        ("is_shared", Value::from(device.is_empty())),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
