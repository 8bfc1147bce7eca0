//! `run`: the collector itself.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rollcall_shared::time::SystemClock;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::{Addresses, Places};
use crate::collector::{Collector, Settings};

/// How long what cannot be cancelled, such as a reading from disk, may hold up the end.
const LAST_WORK: Duration = Duration::from_secs(2);

pub(super) fn run(places: &Places, addresses: &Addresses) -> anyhow::Result<()> {
    start_log();
    raise_descriptor_limit();
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let settings = Settings {
        data: places.data.clone(),
        config: places.config.clone(),
        grpc: addresses.grpc,
        http: addresses.http,
    };
    let done = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        tokio::spawn(cancel_on_signal(shutdown.clone())?);
        let collector = Collector::build(settings, Arc::new(SystemClock)).await?;
        collector.run(shutdown).await
    });
    runtime.shutdown_timeout(LAST_WORK);
    if done.is_ok() {
        crate::store::give_back(&places.data);
    }
    done
}

fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a task panicked")));
}

/// Each laptop takes a descriptor; systems start programs with as few as 1,024.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if setrlimit(Resource::Nofile, limit).is_err() {
        tracing::warn!("the limit of open files could not be raised");
    }
    let limits = super::capacity::Limits::read();
    let (laptops, descriptors) = (limits.laptops(), limits.descriptors);
    tracing::info!(
        laptops,
        descriptors,
        "so many laptops may be connected at once; `check-config` says what limits them"
    );
}

pub(super) fn cancel_on_signal(
    shutdown: CancellationToken,
) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot hear signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot hear signals")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        shutdown.cancel();
    })
}
