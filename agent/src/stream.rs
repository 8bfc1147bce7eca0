//! The stream: an open connection to the collector, on which reports go up and acknowledgements
//! come down. [`session`] decides; this file does.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use prost::Message as _;
use rollcall_proto::v1::{self, down, up};
use rollcall_shared::backoff::random_fraction;
use rollcall_shared::configuration::Configuration;
use rollcall_shared::error::chain;
use rollcall_shared::id::{BootId, Sequence};
use rollcall_shared::limits;
use rollcall_shared::refusal::Refusal;
use rollcall_shared::report::Taken;
use rollcall_shared::time::{Clock, SinceBootMs, UnixMs};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::codec::CompressionEncoding;

use crate::identity::issue::{CallError, client};
use crate::identity::{Identity, Machine};
use crate::line::{Appended, Line};
use crate::waiting::Waiting;

pub mod address;
pub mod connector;
pub mod filter;
pub mod session;

use connector::Connector;
use session::{Action, End, Event, Session};

/// Messages that wait for the connection to take them: one for each report of the first credit.
const MESSAGES_WAITING: usize = limits::FIRST_CREDIT as usize;

/// The longest sleep of the timer. Whoever collects wakes every minute anyway, notices that the
/// machine was asleep, and tells.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// A timer that comes later than this has slept with the machine.
const ASLEEP_AFTER: Duration = Duration::from_secs(30);

/// Bytes of reports in one message: room is left for their sequences and the message's own fields.
const PAYLOAD_BYTES: usize = limits::MESSAGE_BYTES - 32 * limits::REPORTS_PER_MESSAGE - 1024;

/// What a stream needs to know of this agent.
pub struct Stream<'a> {
    /// The way to the collector.
    pub connector: &'a Connector,
    /// Who speaks.
    pub identity: &'a Identity,
    /// The hardware that speaks, which the collector compares with the one that enrolled.
    pub machine: &'a Machine,
    /// What is shared with collecting.
    pub line: &'a Line,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// The run of the kernel.
    pub boot: BootId,
    /// Makes the collector's configuration into the one to follow, and keeps it.
    pub accept: &'a (dyn Fn(Configuration) -> Configuration + Send + Sync),
    /// Renewal is not asked for before this moment, since it has just failed.
    pub renew_not_before: SinceBootMs,
}

/// Why a stream ended for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The session is over.
    Session(End),
    /// The certificate is due for renewal.
    RenewalDue,
}

/// Streams until something other than time must help.
pub async fn run(stream: &Stream<'_>) -> Ended {
    let mut adapter = Adapter::new(stream);
    loop {
        for event in adapter.next_events().await {
            if let Some(end) = adapter.perform(event) {
                return Ended::Session(end);
            }
        }
        if adapter.is_renewal_due() {
            return Ended::RenewalDue;
        }
    }
}

type Opening<'a> = Pin<Box<dyn Future<Output = Result<Connection, CallError>> + Send + 'a>>;

struct Adapter<'a> {
    stream: &'a Stream<'a>,
    session: Session,
    link: Link<'a>,
    appended: watch::Receiver<Appended>,
    urgent_seen: Sequence,
    configuration: watch::Receiver<Configuration>,
    disturbed: watch::Receiver<u64>,
}

enum Link<'a> {
    None,
    Opening(Opening<'a>),
    Open(Box<Connection>),
}

struct Connection {
    up: mpsc::Sender<v1::Up>,
    down: Streaming<v1::Down>,
}

impl<'a> Adapter<'a> {
    fn new(stream: &'a Stream<'a>) -> Self {
        let mut appended = stream.line.watch_appended();
        let mut configuration = stream.line.watch_configuration();
        let mut disturbed = stream.line.watch_disturbed();
        let seen = *appended.borrow_and_update();
        let send_interval = send_interval(&configuration.borrow_and_update());
        disturbed.borrow_and_update();
        let now = stream.clock.now().since_boot;
        Self {
            stream,
            session: Session::new(now, seen.last, send_interval),
            link: Link::None,
            appended,
            urgent_seen: seen.urgent,
            configuration,
            disturbed,
        }
    }

    /// What happens next. Whatever it is: when it comes later than the timer would have, the
    /// machine was asleep.
    async fn next_events(&mut self) -> Vec<Event> {
        let before = self.stream.clock.now().since_boot;
        let nap = self.nap(before);
        let mut events = vec![self.next_event(nap).await];
        if self.stream.clock.now().since_boot.since(before) > nap + ASLEEP_AFTER {
            tracing::info!("the machine was asleep");
            events.push(Event::Disturbed);
        }
        events
    }

    async fn next_event(&mut self, nap: Duration) -> Event {
        tokio::select! {
            event = self.link.next_event(self.stream) => event,
            Ok(()) = self.appended.changed() => self.on_appended(),
            Ok(()) = self.disturbed.changed() => Event::Disturbed,
            Ok(()) = self.configuration.changed() => {
                let interval = send_interval(&self.configuration.borrow_and_update());
                self.session.set_send_interval(interval);
                Event::Timer
            }
            () = sleep(nap) => Event::Timer,
        }
    }

