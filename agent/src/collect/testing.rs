//! What the tests of the probes share: the fixture tree, the shared data, and small servers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd,
};
use rollcall_shared::reading::Reading;
use rollcall_shared::tls;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::Roots;

/// The fixture tree of a laptop with a worn battery and nothing else wrong.
pub fn tree() -> Roots {
    Roots::under(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src/collect/fixtures/trees/worn-laptop"),
    )
}

/// A copy of [`tree`] that a test may alter; it lives as long as the folder.
pub fn tree_copy() -> (tempfile::TempDir, Roots) {
    let folder = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/collect/fixtures/trees/worn-laptop");
    copy(&from, folder.path());
    let roots = Roots::under(folder.path());
    (folder, roots)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// A stand-in for libproxy's `proxy` in `folder` that says `answer`, or fails where there is none.
#[cfg(target_os = "linux")]
pub fn libproxy(folder: &Path, answer: Option<&str>) -> PathBuf {
    let program = folder.join("proxy");
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/collect/fixtures/network/libproxy.sh");
    std::os::unix::fs::symlink(source, &program).unwrap();
    if let Some(answer) = answer {
        std::fs::write(folder.join("answer"), answer).unwrap();
    }
    program
}

/// A stand-in for `smartctl` in `folder` that answers `json`. It is linked and never written, since
/// a program that was just written may be busy when another test starts a child.
#[cfg(unix)]
pub fn smartctl(folder: &Path, json: &str) -> PathBuf {
    let program = folder.join("smartctl");
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/collect/fixtures/drive/smartctl.sh");
    if !program.exists() {
        std::os::unix::fs::symlink(script, &program).unwrap();
    }
    std::fs::write(folder.join("smartctl.json"), json).unwrap();
    program
}

/// A folder of the data captured by others, or `None`, said plainly, where it is absent.
pub fn data(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("ROLLCALL_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!(
        "{} is absent: this test has nothing to read; set ROLLCALL_DATA",
        path.display()
    );
    None
}

fn find<'a>(readings: &'a [Reading], metric: &str, instance: &str) -> Option<&'a Reading> {
    readings
        .iter()
        .find(|reading| reading.metric().name == metric && reading.instance() == instance)
}

/// The number of a reading.
pub fn number(readings: &[Reading], metric: &str, instance: &str) -> Option<f64> {
    find(readings, metric, instance)?.value().as_number()
}

/// The value of a reading in words.
pub fn value(readings: &[Reading], metric: &str, instance: &str) -> String {
    let reading = find(readings, metric, instance);
    reading.map_or_else(
        || "absent".to_owned(),
        |reading| reading.value().to_string(),
    )
}

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one, with a name that no other has.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "Filter of Example School");
        let number = rollcall_shared::id::BootId::generate().to_string();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, number);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Its own certificate.
    pub fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A certificate for this machine between two years, for a beacon of a site if one is named.
    pub fn leaf(&self, site: Option<&str>, years: (i32, i32)) -> tls::Identity {
        let mut params =
            CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        params
            .subject_alt_names
            .extend(site.map(|site| SanType::URI(tls::beacon_uri(site).try_into().unwrap())));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        tls::Identity {
            chain: vec![certificate.der().clone()],
            key,
        }
    }
}

/// Serves TLS on a port of this machine and gives every connection the same answer.
pub async fn serve_tls(identity: tls::Identity, answer: Vec<u8>) -> u16 {
    let config = rustls::ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answer) = (acceptor.clone(), answer.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                reply(stream, &answer).await;
            });
        }
    });
    port
}

/// Serves plain TCP on a port of this machine and gives every connection the same answer.
pub async fn serve(answer: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = answer.as_bytes().to_vec();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move { reply(stream, &answer).await });
        }
    });
    port
}

async fn reply(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, answer: &[u8]) {
    let mut question = [0; 2048];
    let _ = stream.read(&mut question).await;
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
}
