//! Prometheus Alertmanager groups our alerts, keeps them as long as they fire, and calls its own receiver.

use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::alertmanager::Alertmanager;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require, throughout};
use rollcall_tests::rig::webhook::Receiver;
use serde_json::Value;
use std::time::Duration;

use crate::settings;

/// Longer than an alert lives that is not told again: four times a second.
const LONGER_THAN_AN_ALERT: Duration = Duration::from_secs(7);

#[test]
fn alertmanager_groups_alerts_and_calls_its_receiver() {
    let folder = rig::folder();
    let hook = Receiver::start();
    let manager = match Alertmanager::start(folder.path(), hook.address) {
        Ok(manager) => manager,
        Err(reason) => return rig::skip("alerts in Alertmanager", &reason),
    };
    let rules = settings::battery_rules(folder.path());
    let config = format!(
        "rules = {rules:?}\n{}\n[[channel]]\nname = \"am\"\nkind = \"alertmanager\"\nurl = \"http://{}\"\n\
         resend_s = 1\nlabels = {{ district = \"north\" }}\n",
        settings::QUICK,
        manager.address
    );
    let mut collector = Collector::start(folder.path(), &config);
    let token = collector.token(&["--site", "Lincoln"]);
    let mut laptops = ["one", "two"].map(|name| {
        let laptop = Laptop::new(folder.path(), name);
        laptop.set_serials(name, name);
        laptop.set_battery("POWER_SUPPLY_CAPACITY", "12");
        laptop.set_battery("POWER_SUPPLY_ENERGY_NOW", "2600000");
        laptop
    });
    for laptop in &mut laptops {
        let _ = laptop.enroll(collector.grpc, &token).success();
        laptop.run();
    }
    let group = eventually("one group of two alerts", PATIENCE, || {
        let call = last(&hook, "firing")?;
        let alerts = call["alerts"].as_array().map_or(0, Vec::len);
        require(alerts == 2, || call.to_string())?;
        Ok::<_, String>(call)
    });
    assert_eq!(group["groupLabels"]["alertname"], "charge-low");
    assert_eq!(group["groupLabels"]["site"], "Lincoln");
    assert_eq!(group["commonLabels"]["district"], "north");
    assert_eq!(group["commonLabels"]["source"], "rollcall");
    throughout("alerts that are told again", LONGER_THAN_AN_ALERT, || {
        let alerts = manager.alerts()?;
        require(alerts.len() == 2, || format!("{alerts:?}"))
    });

    for laptop in &laptops {
        laptop.set_battery("POWER_SUPPLY_CAPACITY", "80");
        laptop.set_battery("POWER_SUPPLY_ENERGY_NOW", "17600000");
    }
    let over = eventually("the end of the group", PATIENCE, || last(&hook, "resolved"));
    let ends = over["alerts"].as_array().unwrap().iter();
    assert!(ends.clone().all(|alert| alert["status"] == "resolved"));
    for laptop in &mut laptops {
        laptop.stop();
    }
    collector.stop();
}

/// The last call of Alertmanager, if it says so. It signs nothing.
fn last(hook: &Receiver, status: &str) -> Result<Value, String> {
    let call = hook.calls().pop().ok_or("no call yet")?;
    let is_it = call.body["status"] == status;
    require(is_it, || call.body.to_string())?;
    Ok(call.body)
}
