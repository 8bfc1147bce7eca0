//! Entries of the log: what arrived together, before it is sealed.
//!
//! ```text
//! entry   := version[1] arrival*
//! arrival := device[16] spool[16] received[8] skew[8] count[4] report*
//! report  := corrected[8] length[4] rollcall.v1.Report
//! ```

use prost::Message as _;
use rollcall_proto::convert::Admitted;
use rollcall_proto::v1;
use rollcall_shared::id::{DeviceId, SpoolId};
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::report::Report;
use rollcall_shared::time::UnixMs;

use super::Arrival;
use super::codec::{Decoder, Encoder, Problem, pack, unpack};

const VERSION: u8 = 1;

/// zstd at its fastest: the log lives for minutes.
const LEVEL: i32 = 1;

/// Packs what arrived together.
pub(super) fn encode(arrivals: &[&Arrival]) -> Vec<u8> {
    let mut form = Encoder::default();
    form.u8(VERSION);
    for arrival in arrivals {
        put_arrival(&mut form, arrival);
    }
    pack(&form.0, LEVEL)
}

/// Unpacks an entry.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Arrival>, Problem> {
    let bytes = unpack(bytes)?;
    let mut form = Decoder(&bytes);
    let version = form.u8()?;
    if version != VERSION {
        return Err(format!("its form {version} is unknown"));
    }
    let mut arrivals = Vec::new();
    while !form.is_empty() {
        arrivals.push(arrival(&mut form)?);
    }
    Ok(arrivals)
}

/// More bytes than an arrival takes in an entry: 80 of a report and 24 of a reading are not its texts.
pub(super) fn most_bytes(arrival: &Arrival) -> usize {
    let of_reading = |reading: &Reading| {
        let text = match reading.value() {
            Value::Text(text) | Value::Unavailable(text) => text.len(),
            Value::Number(_) | Value::Flag(_) => 0,
        };
        24 + reading.instance().len() + text
    };
    let of_report =
        |report: &Report| -> usize { 80 + report.readings.iter().map(of_reading).sum::<usize>() };
    let reports = arrival.reports.iter();
    52 + reports.map(|(_, report)| of_report(report)).sum::<usize>()
}

fn put_arrival(form: &mut Encoder, arrival: &Arrival) {
    form.raw(arrival.device.as_bytes());
    form.raw(arrival.spool.as_bytes());
    form.i64(arrival.received.0);
    form.i64(arrival.skew_ms);
    form.u32(u32::try_from(arrival.reports.len()).expect("a message has few reports"));
    for (at, report) in &arrival.reports {
        form.i64(at.0);
        form.bytes(&v1::Report::from(report).encode_to_vec());
    }
}

fn arrival(form: &mut Decoder<'_>) -> Result<Arrival, Problem> {
    let device = DeviceId::from_bytes(form.array()?);
    let spool = SpoolId::from_bytes(form.array()?);
    let (received, skew_ms, count) = (UnixMs(form.i64()?), form.i64()?, form.u32()?);
    let mut reports = Vec::new();
    for _ in 0..count {
        let at = UnixMs(form.i64()?);
        reports.push((at, report(form.bytes()?)?));
    }
    Ok(Arrival {
        device,
        spool,
        reports,
        received,
        skew_ms,
    })
}

fn report(bytes: &[u8]) -> Result<Report, Problem> {
    let wire = v1::Report::decode(bytes).map_err(|error| error.to_string())?;
    let admitted = Admitted::try_from(wire).map_err(|error| error.to_string())?;
    Ok(admitted.report)
}
