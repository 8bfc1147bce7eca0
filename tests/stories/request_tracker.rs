//! One laptop's problem is one ticket in a real Request Tracker, from its first finding to its return.

use std::time::Duration;

use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::{Collector, QUIET};
use rollcall_tests::rig::patience::{eventually, require, throughout};
use rollcall_tests::rig::relay::Relay;
use rollcall_tests::rig::request_tracker::RequestTracker;

use crate::settings;

/// Request Tracker takes about a second for each call, and longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn request_tracker_has_one_ticket_for_one_problem() {
    let folder = rig::folder();
    let tracker = match RequestTracker::start(folder.path()) {
        Ok(tracker) => tracker,
        Err(reason) => return rig::skip("tickets in Request Tracker", &reason),
    };
    let relay = Relay::start(tracker.address);
    // The ticket is made, and nobody hears of it.
    relay.keep_back("POST /REST/2.0/ticket ");
    let token = folder.path().join("rt-token");
    std::fs::write(&token, &tracker.token).unwrap();
    let rules = settings::battery_rules(folder.path());
    let config = format!(
        "rules = {rules:?}\n{}\n[[channel]]\nname = \"rt\"\nkind = \"ticket\"\npreset = \"request-tracker\"\n\
         url = \"http://{}\"\ntimeout_s = 10\nsettle_s = 20\nsettings = {{ queue = \"Laptops\" }}\n\
         secrets = {{ token = {{ file = {token:?} }} }}\n",
        settings::QUICK,
        relay.address
    );
    let mut collector = Collector::start(folder.path(), &config);
    let mut laptop = Laptop::new(folder.path(), "laptop");
    let token = collector.token(&["--site", "Lincoln"]);
    let _ = laptop.enroll(collector.grpc, &token).success();
    laptop.set_battery("POWER_SUPPLY_CAPACITY", "12");
    laptop.set_battery("POWER_SUPPLY_ENERGY_NOW", "2600000");
    laptop.run();

    eventually("a ticket whose number is known", PATIENCE, || {
        told(&collector)?;
        one(&tracker, "new")
    });
    assert_eq!(relay.count("POST /REST/2.0/ticket "), 1, "asked for once");
    assert!(
        relay.count("GET /REST/2.0/tickets?") >= 1,
        "looked for by its key"
    );
    collector.kill();
    collector.run();
    throughout("one ticket after a crash", QUIET, || {
        one(&tracker, "new").map(drop)
    });

    laptop.set_battery("POWER_SUPPLY_CYCLE_COUNT", "1200");
    let number = eventually("a comment about the second finding", PATIENCE, || {
        let number = one(&tracker, "new")?;
        comments(&tracker, &number, 1)?;
        Ok::<_, String>(number)
    });
    laptop.set_battery("POWER_SUPPLY_CYCLE_COUNT", "12");
    laptop.set_battery("POWER_SUPPLY_CAPACITY", "80");
    laptop.set_battery("POWER_SUPPLY_ENERGY_NOW", "17600000");
    eventually("the end of the ticket", PATIENCE, || {
        one(&tracker, "resolved").map(drop)
    });
    told_soon(&collector);
    laptop.set_battery("POWER_SUPPLY_CAPACITY", "12");
    laptop.set_battery("POWER_SUPPLY_ENERGY_NOW", "2600000");
    eventually("the same ticket, opened again", PATIENCE, || {
        one(&tracker, "open").map(drop)
    });
    told_soon(&collector);
    assert_eq!(relay.count("POST /REST/2.0/ticket "), 1, "still the same");
    let history = tracker.history(&number).unwrap();
    assert_eq!(
        history.iter().filter(|kind| *kind == "Create").count(),
        1,
        "{history:?}"
    );
    laptop.stop();
    collector.stop();
}

/// The number of the only ticket, if it has this status.
fn one(tracker: &RequestTracker, status: &str) -> Result<String, String> {
    let tickets = tracker.tickets()?;
    let is_it = tickets.len() == 1 && tickets[0]["Status"] == status;
    require(is_it, || format!("{tickets:?}"))?;
    let id = &tickets[0]["id"];
    Ok(id.as_str().map_or_else(|| id.to_string(), str::to_owned))
}

fn comments(tracker: &RequestTracker, number: &str, count: usize) -> Result<(), String> {
    let history = tracker.history(number)?;
    let found = history.iter().filter(|kind| *kind == "Comment").count();
    require(found >= count, || format!("{history:?}"))
}

fn told(collector: &Collector) -> Result<(), String> {
    let outbox = collector.get("/api/v1/outbox")?;
    require(outbox["waiting"] == 0, || outbox.to_string())
}

fn told_soon(collector: &Collector) {
    eventually("an empty outbox", PATIENCE, || told(collector));
}
