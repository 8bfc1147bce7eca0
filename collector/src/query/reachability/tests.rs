//! The matrix on a small fleet.

use rollcall_shared::id::{BootId, DeviceId, Sequence, SpoolId};
use rollcall_shared::reading::Reading;
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::SinceBootMs;

use super::super::example::{Example, NOW, device, label};
use super::*;
use crate::reach_note::{NOTED_EVERY_MS, NOTES};
use crate::store::{Arrival, Role, Write};

/// A laptop of `site` that is at `place` and tells of Canvas.
async fn laptop(example: &Example, site: &str, place: &str, stage: &str, at: UnixMs) {
    let id = DeviceId::generate();
    let record = device(id, site, None, "Latitude 3120");
    example
        .store
        .commit(vec![Write::PutDevice(record)])
        .await
        .unwrap();
    let is_reached = stage.is_empty();
    let word = if is_reached {
        "reachable"
    } else {
        "unreachable"
    };
    let mut readings = vec![
        Reading::text(&metric::VANTAGE, "", place),
        Reading::text(&metric::REACH_STATE, "Canvas", word),
        Reading::number(&metric::REACH_TCP, "Canvas", 0.25),
    ];
    if !is_reached {
        readings.push(Reading::text(&metric::REACH_FAILED_STAGE, "Canvas", stage));
    }
    let report = Report {
        sequence: Sequence(1),
        taken: Taken {
            wall: at,
            boot: BootId::generate(),
            since_boot: SinceBootMs(1),
        },
        full: true,
        urgent: false,
        readings,
    };
    let arrival = Arrival {
        device: id,
        spool: SpoolId::generate(),
        reports: vec![(at, report)],
        received: at,
        skew_ms: 0,
    };
    example.store.append(arrival).await.unwrap();
}

async fn district() -> Example {
    let example = Example::new().await;
    for _ in 0..3 {
        laptop(&example, "Lincoln", "on-campus:Lincoln", "", NOW).await;
        laptop(&example, "Hay", "on-campus:Hay", "dns", NOW).await;
    }
    laptop(&example, "Hay", "off-campus", "", NOW).await;
    laptop(
        &example,
        "Hay",
        "on-campus:Hay",
        "",
        NOW.plus_ms(-PRESENT_MS - 1),
    )
    .await;
    example
}

fn viewer(sites: &[&str]) -> Viewer {
    Viewer::new(
        "x",
        Role::Viewer,
        sites.iter().map(|site| label(site)).collect(),
    )
}

#[tokio::test]
async fn a_sites_outage_is_told_from_a_services() {
    let example = district().await;
    let matrix = example.query.reachability(&viewer(&[]));
    let on = |site: &str| Vantage::OnCampus(site.to_owned());
    assert_eq!(
        matrix.vantages,
        [on("Hay"), on("Lincoln"), Vantage::OffCampus]
    );
    let canvas = &matrix.targets[0];
    let cells: Vec<Cell> = canvas.cells.iter().flatten().cloned().collect();
    assert_eq!(
        cells[0].now,
        Reached {
            reached: 0,
            failed: 3
        },
        "who is silent does not count"
    );
    assert_eq!(cells[0].stage, "dns");
    assert_eq!(
        cells[1].now,
        Reached {
            reached: 3,
            failed: 0
        }
    );
    assert_eq!(cells[1].median_s, Some(0.25));
    assert!((cells[0].now.failed_share() - 1.0).abs() < 1e-9);
    assert_eq!(matrix.noted_since, None);
}

#[tokio::test]
async fn the_day_is_noted_and_bounded_and_each_site_sees_its_own() {
    let example = district().await;
    for _ in 0..3 {
        example.query.note_reachability().await.unwrap();
        example.pass(NOTED_EVERY_MS);
    }
    let matrix = example.query.reachability(&viewer(&[]));
    assert_eq!(
        matrix.targets[0].day[0].len(),
        2,
        "of three notes, they were present at two"
    );
    assert!(
        matrix.targets[0].cells.iter().all(Option::is_none),
        "nobody is there now"
    );
    let matrix = example.query.reachability(&viewer(&["Lincoln"]));
    assert_eq!(matrix.vantages, [Vantage::OnCampus("Lincoln".to_owned())]);
    let lincoln = Reached {
        reached: 3,
        failed: 0,
    };
    assert!(
        matrix.targets[0].day[0]
            .iter()
            .all(|(_, reached)| *reached == lincoln)
    );
    for _ in 0..i64::from(NOTES) * 2 {
        example.query.note_reachability().await.unwrap();
        example.pass(NOTED_EVERY_MS / 2);
    }
    assert_eq!(
        example.store.reach_notes().len(),
        usize::from(NOTES),
        "as many as there are in a day"
    );
    let matrix = example.query.reachability(&viewer(&[]));
    assert!(
        matrix.targets.is_empty(),
        "what is older than a day is not shown"
    );
}
