use super::*;
use proptest::prelude::*;

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("a number", |n| !n.is_nan()),
        (-100_000_i64..100_000, 0_i32..5).prop_map(|(n, digits)| n as f64 / 10_f64.powi(digits)),
        Just(-0.0),
        Just(0.0),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => number().prop_map(Value::Number),
        1 => any::<bool>().prop_map(Value::Flag),
        1 => ".{0,60}".prop_map(Value::Text),
        1 => "[ab]{0,2}".prop_map(Value::Unavailable),
    ]
}

fn point() -> impl Strategy<Value = Point> {
    let time = prop_oneof![
        4 => (0_i64..60).prop_map(|n| 1_790_000_000_000 + n * 60_000),
        1 => any::<i64>(),
    ];
    (time.prop_map(UnixMs), value())
}

fn columns() -> impl Strategy<Value = Vec<Column>> {
    let points = prop::collection::vec(point(), 1..80);
    let key = (any::<u16>(), "[a-z/]{0,6}");
    prop::collection::btree_map(key, points, 0..12).prop_map(|columns| {
        let column = |((metric, instance), mut points): ((u16, String), Vec<Point>)| {
            points.sort_by_key(|(at, _)| *at);
            let key = SeriesKey { metric, instance };
            Column { key, points }
        };
        columns.into_iter().map(column).collect()
    })
}

/// Joins what the pieces hold, as one who reads a device's history does.
fn joined(pieces: &[Vec<u8>]) -> Vec<Column> {
    let mut joined: Vec<Column> = Vec::new();
    for column in pieces.iter().flat_map(|piece| decode(piece, None).unwrap()) {
        match joined.iter_mut().find(|known| known.key == column.key) {
            Some(known) => known.points.extend(column.points),
            None => joined.push(column),
        }
    }
    joined.sort_by(|a, b| a.key.cmp(&b.key));
    joined
}

/// Equality of numbers forgets the sign of zero; bits do not.
fn bits(columns: &[Column]) -> Vec<Option<u64>> {
    let points = columns.iter().flat_map(|column| &column.points);
    points
        .map(|(_, value)| value.as_number().map(f64::to_bits))
        .collect()
}

proptest! {
    #[test]
    fn columns_come_back(columns in columns()) {
        let pieces = encode(&columns);
        prop_assert!(pieces.iter().all(|piece| piece.len() <= VALUE_BYTES));
        let back = joined(&pieces);
        prop_assert_eq!(bits(&back), bits(&columns));
        prop_assert_eq!(&back, &columns);
        for column in &columns {
            let found = pieces.iter().flat_map(|piece| decode(piece, Some(&column.key)).unwrap());
            let points: Vec<Point> = found.flat_map(|column| column.points).collect();
            prop_assert_eq!(&points, &column.points);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(&bytes, None));
        drop(decode(&[&[2][..], &bytes].concat(), None));
        drop(decode(&[&[2, 20, 9, 16][..], &bytes].concat(), None));
    }

    #[test]
    fn no_damage_makes_it_panic(at in any::<prop::sample::Index>(), bit in 0_u32..8, cut in any::<bool>()) {
        let mut piece = encode(&day(&example())).swap_remove(0);
        let at = at.index(piece.len());
        if cut {
            piece.truncate(at);
        } else {
            piece[at] ^= 1 << bit;
        }
        drop(decode(&piece, None));
    }
}

fn series(metric: u16, instance: &str, of: impl Fn(i64) -> Option<Value>) -> Column {
    let time = |n: i64| UnixMs(1_790_000_000_000 + n * 60_000);
    let points = (0..60).filter_map(|n| Some((time(n), of(n)?))).collect();
    let key = SeriesKey {
        metric,
        instance: instance.to_owned(),
    };
    Column { key, points }
}

/// An hour with a value of each kind.
fn example() -> Vec<Column> {
    let hourly = |value: Value| move |n| (n == 0).then(|| value.clone());
    vec![
        series(2, "", hourly(Value::Text("Debian GNU/Linux".to_owned()))),
        series(6, "", |n| Some(Value::Number((86_400 + n * 60) as f64))),
        series(51, "BAT0", |n| {
            (n % 3 == 0).then(|| Value::Number((95 - n / 3) as f64 / 100.0))
        }),
        series(54, "BAT0", hourly(Value::Number(0.836_538_461_538_461_6))),
        series(
            55,
            "BAT0",
            hourly(Value::Unavailable(
                "the firmware does not count cycles".to_owned(),
            )),
        ),
        series(62, "", |n| {
            [0, 30].contains(&n).then_some(Value::Flag(n == 30))
        }),
        series(140, "", |n| {
            Some(Value::Number((n * n * 7919 % 1009) as f64 / 1000.0))
        }),
        series(190, "Canvas", |n| {
            Some(Value::Text(
                if n == 41 { "unreachable" } else { "reachable" }.to_owned(),
            ))
        }),
    ]
}

