use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::*;
use crate::evaluate::device::laptop::Laptop;

fn at(text: &str) -> UnixMs {
    UnixMs(text.parse::<Timestamp>().unwrap().as_millisecond())
}

fn new_york() -> Calendar {
    Calendar {
        zone: TimeZone::get("America/New_York").unwrap(),
        ..Calendar::default()
    }
}

#[test]
fn the_summer_comes_every_year_and_may_pass_new_year() {
    let summer = When::Yearly {
        from: "06-20".parse().unwrap(),
        through: "08-25".parse().unwrap(),
    };
    let calendar = new_york();
    let until = Some(at("2027-08-26T04:00:00Z"));
    assert_eq!(
        summer.holds_until(&calendar, at("2027-06-20T04:00:00Z")),
        until
    );
    assert_eq!(
        summer.holds_until(&calendar, at("2027-08-26T03:59:59Z")),
        until
    );
    for outside in [
        "2027-06-20T03:59:59Z",
        "2027-08-26T04:00:00Z",
        "2027-01-01T00:00:00Z",
    ] {
        assert_eq!(
            summer.holds_until(&calendar, at(outside)),
            None,
            "{outside}"
        );
    }
    let winter = When::Yearly {
        from: "12-20".parse().unwrap(),
        through: "01-03".parse().unwrap(),
    };
    let until = Some(at("2027-01-04T05:00:00Z"));
    assert_eq!(
        winter.holds_until(&calendar, at("2026-12-31T12:00:00Z")),
        until
    );
    assert_eq!(
        winter.holds_until(&calendar, at("2027-01-03T12:00:00Z")),
        until
    );
    assert_eq!(
        winter.holds_until(&calendar, at("2027-01-04T12:00:00Z")),
        None
    );
}

#[test]
fn a_weekly_window_follows_the_school_s_clocks_past_midnight() {
    let patches = When::Weekly {
        weekdays: vec![DayOfWeek::Sunday],
        from: "22:00".parse().unwrap(),
        until: "04:30".parse().unwrap(),
    };
    let calendar = new_york();
    // Sunday 2026-09-06, 22:00 in New York.
    let until = Some(at("2026-09-07T08:30:00Z"));
    assert_eq!(
        patches.holds_until(&calendar, at("2026-09-07T02:00:00Z")),
        until
    );
    assert_eq!(
        patches.holds_until(&calendar, at("2026-09-07T08:29:59Z")),
        until
    );
    for outside in [
        "2026-09-07T01:59:59Z",
        "2026-09-07T08:30:00Z",
        "2026-09-08T02:30:00Z",
    ] {
        assert_eq!(
            patches.holds_until(&calendar, at(outside)),
            None,
            "{outside}"
        );
    }
}

#[test]
fn only_what_is_named_is_meant() {
    let laptop = Laptop::new();
    let device = &laptop.state.device;
    let everything = Matchers::default();
    assert!(everything.admit(device, "disk-full") && everything.is_everything());
    let mut matchers = Matchers {
        sites: vec!["Lincoln".parse().unwrap()],
        models: vec!["30*".to_owned()],
        rules: vec!["disk-full".to_owned()],
        ..Matchers::default()
    };
    assert!(matchers.admit(device, "disk-full"));
    assert!(!matchers.admit(device, "battery-worn"));
    assert_eq!(
        matchers.to_string(),
        "site Lincoln; rule disk-full; model 30*"
    );
    matchers.groups = vec!["cart-7".parse().unwrap()];
    assert!(!matchers.admit(device, "disk-full"), "it has no group");
}

#[test]
fn the_longest_silence_counts_and_an_ended_one_does_not() {
    let laptop = Laptop::new();
    let silence = |until: i64| Silence {
        id: SilenceId::generate(),
        kind: Kind::Silence,
        matchers: Matchers::default(),
        when: When::Once {
            from: laptop.now,
            until: laptop.now.plus_ms(until),
        },
        reason: "we know".to_owned(),
        author: "desk".to_owned(),
        created: laptop.now,
        ended: None,
    };
    let (short, mut long) = (silence(10), silence(100));
    let calendar = new_york();
    let until = |silences: &[Silence], ms: i64| {
        let now = laptop.now.plus_ms(ms);
        silenced_until(silences, &calendar, &laptop.state.device, "x", now)
            .map(|at| at.since(laptop.now))
    };
    let both = [short.clone(), long.clone()];
    assert_eq!(until(&both, 5), Some(100));
    assert_eq!(until(&both, -1), None);
    assert_eq!(until(&both, 100), None);
    long.ended = Some(Ended {
        by: "desk".to_owned(),
        at: laptop.now.plus_ms(4),
    });
    let both = [short, long];
    assert_eq!(until(&both, 3), Some(100));
    assert_eq!(until(&both, 5), Some(10));
    assert!(both[1].is_over(laptop.now) && !both[0].is_over(laptop.now));
}

#[test]
fn what_is_no_time_or_day_says_what_would_be() {
    for wrong in ["", "7", "24:00", "07:60", "7:5", "seven", "-1:00"] {
        let error = wrong.parse::<TimeOfDay>().unwrap_err();
        assert!(error.ends_with("such as 07:30"), "{error}");
    }
    for wrong in ["", "02-30", "13-01", "6", "2026-06-01"] {
        assert!(wrong.parse::<DayOfYear>().is_err(), "{wrong}");
    }
    assert!("02-29".parse::<DayOfYear>().is_ok());
    assert!("Monday".parse::<DayOfWeek>().is_err());
}

#[test]
fn every_form_comes_back_from_the_store() {
    let whens = [
        r#"{"repeats":"weekly","weekdays":["monday"],"from":"07:00","until":"08:15"}"#,
        r#"{"repeats":"yearly","from":"06-20","through":"08-25"}"#,
    ];
    for json in whens {
        let when: When = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&when).unwrap(), json);
    }
}
