//! Notify: from the outbox to the desks, at least once, each attempt with the same idempotency key.
//!
//! Every channel has a worker of its own, so that one that is down holds up no other. What it does
//! next is decided purely in [`outbox`]; the worker delivers and commits what came of it. A
//! notification leaves the outbox only when it was delivered, or when it and its resolution were both
//! untold: a ticket that is over before anybody heard of it is noise.

pub mod config;
mod email;
mod letter;
mod outbox;
pub mod route;
mod secret;
mod webhook;
mod worker;

use std::sync::Arc;

use anyhow::Context as _;
use rollcall_shared::time::{Clock, UnixMs};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::evaluate::book::RuleBook;
use crate::store::Store;
use config::ChannelConfig;
use letter::Letter;
use route::Route;
use worker::Worker;

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
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
}

impl Channel {
    /// Reads the channel's secrets and certificates.
    fn build(config: &ChannelConfig) -> anyhow::Result<Self> {
        let built = match config {
            ChannelConfig::Smtp(smtp) => email::Smtp::build(smtp).map(Self::Smtp),
            ChannelConfig::Webhook(hook) => webhook::Webhook::build(hook).map(Self::Webhook),
        };
        built.with_context(|| format!("channel `{}`", config.name()))
    }

    async fn send(&self, letter: &Letter, now: UnixMs) -> Outcome {
        match self {
            Self::Smtp(smtp) => smtp.send(letter, now).await,
            Self::Webhook(hook) => hook.send(letter, now).await,
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
            routes: channels.iter().map(ChannelConfig::route).collect(),
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

/// Sends a message that says it is a test.
///
/// # Errors
/// When the channel is not right, or the message was not taken.
pub async fn test_channel(config: &ChannelConfig, now: UnixMs) -> anyhow::Result<()> {
    config::check(std::slice::from_ref(config))?;
    let channel = Channel::build(config)?;
    match channel.send(&Letter::test(config.name(), now), now).await {
        Outcome::Delivered => Ok(()),
        Outcome::Retry { why, .. } => {
            anyhow::bail!("channel `{}`: {why}; it may work later", config.name())
        }
        Outcome::Rejected(why) => anyhow::bail!("channel `{}`: {why}", config.name()),
    }
}

#[cfg(test)]
mod tests;
