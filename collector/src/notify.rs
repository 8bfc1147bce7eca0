//! Notify: from the outbox to the desks, at least once, each attempt with the same idempotency key.
//!
//! Every channel has a worker of its own, so that one that is down holds up no other. What it does
//! next is decided purely in [`outbox`], for digests in [`digest`] and for tickets in `ticket/next.rs`;
//! the worker delivers and commits what came of it. A notification leaves the outbox only when it was
//! delivered, when somebody discarded it, or when it and its resolution were both untold: a ticket that
//! is over before anybody heard of it is noise.

mod alertmanager;
mod chat;
pub mod config;
mod digest;
mod email;
pub(crate) mod http;
mod letter;
mod markup;
mod outbox;
mod post;
pub mod preset;
mod report;
pub mod route;
pub(crate) mod secret;
mod slots;
mod ticket;
mod webhook;
mod worker;

use std::sync::Arc;

use anyhow::Context as _;
use rollcall_shared::time::{Clock, UnixMs};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::evaluate::book::RuleBook;
use crate::store::{Store, Write};
use config::{ChannelConfig, Kind};
use letter::Letter;
use post::Post;
use route::Route;
use worker::Worker;

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// Some receivers have it; the others never will, and why.
    Partly(String),
    /// It may succeed later; the receiver may have said after how many seconds.
    Retry {
        /// Why it failed.
        why: String,
        /// The receiver's wish, in milliseconds.
        after_ms: Option<i64>,
    },
    /// No further attempt can succeed without somebody's doing.
    Rejected(String),
}

impl Outcome {
    fn retry(why: impl Into<String>) -> Self {
        Self::Retry {
            why: why.into(),
            after_ms: None,
        }
    }
}

/// A channel that is ready to send.
pub(crate) enum Channel {
    Smtp(email::Smtp),
    Webhook(webhook::Webhook),
    Chat(chat::Chat),
    Alertmanager(alertmanager::Alertmanager),
    Ticket(ticket::TicketSystem),
}

/// What became of a letter, and what is committed with that.
pub(crate) struct Sent {
    outcome: Outcome,
    writes: Vec<Write>,
    /// What was done, where that is not plain.
    did: String,
}

impl Channel {
    /// Reads the channel's secrets and certificates.
    fn build(config: &ChannelConfig) -> anyhow::Result<Self> {
        let timeout_s = config.common.timeout_s;
        let built = match &config.kind {
            Kind::Smtp(smtp) => email::Smtp::build(smtp, timeout_s).map(Self::Smtp),
            Kind::Webhook(hook) => webhook::Webhook::build(hook, timeout_s).map(Self::Webhook),
            Kind::Chat(chat) => chat::Chat::build(chat, timeout_s).map(Self::Chat),
            Kind::Alertmanager(manager) => {
                alertmanager::Alertmanager::build(manager, timeout_s).map(Self::Alertmanager)
            }
            Kind::Ticket(ticket) => {
                ticket::TicketSystem::build(ticket, timeout_s).map(Self::Ticket)
            }
        };
        built.with_context(|| format!("channel `{}`", config.name()))
    }

    /// Tells of one incident.
    async fn send(&self, letter: &Letter, store: &Store, now: UnixMs) -> Sent {
        let outcome = match self {
            Self::Ticket(system) => {
                let attempt = system.deliver(letter, store, now).await;
                return Sent {
                    outcome: attempt.outcome,
                    writes: attempt.writes,
                    did: attempt.did,
                };
            }
            Self::Smtp(_) | Self::Chat(_) => self.post(&Post::of(letter), now).await,
            Self::Webhook(hook) => hook.send(letter, now).await,
            Self::Alertmanager(manager) => manager.send(letter, now).await,
        };
        Sent {
            outcome,
            writes: Vec::new(),
            did: String::new(),
        }
    }

