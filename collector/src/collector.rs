//! The collector as a whole: which stage hands what to which. Settings -> build -> run.

mod follow;
mod upkeep;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use arc_swap::ArcSwap;
use rollcall_shared::configuration::Configuration;
use rollcall_shared::time::Clock;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::authority::{Authority, read_identity, write_secret};
use crate::config::{Config, HttpSection};
use crate::control::ControlServer;
use crate::evaluate::Evaluator;
use crate::evaluate::book::RuleBook;
use crate::feed::Feeds;
use crate::ingest::{self, Ingest};
use crate::notify::Notifier;
use crate::provider::Provider;
use crate::query::http::{self, HttpConfig, HttpServer};
use crate::query::{self, Guidance, MetricSource, Query, Surroundings, prometheus};
use crate::store::Store;
use follow::Follower;
use upkeep::Upkeep;

/// How long the stages may take to end.
const SHUTDOWN: Duration = Duration::from_secs(8);

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder with the data.
    pub data: PathBuf,
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// Where agents connect, instead of what the file says.
    pub grpc: Option<SocketAddr>,
    /// Where browsers connect, instead of what the file says.
    pub http: Option<SocketAddr>,
}

/// A collector, listening and ready to run.
pub struct Collector {
    data: PathBuf,
    store: Store,
    clock: Arc<dyn Clock>,
    book: RuleBook,
    ingest: Ingest,
    tls: Arc<ArcSwap<ServerConfig>>,
    routes: Routes,
    grpc: TcpListener,
    http: HttpServer,
    control: ControlServer,
    evaluator: Evaluator,
    notifier: Notifier,
    feeds: Feeds,
    follower: Follower,
    upkeep: Upkeep,
    ending: CancellationToken,
}

impl Collector {
    /// Opens the data and listens; nothing is answered yet.
    ///
    /// # Errors
    /// What is wrong with the settings, the data or the addresses.
    pub async fn build(settings: Settings, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let config = Config::read(settings.config.as_deref())?;
        let data = settings.data;
        let now = clock.now().wall;
        let store = Store::open(&data, config.store_options(), now)?;
        let authority = Arc::new(Authority::open(&data, config.certificate_life())?);
        let book = RuleBook::adopt(config.rules.clone(), &store, clock.as_ref()).await?;
        let notifier = Notifier::build(&store, &book, &config.channel, &clock)?;
        let evaluator = Evaluator::new(
            store.clone(),
            book.clone(),
            notifier.routes(),
            Arc::clone(&clock),
        );
        let (told, configuration) = watch::channel(Arc::new(store.configuration()));
        let follower = Follower::new(settings.config, store.clone(), Arc::clone(&clock), told);
        follower.adopt(&config.agents).await?;

        let ending = CancellationToken::new();
        let ingest = new_ingest(&store, &authority, &clock, configuration, &ending);
        let feeds = Feeds::build(&config.feed, &store, &clock)?;
        let query = new_query(&store, &book, &clock, &ingest, feeds.source());
        let query = query.with_channels(&config.channel);
        let query = match config.oidc.clone() {
            Some(oidc) => query.with_provider(Provider::build(oidc)?),
            None => query,
        };
        let routes = query::grpc::services(query.clone(), ending.clone()).await;
        let tls = ArcSwap::from_pointee(ingest::tls_config(&authority, now)?);
        let tls = Arc::new(tls);
        let grpc = listen(settings.grpc.unwrap_or(config.grpc.listen)).await?;
        let http = http_config(&config.http, settings.http)?;
        let fingerprint = authority.fingerprint();
        let enrolling = query::Enrolling {
            authority: fingerprint,
            port: grpc.local_addr()?.port(),
        };
        let http = HttpServer::bind(query.enrolling(enrolling), http).await?;
        let control = ControlServer::bind(
            &data,
            store.clone(),
            fingerprint,
            book.clone(),
            Arc::clone(&clock),
        )?;
        let upkeep = Upkeep::new(
            store.clone(),
            authority,
            Arc::clone(&tls),
            Arc::clone(&clock),
        );
        Ok(Self {
            data,
            store,
            clock,
            book,
            ingest,
            tls,
            routes,
            grpc,
            http,
            control,
            evaluator,
            notifier,
            feeds,
            follower,
            upkeep,
            ending,
        })
    }

