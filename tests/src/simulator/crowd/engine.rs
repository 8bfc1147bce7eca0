//! The crowd at work: one thread, one poll, a wake for each laptop. It acts on what [`Member`]
//! decides.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use prost::Message as _;
use prost::encoding::encode_varint;
use rollcall_proto::v1;
use rollcall_proto::v1::down::Message as Said;
use rollcall_shared::backoff::{Backoff, random_fraction};
use rollcall_shared::id::BootId;
use rollcall_shared::limits;
use rollcall_shared::report::Taken;
use rollcall_shared::time::{SinceBootMs, SystemClock, UnixMs};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};

use super::client::Tls;
use super::http2::End;
use super::line::{self, Line, Traffic};
use super::outcome::Counts;
use super::session::{Member, Plan, Sent, Step};
use super::tape::{Tapes, Which};
use crate::simulator::Fleet;
use crate::simulator::chance::{Chance, Topic};

/// The level at which messages are compressed.
const COMPRESSION: i32 = 1;

/// How long acknowledgements are awaited after the last message.
const PATIENCE_US: u64 = 10_000_000;

/// How long those who stay connected are awaited before anybody sends, and how often that is looked at.
const GATHER_US: u64 = 120_000_000;
const GATHER_STEP_US: u64 = 500_000;

/// How often a line of progress is written.
const TELL_EVERY_US: u64 = 10_000_000;

/// The longest time without a look at whether to stop.
const LOOK: Duration = Duration::from_millis(100);

/// What an engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// Their fleet.
    pub fleet: Fleet,
    /// The first laptop's number.
    pub first: u32,
    /// How many.
    pub devices: u32,
    /// What they send.
    pub tapes: Tapes,
    /// How they prove who they are.
    pub tls: Tls,
    /// When they send.
    pub plan: Plan,
    /// When they began, by both clocks.
    pub began: (u64, UnixMs),
    /// Where the collector is.
    pub collector: SocketAddr,
    /// By which name its certificate is verified.
    pub name: ServerName<'static>,
    /// The name and port as the call names them.
    pub authority: String,
    /// Source addresses; 0 for the system's choice.
    pub sources: u32,
    /// Connections at once.
    pub connections: usize,
    /// Connections begun in a second; 0 for all at once.
    pub connect_rate: u32,
    /// Share of laptops that connect for each message.
    pub resting: f64,
    /// Messages on the way in the whole crowd.
    pub in_flight: usize,
    /// Whether messages are compressed.
    pub compresses: bool,
}

/// A laptop and its connection.
#[derive(Debug)]
struct Laptop {
    member: Member,
    line: Option<Box<Line>>,
    config: Option<Arc<ClientConfig>>,
    backoff: Backoff,
    /// Not to be connected before this, after a failure.
    not_before_us: u64,
    wake_us: u64,
    rests: bool,
    is_queued: bool,
    is_held: bool,
    is_drained: bool,
    skew_ms: i64,
}

/// A crowd at work.
#[derive(Debug)]
pub struct Engine {
    parts: Parts,
    poll: Poll,
    laptops: Vec<Laptop>,
    wakes: BinaryHeap<Reverse<(u64, u32)>>,
    /// Laptops that wait for a place among the connections.
    queued: VecDeque<u32>,
    /// Laptops that wait for a place among the messages on the way.
    held: VecDeque<u32>,
    open: usize,
    on_the_way: usize,
    compressor: Option<Compressor>,
    traffic: Traffic,
    counts: Counts,
    cpu_at_start: Option<f64>,
    is_over: bool,
}

