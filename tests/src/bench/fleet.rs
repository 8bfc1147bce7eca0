//! Laptops that have enrolled, made in bulk: over the wire each enrolment is a decision of its own
//! that is made durable, which is right for a school and would take a benchmark's minute.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use rcgen::{CertificateParams, KeyPair};
use rollcall_collector::authority::{Authority, SigningRequest, write_secret};
use rollcall_collector::device::{Device, Standing};
use rollcall_collector::store::{Store, StoreOptions, Write};
use rollcall_proto::v1;
use rollcall_shared::id::{BootId, DeviceId, Label, SpoolId};
use rollcall_shared::limits;
use rollcall_shared::time::{Clock as _, SystemClock, UnixMs};
use rollcall_shared::tls::{self, Identity, Trust};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};

use crate::simulator::{Fleet, Laptop};

/// Records in one commit.
const AT_ONCE: usize = 256;

/// What to make.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The collector's folder; it must not run.
    #[arg(long)]
    data: PathBuf,
    /// How many laptops.
    #[arg(long)]
    devices: u32,
    /// How many of them get a certificate: those that connect.
    #[arg(long)]
    connections: u32,
    /// The number of the first laptop.
    #[arg(long, default_value_t = 0)]
    first: u32,
    /// The fleet's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The file with their identities, which is made with mode 0600.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    key: String,
    roots: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    device: DeviceId,
    number: u32,
    chain: Vec<String>,
}

/// Enrolled laptops, by their place in the fleet. One key serves them all: what a key costs is the
/// laptops' matter.
#[derive(Debug)]
pub(super) struct Laptops {
    /// All of them.
    pub laptops: Vec<Enrolled>,
    key: Vec<u8>,
    roots: Vec<CertificateDer<'static>>,
}

/// An enrolled laptop.
#[derive(Debug, Clone)]
pub(super) struct Enrolled {
    /// Its identity.
    pub device: DeviceId,
    /// What its Hello says of its hardware.
    pub hardware: v1::Hardware,
    chain: Vec<CertificateDer<'static>>,
}

impl Enrolled {
    /// Its one spool.
    pub fn spool(&self) -> SpoolId {
        SpoolId::from_bytes(*self.device.as_bytes())
    }

    /// Its one boot.
    pub fn boot(&self) -> BootId {
        BootId::from_bytes(*self.device.as_bytes())
    }
}

impl Laptops {
    /// Reads the file of identities.
    pub fn read(path: &Path, seed: u64) -> anyhow::Result<Self> {
        let named = || path.display().to_string();
        let mut lines = BufReader::new(File::open(path).with_context(named)?).lines();
        let first = lines
            .next()
            .ok_or_else(|| anyhow!("{} is empty", named()))?;
        let header: Header = serde_json::from_str(&first.with_context(named)?)?;
        let fleet = Fleet::new(seed);
        let mut laptops = Vec::new();
        for line in lines {
            let line: Line = serde_json::from_str(&line.with_context(named)?)?;
            let laptop = fleet.laptop(line.number);
            laptops.push(Enrolled {
                device: line.device,
                hardware: hardware(&laptop),
                chain: certificates(&line.chain)?,
            });
        }
        Ok(Self {
            laptops,
            key: BASE64.decode(&header.key)?,
            roots: certificates(&header.roots)?,
        })
    }

    /// How a laptop speaks TLS.
    pub fn tls(&self, laptop: &Enrolled) -> anyhow::Result<ClientConfig> {
        ensure!(
            !laptop.chain.is_empty(),
            "{} was given no certificate",
            laptop.device
        );
        let identity = Identity {
            chain: laptop.chain.clone(),
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone())),
        };
        Ok(tls::client_config(
            Trust::Roots(self.roots.clone()),
            Some(identity),
        )?)
    }
}

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let now = SystemClock.now().wall;
    let store = Store::open(&options.data, StoreOptions::default(), now)?;
    let authority = Authority::open(&options.data, limits::CERTIFICATE_LIFE)?;
    let key = KeyPair::generate()?;
    let request = CertificateParams::default().serialize_request(&key)?;
    let request = SigningRequest::parse(request.der())
        .map_err(|refusal| anyhow!("the request: {refusal}"))?;
    write_secret(&options.out, b"")?;
    let mut out = BufWriter::new(File::options().write(true).open(&options.out)?);
    let header = Header {
        key: BASE64.encode(key.serialize_der()),
        roots: texts(&authority.roots()),
    };
    write_line(&mut out, &header)?;
    let fleet = Fleet::new(options.seed);
    let numbers: Vec<u32> = (options.first..options.first + options.devices).collect();
    for numbers in numbers.chunks(AT_ONCE) {
        let mut writes = Vec::new();
        for &number in numbers {
            let device = record(&fleet.laptop(number), now)?;
            let certified = number - options.first < options.connections;
            let chain = if certified {
                texts(&authority.issue_device(device.id, &request, now)?)
            } else {
                Vec::new()
            };
            let line = Line {
                device: device.id,
                number,
                chain,
            };
            write_line(&mut out, &line)?;
            writes.push(Write::PutDevice(device));
        }
        store.commit(writes).await?;
    }
    out.flush()?;
    Ok(())
}

/// The record of a laptop that enrolled with a token of its school.
fn record(laptop: &Laptop, now: UnixMs) -> anyhow::Result<Device> {
    Ok(Device {
        id: DeviceId::generate(),
        site: laptop.school().name.parse::<Label>()?,
        group: Some("benchmark".parse()?),
        enrolled: now,
        fingerprint: laptop.fingerprint(),
        vendor: laptop.vendor().to_owned(),
        model: laptop.model(),
        agent_version: VERSION.to_owned(),
        standing: Standing::Active,
        cloned_from: None,
    })
}

/// The version that the laptops' Hello names.
pub(super) const VERSION: &str = "0.0.0-benchmark";

fn hardware(laptop: &Laptop) -> v1::Hardware {
    v1::Hardware {
        vendor: laptop.vendor().to_owned(),
        model: laptop.model(),
        ..v1::Hardware::from(&laptop.fingerprint())
    }
}

fn write_line(out: &mut impl std::io::Write, line: &impl Serialize) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")?;
    Ok(())
}

fn texts(chain: &[CertificateDer<'_>]) -> Vec<String> {
    chain.iter().map(|der| BASE64.encode(der)).collect()
}

fn certificates(texts: &[String]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let der = |text: &String| Ok(CertificateDer::from(BASE64.decode(text)?));
    texts.iter().map(der).collect()
}
