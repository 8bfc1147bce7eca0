//! Prometheus' remote write: a protobuf of series, each with its labels and samples, in a Snappy
//! block. The block is of literals only: the receiver has a copy to make and nothing to unpack.

use std::ops::Range;

use prost::Message;

use super::influx_lines::field;
use super::series::Series;

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// The body with some laptops' reports.
pub(super) fn body(series: &Series, devices: Range<usize>, reports: &Range<usize>) -> Vec<u8> {
    let timeseries = devices.flat_map(|device| of_device(series, device, reports));
    let request = WriteRequest {
        timeseries: timeseries.collect(),
    };
    snappy(&request.encode_to_vec())
}

fn of_device(series: &Series, device: usize, reports: &Range<usize>) -> Vec<TimeSeries> {
    let names = &series.header.devices[device];
    let numbered = names.series.iter().enumerate();
    let of = |(at, (code, instance)): (usize, &(u16, String))| TimeSeries {
        labels: vec![
            label("__name__", format!("rollcall_{}", field(*code, instance))),
            label("device", format!("laptop-{:06}", names.number)),
            label("site", names.site.clone()),
        ],
        samples: samples(series, device, at, reports),
    };
    let all = numbered.map(of);
    all.filter(|one| !one.samples.is_empty()).collect()
}

fn samples(series: &Series, device: usize, at: usize, reports: &Range<usize>) -> Vec<Sample> {
    let of = |report| {
        let value = series.report(device, report)?[at];
        let timestamp = series.at(report).0;
        (!value.is_nan()).then_some(Sample { value, timestamp })
    };
    reports.clone().filter_map(of).collect()
}

fn label(name: &str, value: String) -> Label {
    Label {
        name: name.to_owned(),
        value,
    }
}

/// A Snappy block of literals (format description, 2.1): the length, then for each 64 KiB a tag with
/// two bytes of length, less one.
fn snappy(bytes: &[u8]) -> Vec<u8> {
    const TAG: u8 = 61 << 2;
    let mut block = Vec::with_capacity(bytes.len() + 16);
    prost::encoding::encode_varint(bytes.len() as u64, &mut block);
    for chunk in bytes.chunks(1 << 16) {
        let less_one = u16::try_from(chunk.len() - 1).expect("a chunk has 64 KiB at most");
        block.push(TAG);
        block.extend_from_slice(&less_one.to_le_bytes());
        block.extend_from_slice(chunk);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_its_length_and_literals() {
        assert_eq!(snappy(b"abc"), [3, 244, 2, 0, b'a', b'b', b'c']);
        let long = snappy(&vec![7; 70_000]);
        assert_eq!(long.len(), 70_000 + 3 + 2 * 3);
        assert_eq!(long[3..6], [244, 255, 255]);
    }
}
