use super::*;

const SEND: Duration = Duration::from_secs(300);

fn at(ms: u64) -> SinceBootMs {
    SinceBootMs(ms)
}

fn session(last: u64) -> Session {
    let mut session = Session::new(at(0), Sequence(last), SEND);
    assert_eq!(session.handle(Event::Timer, at(0), 0.5), [Action::Connect]);
    session
}

fn greet(session: &mut Session, last_stored: u64, credit: u32, now: u64) -> Vec<Action> {
    session.handle(Event::Opened, at(now), 0.5);
    let last_stored = Sequence(last_stored);
    session.handle(
        Event::Welcome {
            last_stored,
            credit,
        },
        at(now),
        0.5,
    )
}

fn send(after: u64, through: u64, at_most: u32) -> Action {
    Action::Send {
        after: Sequence(after),
        through: Sequence(through),
        at_most,
    }
}

fn sent(session: &mut Session, last: u64, reports: u32, now: u64) -> Vec<Action> {
    session.handle(
        Event::Sent {
            last: Sequence(last),
            reports,
        },
        at(now),
        0.5,
    )
}

#[test]
fn a_backlog_goes_at_once_within_the_credit() {
    let mut session = session(100);
    let actions = greet(&mut session, 40, 25, 10);
    assert_eq!(
        actions,
        [Action::Acknowledge(Sequence(40)), send(40, 100, 25)]
    );
    assert_eq!(sent(&mut session, 65, 25, 10), [], "the credit is used up");
    let actions = session.handle(Event::Ack(Sequence(50)), at(20), 0.5);
    assert_eq!(
        actions,
        [Action::Acknowledge(Sequence(50))],
        "a message counts until it is whole"
    );
    let actions = session.handle(Event::Ack(Sequence(65)), at(20), 0.5);
    assert_eq!(
        actions,
        [Action::Acknowledge(Sequence(65)), send(65, 100, 25)]
    );
    assert_eq!(sent(&mut session, 100, 20, 20), []);
    let actions = session.handle(Event::Ack(Sequence(4000)), at(30), 0.5);
    assert_eq!(
        actions,
        [Action::Acknowledge(Sequence(100))],
        "no more than was sent"
    );
    assert_eq!(session.deadline(), None);
}

#[test]
fn ordinary_reports_travel_together_and_urgent_ones_at_once() {
    let mut session = session(0);
    greet(&mut session, 0, 64, 0);
    let append = |session: &mut Session, last, urgent, now| {
        session.handle(
            Event::Appended {
                last: Sequence(last),
                urgent,
            },
            at(now),
            0.5,
        )
    };
    assert_eq!(append(&mut session, 1, false, 1_000), []);
    assert_eq!(append(&mut session, 2, false, 61_000), []);
    assert_eq!(session.deadline(), Some(at(301_000)));
    assert_eq!(session.handle(Event::Timer, at(300_999), 0.5), []);
    assert_eq!(
        session.handle(Event::Timer, at(301_000), 0.5),
        [send(0, 2, 64)]
    );
    assert_eq!(sent(&mut session, 2, 2, 301_000), []);
    assert_eq!(append(&mut session, 3, false, 310_000), []);
    assert_eq!(append(&mut session, 4, true, 311_000), [send(2, 4, 62)]);
}

#[test]
fn failures_wait_longer_and_longer_and_a_changed_network_ends_the_wait() {
    let mut session = session(0);
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..12 {
        session.handle(Event::Lost, at(now), 0.999_999);
        let until = session.deadline().unwrap();
        waits.push((until.0 - now).div_ceil(1000));
        now = until.0;
        assert_eq!(
            session.handle(Event::Timer, at(now), 0.5),
            [Action::Connect]
        );
    }
    assert_eq!(waits[..4], [2, 4, 8, 16]);
    assert_eq!(waits.last(), Some(&limits::RECONNECT_LONGEST.as_secs()));
    session.handle(Event::Lost, at(now), 0.9);
    assert_eq!(session.handle(Event::Disturbed, at(now), 0.5), []);
    assert_eq!(session.deadline(), Some(at(now + 1000)));
}