struct Compressor(zstd::bulk::Compressor<'static>);

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

impl Engine {
    /// A crowd that has not begun.
    ///
    /// # Errors
    /// When the system gives no poll, or no memory for compression.
    pub fn new(parts: Parts) -> io::Result<Self> {
        let compressor = parts
            .compresses
            .then(|| zstd::bulk::Compressor::new(COMPRESSION));
        let laptops = (parts.first..parts.first + parts.devices).map(|n| laptop(&parts, n));
        let laptops: Vec<Laptop> = laptops.collect();
        let counts = Counts {
            devices: u64::from(parts.devices),
            backlog: parts.plan.backlog * u64::from(parts.devices),
            ..Counts::default()
        };
        Ok(Self {
            poll: Poll::new()?,
            laptops,
            wakes: BinaryHeap::new(),
            queued: VecDeque::new(),
            held: VecDeque::new(),
            open: 0,
            on_the_way: 0,
            compressor: compressor.transpose()?.map(Compressor),
            traffic: Traffic::default(),
            counts,
            cpu_at_start: None,
            is_over: false,
            parts,
        })
    }

    /// Works until the plan's end, or until `stop` says so; then takes leave and tells the counts.
    ///
    /// # Errors
    /// When the poll fails.
    pub fn run(mut self, stop: &AtomicBool) -> io::Result<Counts> {
        self.schedule_first_connections();
        let mut events = Events::with_capacity(1024);
        let mut tell_us = now_us() + TELL_EVERY_US;
        let mut traffic_at_start = Traffic::default();
        loop {
            self.wait(&mut events)?;
            let now = now_us();
            self.await_the_others(now);
            if self.cpu_at_start.is_none() && now >= self.parts.plan.start_us {
                (self.cpu_at_start, traffic_at_start) = (Some(cpu_s()), self.traffic);
            }
            for event in &events {
                self.on_event(event.token().0, event.is_read_closed(), now);
            }
            self.wake_the_due(now);
            if now >= tell_us {
                self.tell(now);
                tell_us += TELL_EVERY_US;
            }
            if !self.is_over && (now >= self.parts.plan.end_us || stop.load(Ordering::Relaxed)) {
                self.end_measuring(now, traffic_at_start);
            }
            let patient = now < self.parts.plan.end_us + PATIENCE_US;
            if self.is_over && (self.on_the_way == 0 || !patient) {
                self.take_leave(now);
                return Ok(self.counts);
            }
        }
    }

    /// Puts the start off while some that are to stay connected are not, so that what is measured is
    /// the crowd and not its arrival; all at once is meant to be measured.
    fn await_the_others(&mut self, now: u64) {
        let plan = &mut self.parts.plan;
        let is_near = self.cpu_at_start.is_none() && now + GATHER_STEP_US / 2 >= plan.start_us;
        let patient = now < self.parts.began.0 + GATHER_US;
        if !is_near || !patient || self.parts.connect_rate == 0 {
            return;
        }
        let is_there = |laptop: &Laptop| laptop.rests || laptop.is_welcome();
        if !self.laptops.iter().all(is_there) {
            let wait = (now + GATHER_STEP_US).saturating_sub(plan.start_us);
            (plan.start_us, plan.end_us) = (plan.start_us + wait, plan.end_us + wait);
        }
    }

    fn schedule_first_connections(&mut self) {
        let begin = self.parts.began.0;
        for index in 0..self.parts.devices {
            let rate = u64::from(self.parts.connect_rate);
            let wait = (u64::from(index) * 1_000_000)
                .checked_div(rate)
                .unwrap_or(0);
            self.wake_at(index, begin + wait);
        }
    }

    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let due = self.wakes.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
        let wait = Duration::from_micros(due.saturating_sub(now_us())).min(LOOK);
        match self.poll.poll(events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        }
    }

    fn wake_at(&mut self, index: u32, at_us: u64) {
        self.laptops[index as usize].wake_us = at_us;
        self.wakes.push(Reverse((at_us, index)));
    }

    fn wake_the_due(&mut self, now: u64) {
        while let Some(Reverse((at, index))) = self.wakes.peek().copied() {
            if at > now {
                return;
            }
            self.wakes.pop();
            // An entry that was overtaken by a later wake says nothing.
            if self.laptops[index as usize].wake_us == at {
                self.advance(index, now);
            }
        }
    }

    /// Does whatever the laptop can do now.
    fn advance(&mut self, index: u32, now: u64) {
        if self.is_over {
            return;
        }
        let laptop = &self.laptops[index as usize];
        match &laptop.line {
            None => self.advance_offline(index, now),
            Some(line) if line.is_welcome => self.advance_online(index, now),
            Some(_) => {}
        }
    }

    fn advance_offline(&mut self, index: u32, now: u64) {
        let laptop = &mut self.laptops[index as usize];
        if laptop.is_queued {
            return;
        }
        if now < laptop.not_before_us {
            let at = laptop.not_before_us;
            return self.wake_at(index, at);
        }
        if laptop.rests {
            match laptop.member.step(&self.parts.plan, now) {
                Step::Send { .. } => {}
                Step::Until(at) => return self.wake_at(index, at),
                Step::Acknowledgement | Step::Done => return,
            }
        }
        if self.open >= self.parts.connections {
            self.laptops[index as usize].is_queued = true;
            self.queued.push_back(index);
            return;
        }
        if let Err(error) = self.connect(index, now) {
            self.counts.lose(&format!("cannot connect: {error}"));
            self.fail(index, now);
        }
    }

    fn advance_online(&mut self, index: u32, now: u64) {
        loop {
            let laptop = &mut self.laptops[index as usize];
            if laptop.is_held {
                return;
            }
            match laptop.member.step(&self.parts.plan, now) {
                Step::Send { reports, due_us } => {
                    if self.on_the_way >= self.parts.in_flight {
                        laptop.is_held = true;
                        self.held.push_back(index);
                        return;
                    }
                    if !self.send(index, reports, due_us, now) {
                        return;
                    }
                }
                Step::Until(at) => return self.wake_at(index, at),
                Step::Acknowledgement | Step::Done => return,
            }
        }
    }

    fn connect(&mut self, index: u32, now: u64) -> io::Result<()> {
        let number = self.parts.first + index;
        let source = (self.parts.sources > 0).then(|| source(number % self.parts.sources));
        let socket = line::begin(self.parts.collector, source)?;
        let hello = self.hello(number, now);
        let laptop = &mut self.laptops[index as usize];
        let config = laptop
            .config
            .get_or_insert_with(|| self.parts.tls.of(number));
        let mut line = Line::new(
            socket,
            Arc::clone(config),
            self.parts.name.clone(),
            &self.parts.authority,
            &hello,
            now,
        )?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry.register(line.socket(), Token(index as usize), interest)?;
        laptop.line = Some(Box::new(line));
        self.open += 1;
        self.counts.most_connections = self.counts.most_connections.max(self.open as u64);
        Ok(())
    }

    fn hello(&self, number: u32, now: u64) -> Vec<u8> {
        let laptop = self.parts.fleet.laptop(number);
        let hardware = laptop.hardware();
        let mut told = v1::Hardware::from(&hardware.fingerprint);
        (told.vendor, told.model) = (hardware.vendor, hardware.model);
        let hello = v1::Hello {
            agent_version: super::AGENT_VERSION.to_owned(),
            sent: Some(moment(&self.taken(number - self.parts.first, None, now))),
            spool: laptop.spool_id().as_bytes().to_vec(),
            next_sequence: 1,
            hardware: Some(told),
            configuration_revision: 0,
        };
        let message = Some(v1::up::Message::Hello(hello));
        v1::Up { message }.encode_to_vec()
    }

    /// The laptop's clocks when it took its report with this index, or now.
    fn taken(&self, index: u32, report: Option<u64>, now: u64) -> Taken {
        let plan = &self.parts.plan;
        let sent_ms = plan.since_boot_ms(now);
        let since_boot = report.map_or(sent_ms, |report| plan.taken_ms(report, now));
        let (began_us, began) = self.parts.began;
        let passed_ms = i64::try_from(now.saturating_sub(began_us) / 1000).unwrap_or(i64::MAX);
        let age_ms = i64::try_from(sent_ms - since_boot).unwrap_or(i64::MAX);
        let skew_ms = self.laptops[index as usize].skew_ms;
        Taken {
            wall: began.plus_ms(passed_ms - age_ms + skew_ms),
            boot: boot(&self.parts, self.parts.first + index),
            since_boot: SinceBootMs(since_boot),
        }
    }

    /// Sends a message; the answer is whether the line still stands.
    fn send(&mut self, index: u32, reports: u64, due_us: u64, now: u64) -> bool {
        let laptop = &mut self.laptops[index as usize];
        let (first, sequence) = laptop.member.note_sent(reports, due_us, now);
        self.on_the_way += 1;
        let message = self.message(index, first, sequence, reports, now);
        let (message, is_compressed) = match &mut self.compressor {
            Some(compressor) => match compressor.0.compress(&message) {
                Ok(compressed) => (compressed, true),
                Err(_) => (message, false),
            },
            None => (message, false),
        };
        let Some(line) = &mut self.laptops[index as usize].line else {
            return false;
        };
        line.has_sent = true;
        if let Err(error) = line.send(&message, is_compressed, &mut self.traffic) {
            self.lose(index, &format!("broken: {}", error.kind()), now);
            return false;
        }
        true
    }

    fn message(&self, index: u32, first: u64, sequence: u64, reports: u64, now: u64) -> Vec<u8> {
        let sent = moment(&self.taken(index, None, now));
        let mut body = v1::Reports {
            sent: Some(sent),
            reports: Vec::new(),
        }
        .encode_to_vec();
        let mut report = Vec::with_capacity(1024);
        for nth in 0..reports {
            report.clear();
            let which = Which {
                number: self.parts.first + index,
                index: first + nth,
                sequence: sequence + nth,
                taken: self.taken(index, Some(first + nth), now),
            };
            self.parts.tapes.write(&which, &mut report);
            put_field(2, &report, &mut body);
        }
        let mut up = Vec::with_capacity(body.len() + 8);
        put_field(2, &body, &mut up);
        up
    }

    fn on_event(&mut self, token: usize, is_read_closed: bool, now: u64) {
        let index = u32::try_from(token).expect("laptops are numbered in 32 bits");
        let Some(line) = &mut self.laptops[token].line else {
            return;
        };
        if let Ok(Some(error)) | Err(error) = line.socket().take_error() {
            return self.lose(index, &format!("cannot connect: {}", error.kind()), now);
        }
        let mut heard = Vec::new();
        let received = line
            .flush(&mut self.traffic)
            .and_then(|()| line.receive(is_read_closed, &mut heard, &mut self.traffic));
        if !line.is_counted
            && let Some(kind) = line.handshake()
        {
            line.is_counted = true;
            match kind {
                HandshakeKind::Resumed => self.counts.resumed_handshakes += 1,
                _ => self.counts.full_handshakes += 1,
            }
        }
        for down in heard {
            self.hear(index, down, now);
        }
        self.look_after(index, received, now);
    }

    /// What becomes of a line after something has come.
    fn look_after(&mut self, index: u32, received: io::Result<()>, now: u64) {
        let Some(line) = &self.laptops[index as usize].line else {
            return;
        };
        match (received, line.ended()) {
            (Err(error), _) => self.lose(index, &format!("broken: {error}"), now),
            (_, Some(End::Status)) => self.lose(index, "ended with a status", now),
            (_, Some(End::Reset)) => self.lose(index, "reset", now),
            (_, Some(End::GoAway)) => self.lose(index, "told to go away", now),
            _ if line.is_closed() => self.lose(index, "closed", now),
            _ if self.may_rest(index, now) => self.rest(index, now),
            _ => self.advance(index, now),
        }
    }

    fn hear(&mut self, index: u32, down: v1::Down, now: u64) {
        let laptop = &mut self.laptops[index as usize];
        match down.message {
            Some(Said::Welcome(welcome)) => {
                let new = laptop.member.welcome(welcome.last_stored, welcome.credit);
                laptop.backoff.reset();
                if let Some(line) = &mut laptop.line {
                    line.is_welcome = true;
                    self.counts.connecting.add(now - line.began_us);
                }
                self.count_reports(new, now);
            }
            Some(Said::Ack(ack)) => {
                let mut settled = Vec::new();
                let new = laptop
                    .member
                    .acknowledge(ack.sequence, |sent| settled.push(sent));
                self.settle(&settled, now);
                self.count_reports(new, now);
                self.note_drained(index, now);
            }
            Some(Said::SlowDown(slow)) => {
                self.counts.slow_downs += 1;
                laptop.member.slow_down(slow.credit, slow.wait_ms, now);
            }
            Some(Said::Retire(_)) => laptop.not_before_us = u64::MAX,
            Some(Said::Configuration(_)) | None => {}
        }
    }

    fn settle(&mut self, settled: &[Sent], now: u64) {
        let plan = &self.parts.plan;
        self.on_the_way -= settled.len();
        if now <= plan.end_us {
            self.counts.messages += settled.len() as u64;
        }
        for sent in settled {
            self.counts.latency.add(now.saturating_sub(sent.due_us));
            self.counts.service.add(now.saturating_sub(sent.sent_us));
        }
        for _ in settled {
            let Some(index) = self.held.pop_front() else {
                return;
            };
            self.laptops[index as usize].is_held = false;
            // At its own turn, so that no laptop's answer waits for another's work.
            self.wake_at(index, now);
        }
    }

    fn count_reports(&mut self, new: u64, now: u64) {
        let plan = &self.parts.plan;
        self.counts.reports_in_all += new;
        if now < plan.start_us || now > plan.end_us {
            return;
        }
        self.counts.reports += new;
        let second = usize::try_from((now - plan.start_us) / 1_000_000).unwrap_or(usize::MAX);
        if self.counts.timeline.len() <= second {
            self.counts.timeline.resize(second + 1, 0);
        }
        self.counts.timeline[second] += new;
    }

    fn note_drained(&mut self, index: u32, now: u64) {
        let plan = &self.parts.plan;
        let laptop = &mut self.laptops[index as usize];
        let is_drained = laptop.member.acknowledged() >= plan.backlog;
        if plan.backlog > 0 && is_drained && !laptop.is_drained {
            laptop.is_drained = true;
            self.counts.drained.add(now.saturating_sub(plan.start_us));
        }
    }

    /// A laptop that rests between messages leaves once everything is acknowledged.
    fn may_rest(&self, index: u32, now: u64) -> bool {
        let laptop = &self.laptops[index as usize];
        let has_sent = laptop.line.as_ref().is_some_and(|line| line.has_sent);
        laptop.rests && has_sent && laptop.member.may_rest(&self.parts.plan, now)
    }

    fn rest(&mut self, index: u32, now: u64) {
        if let Some(line) = &mut self.laptops[index as usize].line {
            line.finish(&mut self.traffic);
        }
        self.drop_line(index);
        self.wake_at(index, now);
    }

    fn lose(&mut self, index: u32, how: &str, now: u64) {
        if !self.is_over || self.on_the_way > 0 {
            self.counts.lose(how);
        }
        self.drop_line(index);
        self.fail(index, now);
    }

    fn drop_line(&mut self, index: u32) {
        let laptop = &mut self.laptops[index as usize];
        if laptop.line.take().is_some() {
            self.open -= 1;
        }
        self.on_the_way -= laptop.member.disconnect();
        if let Some(next) = self.queued.pop_front() {
            self.laptops[next as usize].is_queued = false;
            self.wake_at(next, now_us());
        }
    }

    fn fail(&mut self, index: u32, now: u64) {
        let laptop = &mut self.laptops[index as usize];
        let wait = laptop.backoff.after_failure(random_fraction());
        let wait_us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        laptop.not_before_us = laptop.not_before_us.max(now.saturating_add(wait_us));
        let at = laptop.not_before_us;
        if at < u64::MAX {
            self.wake_at(index, at);
        }
    }

    fn end_measuring(&mut self, now: u64, traffic_at_start: Traffic) {
        let plan = &mut self.parts.plan;
        plan.end_us = plan.end_us.min(now);
        self.is_over = true;
        self.counts.connected = self
            .laptops
            .iter()
            .filter(|laptop| laptop.is_welcome())
            .count() as u64;
        self.counts.seconds = plan.end_us.saturating_sub(plan.start_us) as f64 / 1e6;
        self.counts.cpu_s = cpu_s() - self.cpu_at_start.unwrap_or_else(cpu_s);
        self.counts.bytes_up = self.traffic.up - traffic_at_start.up;
        self.counts.bytes_down = self.traffic.down - traffic_at_start.down;
    }

    /// Whatever is unacknowledged now has waited for at least so long.
    fn take_leave(&mut self, now: u64) {
        for laptop in &mut self.laptops {
            for sent in laptop.member.on_the_way() {
                self.counts.unanswered += 1;
                self.counts.latency.add(now.saturating_sub(sent.due_us));
                self.counts.service.add(now.saturating_sub(sent.sent_us));
            }
            if let Some(mut line) = laptop.line.take() {
                line.finish(&mut self.traffic);
            }
        }
        self.counts.peak_rss_mb = peak_rss_mb();
    }

    fn tell(&self, now: u64) {
        let plan = &self.parts.plan;
        let seconds = now.saturating_sub(plan.start_us) as f64 / 1e6;
        let latency = self.counts.latency.summary();
        eprintln!(
            "{} laptops, {} connections; {} reports acknowledged ({:.0}/s), {} messages on the way; \
             acknowledged within {:.1} ms (half), {:.1} ms (99 of 100)",
            self.parts.devices,
            self.open,
            self.counts.reports_in_all,
            self.counts.reports as f64 / seconds.max(0.001),
            self.on_the_way,
            latency.p50,
            latency.p99,
        );
    }
}