    fn nap(&self, now: SinceBootMs) -> Duration {
        let deadline = self.session.deadline().map(|at| at.since(now));
        deadline.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
    }

    fn on_appended(&mut self) -> Event {
        let Appended { last, urgent } = *self.appended.borrow_and_update();
        let is_urgent = urgent > self.urgent_seen;
        self.urgent_seen = urgent;
        Event::Appended {
            last,
            urgent: is_urgent,
        }
    }

    /// Hands the event to the session and does what it says, until nothing is left to do.
    fn perform(&mut self, event: Event) -> Option<End> {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            self.note(&event);
            let now = self.stream.clock.now().since_boot;
            for action in self.session.handle(event, now, random_fraction()) {
                if let Action::End(end) = action {
                    return Some(end);
                }
                events.extend(self.act(action));
            }
        }
        None
    }

    fn note(&self, event: &Event) {
        let now = self.stream.clock.now();
        match event {
            Event::Lost => self.stream.line.note(|status| status.connected = false),
            Event::Refused(refusal) => {
                let waiting = Waiting::after_refusal(*refusal);
                self.stream
                    .line
                    .note_waiting(waiting, refusal.to_string(), now);
                if *refusal == Refusal::DeviceRetired {
                    self.stream.line.note(|status| status.retired = true);
                }
            }
            Event::Welcome { .. } => {
                tracing::info!(collector = %self.stream.connector.address, "connected");
                self.stream.line.note(|status| {
                    status.connected = true;
                    status.retired = false;
                    status.last_error = None;
                });
            }
            _ => {}
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Connect => self.link = Link::Opening(Box::pin(open(self.stream))),
            Action::Disconnect => {
                self.link = Link::None;
                self.stream.line.note(|status| status.connected = false);
            }
            Action::Acknowledge(sequence) => self.acknowledge(sequence),
            Action::RenewSpool => self.renew_spool(),
            Action::Send {
                after,
                through,
                at_most,
            } => return Some(self.send(after, through, at_most)),
            Action::End(_) => {}
        }
        None
    }

    fn acknowledge(&self, sequence: Sequence) {
        // A collector that was restored from a backup has forgotten what this disk keeps no longer.
        // Only a full report tells it what has not changed since.
        let held = self.stream.line.spool().position().next;
        if held > sequence.next() {
            self.stream.line.want_full();
        }
        // An acknowledgement that could not be kept comes again with the next one.
        if let Err(error) = self.stream.line.spool().acknowledge(sequence) {
            tracing::warn!(error = %chain(&error), "an acknowledgement was not kept");
        }
        if sequence > Sequence::NONE {
            self.stream.line.note_ack(sequence, self.stream.clock.now());
        }
    }

    fn renew_spool(&self) {
        tracing::warn!(
            "the collector has stored reports that this disk has lost; the spool gets a new id"
        );
        if let Err(error) = self.stream.line.spool().renew() {
            tracing::error!(error = %chain(&error), "the spool did not get a new id");
        }
        self.stream.line.want_full();
    }

    fn send(&mut self, after: Sequence, through: Sequence, at_most: u32) -> Event {
        let read = self
            .stream
            .line
            .spool()
            .read_from(after.next(), PAYLOAD_BYTES);
        let mut records = match read {
            Ok(records) => records,
            Err(error) => {
                self.stream
                    .line
                    .note_problem(chain(&error), self.stream.clock.now());
                self.link = Link::None;
                return Event::Lost;
            }
        };
        records.retain(|record| record.sequence <= through);
        records.truncate(at_most as usize);
        let last = records.last().map_or(through, |record| record.sequence);
        let reports: Vec<_> = records.into_iter().filter_map(to_wire).collect();
        let count = u32::try_from(reports.len()).unwrap_or(u32::MAX);
        if count > 0
            && !self.push(up::Message::Reports(v1::Reports {
                sent: Some(self.moment()),
                reports,
            }))
        {
            self.link = Link::None;
            return Event::Lost;
        }
        Event::Sent {
            last,
            reports: count,
        }
    }

    fn push(&self, message: up::Message) -> bool {
        match &self.link {
            Link::Open(connection) => connection
                .up
                .try_send(v1::Up {
                    message: Some(message),
                })
                .is_ok(),
            Link::None | Link::Opening(_) => false,
        }
    }

    fn moment(&self) -> v1::Moment {
        moment(self.stream)
    }

    fn is_renewal_due(&self) -> bool {
        let now = self.stream.clock.now();
        let server_now = self.stream.line.server_now(now);
        self.session.is_streaming()
            && now.since_boot >= self.stream.renew_not_before
            && server_now.is_some_and(|server_now| self.stream.identity.is_renewal_due(server_now))
    }
}

