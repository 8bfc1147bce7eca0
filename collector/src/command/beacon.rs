//! `beacon-certificate` and `beacon`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use rollcall_shared::id::Label;
use rollcall_shared::limits;
use rollcall_shared::time::{Clock as _, SystemClock};
use tokio_util::sync::CancellationToken;

use super::Places;
use crate::authority::beacon::BeaconServer;
use crate::authority::{Authority, ServerNames, read_identity};

#[derive(Debug, Args)]
pub(super) struct CertificateArgs {
    /// The site that the beacon stands for
    #[arg(long)]
    site: Label,
    /// A DNS name or IP address by which laptops reach it; may be given more than once
    #[arg(long, required = true)]
    name: Vec<String>,
    /// The folder in which beacon.pem and beacon.key are made
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct BeaconArgs {
    /// Where it listens
    #[arg(long, default_value = "0.0.0.0:8444")]
    listen: SocketAddr,
    /// Its certificate chain, beacon.pem
    #[arg(long)]
    certificate: PathBuf,
    /// Its key, beacon.key
    #[arg(long)]
    key: PathBuf,
}

pub(super) fn certificate(places: &Places, args: &CertificateArgs) -> anyhow::Result<()> {
    let authority = Authority::open(&places.data, limits::CERTIFICATE_LIFE)?;
    let mut names = ServerNames::default();
    for name in &args.name {
        match name.parse::<IpAddr>() {
            Ok(address) => names.addresses.push(address),
            Err(_) => names.names.push(name.clone()),
        }
    }
    let identity = authority.issue_beacon(&args.site, &names, SystemClock.now().wall)?;
    let (certificate, key) = (args.out.join("beacon.pem"), args.out.join("beacon.key"));
    crate::authority::write_identity(&identity, &certificate, &key)?;
    println!("the beacon's certificate is {}", certificate.display());
    println!("its key is {}", key.display());
    Ok(())
}

pub(super) fn run(args: &BeaconArgs) -> anyhow::Result<()> {
    let identity = read_identity(&args.certificate, &args.key)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        tokio::spawn(super::run::cancel_on_signal(shutdown.clone())?);
        let server = BeaconServer::bind(args.listen, identity).await?;
        println!("the beacon listens on {}", server.address()?);
        server.run(shutdown).await;
        Ok(())
    })
}
