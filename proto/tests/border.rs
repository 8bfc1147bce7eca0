//! Whatever comes over the wire, the border answers with a value or an error, and what it lets in
//! is within the limits.

use proptest::prelude::*;
use prost::Message;
use rollcall_proto::convert::Admitted;
use rollcall_proto::v1;
use rollcall_shared::configuration::Configuration;
use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::limits;
use rollcall_shared::reading::Value;

fn wire_value() -> impl Strategy<Value = Option<v1::reading::Value>> {
    use v1::reading::Value::{Flag, Number, Text, Unavailable};
    prop_oneof![
        Just(None),
        any::<f64>().prop_map(|number| Some(Number(number))),
        any::<bool>().prop_map(|flag| Some(Flag(flag))),
        ".{0,300}".prop_map(|text| Some(Text(text))),
        ".{0,300}".prop_map(|why| Some(Unavailable(why))),
    ]
}

fn wire_reading() -> impl Strategy<Value = v1::Reading> {
    let metric = prop_oneof![0_u32..256, any::<u32>()];
    (metric, ".{0,200}", wire_value()).prop_map(|(metric, instance, value)| v1::Reading {
        metric,
        instance,
        value,
    })
}

fn wire_moment() -> impl Strategy<Value = v1::Moment> {
    (
        any::<i64>(),
        prop::collection::vec(any::<u8>(), 0..20),
        any::<u64>(),
    )
        .prop_map(|(wall_ms, boot, since_boot_ms)| v1::Moment {
            wall_ms,
            boot,
            since_boot_ms,
        })
}

fn wire_report() -> impl Strategy<Value = v1::Report> {
    let readings = prop::collection::vec(wire_reading(), 0..40);
    (
        any::<u64>(),
        prop::option::of(wire_moment()),
        any::<bool>(),
        any::<bool>(),
        readings,
    )
        .prop_map(|(sequence, taken, full, urgent, readings)| v1::Report {
            sequence,
            taken,
            full,
            urgent,
            readings,
        })
}

proptest! {
    #[test]
    fn what_is_admitted_is_within_the_limits(wire in wire_report()) {
        let count = wire.readings.len();
        let Ok(admitted) = Admitted::try_from(wire) else { return Ok(()) };
        prop_assert_eq!(admitted.report.readings.len() + admitted.rejected.len(), count);
        for reading in &admitted.report.readings {
            prop_assert!(reading.instance().len() <= limits::INSTANCE_BYTES);
            match reading.value() {
                Value::Number(number) => prop_assert!(number.is_finite()),
                Value::Text(text) | Value::Unavailable(text) => {
                    prop_assert!(text.len() <= limits::TEXT_BYTES);
                }
                Value::Flag(_) => {}
            }
        }
        let again = Admitted::try_from(v1::Report::from(&admitted.report)).unwrap();
        prop_assert_eq!(again.report, admitted.report);
    }

    #[test]
    fn no_bytes_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        if let Ok(report) = v1::Report::decode(&bytes[..]) {
            let _ = Admitted::try_from(report);
        }
        if let Ok(configuration) = v1::Configuration::decode(&bytes[..]) {
            let _ = Configuration::try_from(configuration);
        }
        if let Ok(hardware) = v1::Hardware::decode(&bytes[..]) {
            let _ = HardwareFingerprint::try_from(&hardware);
        }
    }
}

#[test]
fn too_many_readings_are_refused_whole() {
    let reading = v1::Reading {
        metric: 51,
        instance: String::new(),
        value: None,
    };
    let wire = v1::Report {
        sequence: 1,
        taken: Some(v1::Moment {
            wall_ms: 0,
            boot: vec![0; 16],
            since_boot_ms: 0,
        }),
        readings: vec![reading; limits::READINGS_PER_REPORT + 1],
        ..v1::Report::default()
    };
    assert_eq!(
        Admitted::try_from(wire).unwrap_err().to_string(),
        "readings: 2049 are more than 2048"
    );
}