fn day(hour: &[Column]) -> Vec<Column> {
    let mut columns = hour.to_vec();
    for column in &mut columns {
        let hours = (0..24).flat_map(|n| {
            column
                .points
                .iter()
                .map(move |(at, value)| (at.plus_ms(n * 3_600_000), value.clone()))
        });
        column.points = hours.collect();
    }
    columns
}

#[test]
fn an_hour_is_the_bytes_it_always_was() {
    let pieces = encode(&example());
    let [piece] = &pieces[..] else {
        panic!("{} pieces", pieces.len());
    };
    let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN);
    assert_eq!(decode(piece, None), Ok(example()));
}

const GOLDEN: &str = "02500a2ff23eab9ce33c4af05e50dada975be5cc38b09c84f0c6df1753586db47c275b50559b782655f7d2df63d8be9a36a3c111bf4ebf741c607d36800afdb5e63194931e8feaf8eebdac956eb5abd0481eb9727ff3595a2f9f80af968f20509500000006400001c518ac3cef70b0bcaae02724077ff43fc5d240686c5a2e6541ad37d24cf457fb89756abb1f8bd221352d526c38f7d281e550291e172f9b05eb341a43f976447d13a8c3ac986ef8e1dd37ced1991819adc733a646636d81187fc9766a2b3b8857484e34c009fd17";

#[test]
fn other_forms_are_refused_by_number() {
    assert_eq!(
        decode(&[3, 0, 0, 0], None),
        Err("its form 3 is unknown".to_owned())
    );
    assert!(decode(&[], None).is_err());
}

#[test]
fn the_largest_report_fits_pieces() {
    let column = |n: u16| {
        let text = |seed: u64| -> String {
            (0..8)
                .map(|part| {
                    format!(
                        "{:016x}",
                        (seed + part)
                            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                            .rotate_left(part as u32)
                    )
                })
                .collect()
        };
        let key = SeriesKey {
            metric: 3,
            instance: text(u64::from(n) << 32),
        };
        Column {
            key,
            points: vec![(UnixMs(7), Value::Text(text(u64::from(n)).repeat(2)))],
        }
    };
    let mut columns: Vec<Column> = (0..2048).map(column).collect();
    columns.sort_by(|a, b| a.key.cmp(&b.key));
    let pieces = encode(&columns);
    assert!(pieces.iter().all(|piece| piece.len() <= VALUE_BYTES));
    assert_eq!(joined(&pieces), columns);
}

#[test]
fn many_points_at_one_time_come_back() {
    let points: Vec<Point> = (0..5000)
        .map(|n: i32| (UnixMs(9), Value::Number(f64::from(n).sqrt())))
        .collect();
    let key = SeriesKey {
        metric: 1,
        instance: String::new(),
    };
    let columns = vec![Column { key, points }];
    let pieces = encode(&columns);
    assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.len() <= VALUE_BYTES));
    assert_eq!(joined(&pieces), columns);
}

/// 300 bytes that claim many points: no more memory than a piece may take, and no long time.
#[test]
fn a_small_piece_cannot_claim_the_memory() {
    let constant = |metric| {
        let points = (0..16_000)
            .map(|n| (UnixMs(n * 60_000), Value::Number(1.0)))
            .collect();
        Column {
            key: SeriesKey {
                metric,
                instance: String::new(),
            },
            points,
        }
    };
    let columns: Vec<Column> = (1..120).map(constant).collect();
    let views: Vec<View<'_>> = columns.iter().map(Column::view).collect();
    let piece = piece::encode(&views).unwrap().bytes;
    assert!(piece.len() < 600, "{}", piece.len());
    assert_eq!(
        decode(&piece, None),
        Err("it has more points than any piece".to_owned())
    );
    assert_eq!(
        decode(&piece, Some(&columns[60].key)),
        Ok(vec![columns[60].clone()])
    );
    assert_eq!(joined(&encode(&columns)), columns);
}
