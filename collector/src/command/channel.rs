//! Channels: checked offline, and tried out.

use std::path::PathBuf;

use anyhow::Context as _;
use rollcall_shared::time::{Clock as _, SystemClock};

use super::{ChannelCommand, Places};
use crate::config::Config;
use crate::notify::preset::{Preset, built_in, names};
use crate::notify::{check_channel, test_channel};

pub(super) fn run(places: &Places, command: ChannelCommand) -> anyhow::Result<()> {
    match command {
        ChannelCommand::Check { presets } if presets.is_empty() => check_channels(places),
        ChannelCommand::Check { presets } => check_presets(&presets),
        ChannelCommand::Presets => list_presets(),
        ChannelCommand::Test { name } => test(places, &name),
    }
}

fn check_channels(places: &Places) -> anyhow::Result<()> {
    let config = Config::read(places.config.as_deref())?;
    for channel in &config.channel {
        println!("{}: right: {}", channel.name(), check_channel(channel)?);
    }
    if config.channel.is_empty() {
        println!("there is no channel; alerts are only shown");
    }
    Ok(())
}

fn check_presets(files: &[PathBuf]) -> anyhow::Result<()> {
    for file in files {
        let preset = Preset::read(file)?;
        println!("{}: right: {}", file.display(), preset.title);
    }
    Ok(())
}

fn list_presets() -> anyhow::Result<()> {
    for name in names() {
        let preset = built_in(name)?;
        let tried = preset.tried.as_deref();
        let tried = tried.unwrap_or("not yet tried against the vendor");
        println!("{name}\t{}\t{tried}", preset.title);
    }
    Ok(())
}

fn test(places: &Places, name: &str) -> anyhow::Result<()> {
    let config = Config::read(places.config.as_deref())?;
    let channel = config.channel.iter().find(|channel| channel.name() == name);
    let channel = channel.with_context(|| format!("the configuration has no channel `{name}`"))?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let did = runtime.block_on(test_channel(channel, SystemClock.now().wall))?;
    println!("channel `{name}` {did}");
    Ok(())
}