    /// Does the work until `shutdown`, or until a stage fails.
    ///
    /// # Errors
    /// Which stage failed and why; the process is to end, so that it can start anew.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let note = RunNote::write(&self.data, self.grpc.local_addr()?, self.http.address())?;
        let (store, ending) = (self.store.clone(), self.ending.clone());
        let mut stages = self.start();
        tracing::info!(grpc = %note.grpc, http = %note.http, "ready");
        let mut done = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            reason = store.failed() => Err(anyhow!("the store has failed: {reason}")),
            ended = stages.join_next() => ended_early(ended),
        };
        ending.cancel();
        let rest = tokio::time::timeout(SHUTDOWN, async {
            while let Some(ended) = stages.join_next().await {
                done = std::mem::replace(&mut done, Ok(())).and(in_order(ended));
            }
        });
        if rest.await.is_err() {
            tracing::warn!("a stage did not end in time and is cut off");
        }
        stages.shutdown().await;
        done
    }

    fn start(self) -> JoinSet<anyhow::Result<()>> {
        let ending = self.ending;
        let mut stages = JoinSet::new();
        stages.spawn(self.ingest.serve(self.grpc, self.tls, self.routes));
        stages.spawn(self.evaluator.run(ending.clone()));
        stages.spawn(until_end(self.notifier.run(ending.clone()), ending.clone()));
        stages.spawn(self.feeds.run(ending.clone()));
        stages.spawn(self.follower.run(ending.clone()));
        stages.spawn(self.upkeep.run(ending.clone()));
        let (http, control, book) = (self.http, self.control, self.book);
        let (store, clock) = (self.store, self.clock);
        let (for_http, for_control) = (ending.clone(), ending.clone());
        stages.spawn(async move {
            http.run(for_http).await;
            Ok(())
        });
        stages.spawn(async move {
            control.run(for_control).await;
            Ok(())
        });
        stages.spawn(async move {
            // Without a file there is nothing to watch, which is no reason to end.
            book.watch(&store, clock.as_ref(), ending.clone()).await;
            ending.cancelled().await;
            Ok(())
        });
        stages
    }
}

/// Without a channel there is nothing to deliver, which is no reason to end.
async fn until_end(
    work: impl Future<Output = anyhow::Result<()>>,
    ending: CancellationToken,
) -> anyhow::Result<()> {
    work.await?;
    ending.cancelled().await;
    Ok(())
}

type Ended = Result<anyhow::Result<()>, tokio::task::JoinError>;

fn ended_early(ended: Option<Ended>) -> anyhow::Result<()> {
    in_order(ended.unwrap_or(Ok(Ok(()))))?;
    Err(anyhow!("a stage ended by itself"))
}

fn in_order(ended: Ended) -> anyhow::Result<()> {
    ended.context("a stage panicked")?
}

fn new_ingest(
    store: &Store,
    authority: &Arc<Authority>,
    clock: &Arc<dyn Clock>,
    configuration: watch::Receiver<Arc<Configuration>>,
    ending: &CancellationToken,
) -> Ingest {
    let (authority, clock) = (Arc::clone(authority), Arc::clone(clock));
    Ingest::new(
        store.clone(),
        authority,
        clock,
        configuration,
        ending.clone(),
    )
}

fn new_query(
    store: &Store,
    book: &RuleBook,
    clock: &Arc<dyn Clock>,
    ingest: &Ingest,
    feeds: MetricSource,
) -> Query {
    let (book, in_force) = (book.clone(), book.clone());
    let surroundings = Surroundings {
        book: in_force,
        clock: Arc::clone(clock),
        guidance: Arc::new(move |name| {
            book.rules()
                .get(name)
                .map(|rule| Guidance::from(rule.as_ref()))
        }),
        sources: vec![prometheus::ingest_source(ingest.counters()), feeds],
        checks: Vec::new(),
    };
    Query::new(store.clone(), surroundings)
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address} for agents; `grpc.listen` or `--grpc` sets another address"
        )
    })
}

fn http_config(section: &HttpSection, listen: Option<SocketAddr>) -> anyhow::Result<HttpConfig> {
    let files = section.certificate.as_deref().zip(section.key.as_deref());
    let tls = files
        .map(|(certificate, key)| http_tls(certificate, key))
        .transpose()?;
    Ok(HttpConfig {
        listen: listen.unwrap_or(section.listen),
        tls,
        names: section.names.clone(),
    })
}

fn http_tls(certificate: &Path, key: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let identity = read_identity(certificate, key)?;
    let config = http::tls_config(identity)
        .with_context(|| format!("{} and its key", certificate.display()))?;
    Ok(Arc::new(config))
}

/// `DATA/run.json`: where a running collector listens. It goes when the collector does.
struct RunNote {
    path: PathBuf,
    grpc: SocketAddr,
    http: SocketAddr,
}

impl RunNote {
    fn write(data: &Path, grpc: SocketAddr, http: SocketAddr) -> anyhow::Result<Self> {
        let path = data.join("run.json");
        let pid = std::process::id();
        let json = serde_json::json!({ "grpc": grpc, "http": http, "pid": pid });
        write_secret(&path, json.to_string().as_bytes())?;
        Ok(Self { path, grpc, http })
    }
}

impl Drop for RunNote {
    fn drop(&mut self) {
        // Whoever removed it before has done no harm.
        let _ = std::fs::remove_file(&self.path);
    }
}