    /// Sends what people read; the configuration admits no other channel for it.
    async fn post(&self, post: &Post, now: UnixMs) -> Outcome {
        match self {
            Self::Smtp(smtp) => smtp.send(post, now).await,
            Self::Chat(chat) => chat.send(post).await,
            Self::Webhook(_) | Self::Alertmanager(_) | Self::Ticket(_) => Outcome::Rejected(
                "this kind of channel is told of single incidents only".to_owned(),
            ),
        }
    }

    /// Tries the channel out; answers what was done.
    async fn test(&self, letter: &Letter, now: UnixMs) -> anyhow::Result<String> {
        let outcome = match self {
            Self::Ticket(system) => return system.test(letter).await,
            Self::Smtp(_) | Self::Chat(_) => self.post(&Post::of(letter), now).await,
            Self::Webhook(hook) => hook.send(letter, now).await,
            Self::Alertmanager(manager) => manager.send(letter, now).await,
        };
        match outcome {
            Outcome::Delivered => Ok("took the message".to_owned()),
            Outcome::Partly(why) => anyhow::bail!("not all receivers took it: {why}"),
            Outcome::Retry { why, .. } => anyhow::bail!("{why}; it may work later"),
            Outcome::Rejected(why) => anyhow::bail!("{why}"),
        }
    }
}

/// The channels of a collector, ready to run.
pub struct Notifier {
    workers: Vec<Worker>,
    routes: Vec<Route>,
}

impl Notifier {
    /// Makes each channel ready; its secrets and certificates are read here.
    ///
    /// # Errors
    /// The first channel that is not right, with the field.
    pub fn build(
        store: &Store,
        book: &RuleBook,
        channels: &[ChannelConfig],
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        config::check(channels)?;
        let worker = |config: &ChannelConfig| {
            let channel = Channel::build(config)?;
            let (store, book, clock) = (store.clone(), book.clone(), Arc::clone(clock));
            Ok(Worker::new(config, channel, store, book, clock))
        };
        Ok(Self {
            workers: channels.iter().map(worker).collect::<anyhow::Result<_>>()?,
            routes: channels.iter().filter_map(ChannelConfig::route).collect(),
        })
    }

    /// What each channel wants to be told, for the evaluator.
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        self.routes.clone()
    }

    /// Delivers until shutdown; an attempt under way then ends within its timeout or is made again
    /// after the next start.
    ///
    /// # Errors
    /// When the store has failed for good.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut running = JoinSet::new();
        for worker in self.workers {
            running.spawn(worker.run(shutdown.clone()));
        }
        while let Some(ended) = running.join_next().await {
            ended.context("a channel's worker")??;
        }
        Ok(())
    }
}

/// Sends a message that says it is a test, or makes such a ticket; answers what was done.
///
/// # Errors
/// When the channel is not right, or the message was not taken.
pub async fn test_channel(config: &ChannelConfig, now: UnixMs) -> anyhow::Result<String> {
    config::check(std::slice::from_ref(config))?;
    let channel = Channel::build(config)?;
    let tested = channel.test(&Letter::test(config.name(), now), now).await;
    tested.with_context(|| format!("channel `{}`", config.name()))
}

/// Whether a channel is right as far as that can be told without calling anybody: its fields, its preset,
/// its secrets and certificates; answers what it is.
///
/// # Errors
/// What is wrong, with the field.
pub fn check_channel(config: &ChannelConfig) -> anyhow::Result<String> {
    config::check(std::slice::from_ref(config))?;
    Channel::build(config)?;
    Ok(match &config.kind {
        Kind::Smtp(smtp) => format!("e-mail by {}", smtp.host),
        Kind::Webhook(hook) => format!("signed calls of {}", hook.url),
        Kind::Chat(_) => "messages to a chat".to_owned(),
        Kind::Alertmanager(manager) => format!("alerts to {}", manager.url),
        Kind::Ticket(ticket) => {
            let preset = ticket.read_preset()?;
            let tried = match &preset.tried {
                Some(tried) => format!("tried with {tried}"),
                None => "not yet tried against the vendor".to_owned(),
            };
            format!("tickets in {} at {} ({tried})", preset.title, ticket.url)
        }
    })
}

#[cfg(test)]
mod tests;