impl<'a> Link<'a> {
    /// What the other side says next; never anything while there is none.
    async fn next_event(&mut self, stream: &'a Stream<'a>) -> Event {
        loop {
            match self {
                Link::None => std::future::pending().await,
                Link::Opening(opening) => match opening.await {
                    Ok(connection) => {
                        *self = Link::Open(Box::new(connection));
                        return Event::Opened;
                    }
                    Err(error) => return self.close(stream, error),
                },
                Link::Open(connection) => match connection.down.message().await {
                    Ok(Some(message)) => {
                        if let Some(event) = on_message(stream, message) {
                            return event;
                        }
                    }
                    Ok(None) => {
                        let words = "the collector closed the stream".to_owned();
                        return self.close(stream, CallError::Failed(words));
                    }
                    Err(status) => return self.close(stream, status.into()),
                },
            }
        }
    }

    fn close(&mut self, stream: &Stream<'_>, error: CallError) -> Event {
        *self = Link::None;
        match error {
            CallError::Refused(refusal) => Event::Refused(refusal),
            other => {
                let waiting = Waiting::after(&other);
                stream
                    .line
                    .note_waiting(waiting, chain(&other), stream.clock.now());
                Event::Lost
            }
        }
    }
}

/// Connects, opens the stream and says Hello.
async fn open(stream: &Stream<'_>) -> Result<Connection, CallError> {
    let identity = stream.identity;
    let tls = identity.tls().map_err(connector::ConnectError::from)?;
    let channel = stream
        .connector
        .channel(identity.trust(), Some(tls))
        .await?;
    let mut client = client(channel)
        .send_compressed(CompressionEncoding::Zstd)
        .accept_compressed(CompressionEncoding::Zstd);
    let (up, messages) = mpsc::channel(MESSAGES_WAITING);
    let hello = up::Message::Hello(hello(stream));
    up.try_send(v1::Up {
        message: Some(hello),
    })
    .expect("a new channel has room");
    let opened = timeout(
        limits::CONNECT_TIMEOUT,
        client.stream(ReceiverStream::new(messages)),
    );
    match opened.await {
        Ok(down) => Ok(Connection {
            up,
            down: down?.into_inner(),
        }),
        Err(_) => Err(CallError::Failed(
            "the collector did not open the stream in time".to_owned(),
        )),
    }
}

fn hello(stream: &Stream<'_>) -> v1::Hello {
    let position = stream.line.spool().position();
    v1::Hello {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        sent: Some(moment(stream)),
        spool: position.spool.as_bytes().to_vec(),
        next_sequence: position.next.0,
        hardware: Some(stream.machine.into()),
        configuration_revision: stream.line.watch_configuration().borrow().revision,
    }
}

fn moment(stream: &Stream<'_>) -> v1::Moment {
    (&Taken::at(stream.clock.now(), stream.boot)).into()
}

fn on_message(stream: &Stream<'_>, message: v1::Down) -> Option<Event> {
    match message.message? {
        down::Message::Welcome(welcome) => {
            let server = UnixMs(welcome.server_time_ms);
            stream.line.note_server_time(server, stream.clock.now());
            let last_stored = Sequence(welcome.last_stored);
            Some(Event::Welcome {
                last_stored,
                credit: welcome.credit,
            })
        }
        down::Message::Ack(ack) => Some(Event::Ack(Sequence(ack.sequence))),
        down::Message::Configuration(configuration) => {
            follow(stream, configuration);
            None
        }
        down::Message::SlowDown(slow_down) => Some(Event::SlowDown {
            credit: slow_down.credit,
            wait: Duration::from_millis(slow_down.wait_ms.into()),
        }),
        down::Message::Retire(retire) => {
            let reason: String = retire.reason.chars().take(limits::TEXT_BYTES).collect();
            let words = format!("the collector has retired this device: {reason}");
            stream
                .line
                .note_waiting(Waiting::Administrator, words, stream.clock.now());
            stream.line.note(|status| status.retired = true);
            Some(Event::Retired)
        }
    }
}

fn follow(stream: &Stream<'_>, wire: v1::Configuration) {
    match Configuration::try_from(wire) {
        Ok(configuration) => {
            tracing::info!(
                revision = configuration.revision,
                "follows the collector's configuration"
            );
            stream.line.follow((stream.accept)(configuration));
        }
        Err(error) => tracing::error!(%error, "the collector's configuration is not followed"),
    }
}

/// The report as it was spooled, with the sequence that the spool gave it.
fn to_wire(record: crate::spool::Record) -> Option<v1::Report> {
    match v1::Report::decode(record.payload.as_slice()) {
        Ok(report) => Some(v1::Report {
            sequence: record.sequence.0,
            ..report
        }),
        Err(error) => {
            tracing::error!(sequence = %record.sequence, %error, "a spooled report is no report");
            None
        }
    }
}

fn send_interval(configuration: &Configuration) -> Duration {
    Duration::from_secs(configuration.schedule.send_s.into())
}
