//! Every bound that both sides hold to, each with the sum that justifies it.

use std::time::Duration;

/// Bytes in a label (site, group, target, rule): one line of a ticket.
pub const LABEL_BYTES: usize = 64;

/// Bytes in a text value: firmware and model names reach about 100, an issuer's name about 200.
pub const TEXT_BYTES: usize = 256;

/// Bytes in an instance such as a mount point or `<drive>/<attribute>`; longer ones are cut by the
/// agent at a character's border.
pub const INSTANCE_BYTES: usize = 128;

/// Readings in one report: a laptop has about 120; a workstation with eight drives, each with 30
/// SMART attributes, 20 file systems and 12 targets has about 600.
pub const READINGS_PER_REPORT: usize = 2048;

/// Bytes of one encoded report: 2,048 readings of 64 bytes on average.
pub const REPORT_BYTES: usize = 128 * 1024;

/// Reports in one message: a batch of four minutes has five, a backlog is sent in batches of this.
pub const REPORTS_PER_MESSAGE: usize = 256;

/// Bytes of one gRPC message in either direction: eight of the largest reports, and room for
/// the configuration. Below tonic's own default of 4 MiB.
pub const MESSAGE_BYTES: usize = 1024 * 1024;

/// Targets in a configuration: eight presets, and as many of a school's own again, twice.
pub const TARGETS: usize = 32;

/// Beacons in a configuration: one a site; the largest district has about 1,900 schools.
pub const BEACONS: usize = 2048;

/// Bytes of a URL in a configuration.
pub const URL_BYTES: usize = 512;

/// Bytes of a certificate signing request: an ECDSA P-256 request has about 300.
pub const CSR_BYTES: usize = 4096;

/// Bytes of an enrolment token as text; the present form has 89.
pub const TOKEN_BYTES: usize = 256;

/// Bytes that a spool may take on disk unless its configuration says otherwise. A report of
/// changes has about 600 bytes, so a month of one a minute has 26 MB.
pub const SPOOL_BYTES: u64 = 32 * 1024 * 1024;

/// Bytes of one segment of a spool: the unit in which the oldest reports are dropped.
pub const SPOOL_SEGMENT_BYTES: u64 = 1024 * 1024;

/// Reports that a collector lets an agent have on the way unacknowledged, at first.
pub const FIRST_CREDIT: u32 = 64;

/// The longest wait between two attempts to connect.
pub const RECONNECT_LONGEST: Duration = Duration::from_secs(300);

/// The ceiling of the first wait after a lost connection.
pub const RECONNECT_FIRST: Duration = Duration::from_secs(2);

/// How long a connection may take to come up, TLS included: a satellite link needs about 4 s.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a TLS handshake may hold a place at the collector.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// A connection with nothing to say is probed after this long, to find peers that are gone. Longer
/// than the five minutes after which a laptop has something to say, so that a stream in order is
/// never probed: a probe every two minutes would be half of what a laptop sends.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(420);

/// A probe that is not answered within this time means a dead connection.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(30);

/// An agent asks by a message of HTTP/2 after this long, where something on the way answers the
/// kernel's probes for a collector that is gone. 500,000 laptops make 556 of them a second.
pub const PING_INTERVAL: Duration = Duration::from_secs(900);

/// A laptop's clock that differs by more than this is reported as wrong: Kerberos gives up at five
/// minutes (RFC 4120, section 7.5.4), and certificates seldom mind less.
pub const CLOCK_SKEW_REPORTED: Duration = Duration::from_secs(300);

/// How far before now a report's corrected time may lie; older ones are stored at this age.
/// The longest summer in a drawer is about 100 days.
pub const REPORT_AGE: Duration = Duration::from_secs(400 * 86_400);

/// How long a device's certificate lives.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(30 * 86_400);

/// The share of a certificate's life after which the agent renews it: at two thirds, ten days stay.
pub const RENEW_AT: f64 = 2.0 / 3.0;

/// How long after its end a certificate may still be used to renew itself, and for nothing else: a
/// laptop that lay in a drawer for a school year and two summers comes back without a visit.
pub const RENEW_GRACE: Duration = Duration::from_secs(500 * 86_400);

/// Clones that one device, and the clones of its clones, may turn into within a day: one imaging room
/// of laptops.
pub const CLONES_PER_DAY: u32 = 500;