#[test]
fn only_a_connection_that_lasts_makes_the_next_failure_the_first() {
    for (lasted, wait) in [(59_999, 64), (60_000, 2)] {
        let mut session = session(1);
        for _ in 0..5 {
            session.handle(Event::Lost, at(0), 1.0);
            let until = session.deadline().unwrap();
            session.handle(Event::Timer, until, 0.5);
        }
        greet(&mut session, 0, 1, 0);
        sent(&mut session, 1, 1, 0);
        session.handle(Event::Ack(Sequence(1)), at(0), 0.5);
        session.handle(Event::Lost, at(lasted), 1.0);
        assert_eq!(session.deadline(), Some(at(lasted + wait * 1000)));
    }
}

#[test]
fn a_pause_holds_even_what_is_urgent() {
    let mut session = session(5);
    greet(&mut session, 5, 64, 0);
    let wait = Duration::from_secs(30);
    assert_eq!(
        session.handle(Event::SlowDown { credit: 2, wait }, at(0), 0.5),
        []
    );
    let urgent = Event::Appended {
        last: Sequence(9),
        urgent: true,
    };
    assert_eq!(session.handle(urgent, at(10_000), 0.5), []);
    assert_eq!(session.deadline(), Some(at(30_000)));
    assert_eq!(
        session.handle(Event::Timer, at(30_000), 0.5),
        [send(5, 9, 2)]
    );
}

#[test]
fn silence_is_a_lost_connection() {
    let mut session = session(1);
    session.handle(Event::Opened, at(0), 0.5);
    let deadline = session.deadline().unwrap();
    assert_eq!(
        session.handle(Event::Timer, deadline, 0.0),
        [Action::Disconnect]
    );
    assert_eq!(
        session.handle(Event::Timer, deadline, 0.0),
        [Action::Connect]
    );
    greet(&mut session, 0, 64, 0);
    sent(&mut session, 1, 1, 0);
    assert_eq!(session.deadline(), Some(at(120_000)));
    assert_eq!(
        session.handle(Event::Timer, at(120_000), 0.5),
        [Action::Disconnect]
    );
}

#[test]
fn a_collector_that_knows_more_than_the_spool_gets_a_new_spool() {
    let mut session = session(7);
    let actions = greet(&mut session, 9, 64, 0);
    assert_eq!(actions, [Action::Disconnect, Action::RenewSpool]);
    let again = session.deadline().expect("it waits to connect again");
    assert!(
        again > at(0),
        "a spool that could not be renewed makes no loop"
    );
    assert_eq!(session.handle(Event::Timer, again, 0.5), [Action::Connect]);
    assert_eq!(greet(&mut session, 0, 64, 0)[1], send(0, 7, 64));
}

#[test]
fn refusals_end_the_session_or_are_waited_out() {
    let mut passing = session(0);
    let actions = passing.handle(Event::Refused(Refusal::StoreUnavailable), at(0), 0.5);
    assert_eq!(actions, [Action::Disconnect]);
    assert_eq!(passing.deadline(), Some(at(1000)));
    let mut final_one = session(0);
    let end = Action::End(End::Refused(Refusal::DeviceRevoked));
    let actions = final_one.handle(Event::Refused(Refusal::DeviceRevoked), at(0), 0.5);
    assert_eq!(actions, [Action::Disconnect, end]);
    assert_eq!(final_one.handle(Event::Disturbed, at(5), 0.5), []);
    assert_eq!(
        session(0).handle(Event::Retired, at(0), 0.5)[1],
        Action::End(End::Retired)
    );
}

#[test]
fn waking_up_leaves_the_old_connection() {
    let mut session = session(3);
    greet(&mut session, 3, 64, 0);
    assert_eq!(
        session.handle(Event::Disturbed, at(0), 0.5),
        [Action::Disconnect]
    );
    assert!(!session.is_streaming());
    assert_eq!(
        session.handle(Event::Lost, at(1), 0.9),
        [],
        "the end of the old one is no failure"
    );
    assert_eq!(
        session.handle(Event::Timer, at(1000), 0.5),
        [Action::Connect]
    );
}