impl Laptop {
    fn is_welcome(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.is_welcome)
    }
}

fn laptop(parts: &Parts, number: u32) -> Laptop {
    let chance = parts.fleet.chance().of(Topic::Laptop, i64::from(number));
    let now = parts.began.1;
    let skew_ms = parts.fleet.laptop(number).taken(now).wall.since(now);
    Laptop {
        member: Member::new(number, chance.fraction(Topic::Slot)),
        line: None,
        config: None,
        backoff: Backoff::new(limits::RECONNECT_FIRST, limits::RECONNECT_LONGEST),
        not_before_us: 0,
        wake_us: 0,
        rests: chance.holds(Topic::Attend, parts.resting),
        is_queued: false,
        is_held: false,
        is_drained: false,
        skew_ms,
    }
}

/// A laptop boots before each run, so each run has a boot of its own.
fn boot(parts: &Parts, number: u32) -> BootId {
    let own: Chance = parts.fleet.chance().of(Topic::Laptop, i64::from(number));
    let boot = own.of(Topic::Boot, parts.began.1.0);
    let (high, low) = (boot.bits(Topic::Boot), boot.bits(Topic::Serial));
    BootId::from_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
}

fn moment(taken: &Taken) -> v1::Moment {
    v1::Moment {
        wall_ms: taken.wall.0,
        boot: taken.boot.as_bytes().to_vec(),
        since_boot_ms: taken.since_boot.0,
    }
}

fn put_field(number: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// The n-th source address of the loopback network.
fn source(n: u32) -> Ipv4Addr {
    const FIRST: u32 = 0x7f10_0000;
    const ROOM: u32 = 0x00ef_0000;
    Ipv4Addr::from(FIRST + n % ROOM)
}

fn now_us() -> u64 {
    SystemClock.micros()
}

fn cpu_s() -> f64 {
    let spec = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spec.tv_sec as f64 + spec.tv_nsec as f64 / 1e9
}

fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
