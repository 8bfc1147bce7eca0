//! Enrolling a crowd: keys, certificates and records of many laptops at once, into the data folder
//! of a collector that does not run.
//!
//! Whoever can do this holds the authority's key already. It goes by the collector's own library:
//! the same signing requests, the same certificates, the same records as enrolment over the wire,
//! without a token and some thousand a second.

use std::path::PathBuf;
use std::thread;

use anyhow::Context as _;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rollcall_collector::authority::{Authority, SigningRequest};
use rollcall_collector::device::{Device, Standing};
use rollcall_collector::store::{Store, StoreOptions, Write};
use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::limits;
use rollcall_shared::time::{Clock as _, SystemClock, UnixMs};
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::roster::{Keys, Roster};
use crate::simulator::{Fleet, Laptop};

/// Records in one commit: some milliseconds of work for the store.
const BATCH: u32 = 512;

/// Whom to enrol, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct EnrolOptions {
    /// The data folder of a collector that does not run; `rollcall-collector init` makes one.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The folder for the laptops' keys and certificates.
    #[arg(long, value_name = "DIR")]
    pub crowd: PathBuf,
    /// How many laptops the crowd shall have; those that it has already stay as they are.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub devices: u32,
    /// Another seed gives another fleet.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Enrols until the crowd has as many laptops as wanted.
///
/// # Errors
/// In words: which folder is not as it should be.
pub async fn enrol(options: &EnrolOptions) -> anyhow::Result<()> {
    let now = SystemClock.now().wall;
    let store = Store::open(&options.data, StoreOptions::default(), now)?;
    let authority = Authority::open(&options.data, limits::CERTIFICATE_LIFE)?;
    let root = authority.roots().swap_remove(0);
    let mut roster = Roster::open_or_begin(&options.crowd, options.seed, &root)?;
    let (began, fleet) = (SystemClock.now().since_boot, Fleet::new(options.seed));
    let before = roster.devices;
    while roster.devices < options.devices {
        let end = options.devices.min(roster.devices + BATCH);
        let laptops: Vec<Laptop> = (roster.devices..end).map(|n| fleet.laptop(n)).collect();
        let keys = make_keys(&authority, &laptops, now)?;
        let writes = laptops
            .iter()
            .map(|laptop| Write::PutDevice(record(laptop, now)));
        // A laptop without a record could not speak, one without a key does no harm.
        store.commit(writes.collect()).await?;
        roster.add(&keys)?;
        if end.is_multiple_of(BATCH * 20) || end == options.devices {
            let seconds = SystemClock.now().since_boot.since(began).as_secs_f64();
            let rate = f64::from(end - before) / seconds.max(0.001);
            eprintln!(
                "{end} of {} laptops enrolled ({rate:.0}/s)",
                options.devices
            );
        }
    }
    Ok(())
}

/// The record of a simulated laptop, as enrolment with its school's token would have made it.
///
/// # Panics
/// Never: a school's name is a label.
#[must_use]
pub fn record(laptop: &Laptop, now: UnixMs) -> Device {
    let label = |text: &str| -> Label { text.parse().expect("a school's name is a label") };
    Device {
        id: laptop.device_id(),
        site: label(&laptop.school().name),
        group: Some(label("Simulated")),
        enrolled: now,
        fingerprint: laptop.fingerprint(),
        vendor: laptop.vendor().to_owned(),
        model: laptop.model(),
        agent_version: super::AGENT_VERSION.to_owned(),
        standing: Standing::Active,
        cloned_from: laptop
            .clone_of()
            .map(|number| laptop.sibling(number).device_id()),
    }
}

/// Keys and certificates, on every core.
fn make_keys(authority: &Authority, laptops: &[Laptop], now: UnixMs) -> anyhow::Result<Vec<Keys>> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = laptops.len().div_ceil(cores).max(1);
    let make = |laptops: &[Laptop]| -> anyhow::Result<Vec<Keys>> {
        let keys = laptops
            .iter()
            .map(|laptop| issue(authority, laptop.device_id(), now));
        keys.collect()
    };
    let made = thread::scope(|scope| {
        let parts = laptops.chunks(share);
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || make(part))).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.collect::<Result<Vec<_>, _>>()
    });
    let made = made.map_err(|_| anyhow::anyhow!("making keys panicked"))?;
    let made: anyhow::Result<Vec<Vec<Keys>>> = made.into_iter().collect();
    Ok(made?.into_iter().flatten().collect())
}

fn issue(authority: &Authority, device: DeviceId, now: UnixMs) -> anyhow::Result<Keys> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("cannot make a key")?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params
        .serialize_request(&key)
        .context("cannot make a request")?;
    let request = SigningRequest::parse(request.der()).map_err(|refusal| {
        anyhow::anyhow!("the authority refuses a request of its own making: {refusal:?}")
    })?;
    let chain = authority.issue_device(device, &request, now)?;
    let certificate = chain
        .into_iter()
        .next()
        .context("an empty chain was issued")?;
    Ok(Keys {
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        certificate,
    })
}
