//! The stage as a whole, on the fixture tree.

use super::testing::{number, serve, tree, tree_copy, value};
use super::*;
use rollcall_shared::configuration::{Schedule, Target};
use rollcall_shared::metric;
use rollcall_shared::sources::{self, Standing};
use rollcall_shared::time::UnixMs;

/// 2026-08-24, `minutes` after boot.
const fn at(minutes: u64) -> Now {
    Now {
        wall: UnixMs(1_787_557_500_000),
        since_boot: SinceBootMs(minutes * 60_000),
    }
}

async fn run(
    collect: &mut Collect,
    minutes: u64,
    configuration: &Configuration,
) -> Option<Collected> {
    collect
        .run_due(
            at(minutes),
            configuration,
            &BeaconTrust::default(),
            Vec::new(),
        )
        .await
}

#[tokio::test]
async fn the_first_report_is_full_and_of_every_probe() {
    let mut collect = Collect::new(tree());
    let first = run(&mut collect, 5, &Configuration::default())
        .await
        .unwrap();
    assert!(first.full && first.urgent);
    for probe in Probe::ALL {
        assert_eq!(
            value(&first.readings, "rollcall.probe.state", probe.name()),
            "ok",
            "{probe:?}"
        );
    }
    let health = number(&first.readings, "hw.battery.health", "BAT0").unwrap();
    assert!((0.48..0.5).contains(&health), "{health}");
    assert!(value(&first.readings, "network.vantage", "").contains("no beacon"));
}

#[tokio::test]
async fn only_what_is_due_runs_and_only_what_changed_is_reported() {
    let (_folder, roots) = tree_copy();
    let configuration = Configuration::default();
    let mut collect = Collect::new(roots.clone());
    assert_eq!(collect.next_due(&configuration), SinceBootMs(0));
    run(&mut collect, 5, &configuration).await.unwrap();
    assert_eq!(collect.next_due(&configuration), at(6).since_boot);
    assert_eq!(
        run(&mut collect, 5, &configuration).await,
        None,
        "nothing is due"
    );

    let uevent = roots.sys.join("class/power_supply/BAT0/uevent");
    let text = std::fs::read_to_string(&uevent).unwrap();
    std::fs::write(&uevent, text.replace("Discharging", "Charging")).unwrap();
    std::fs::write(roots.run.join("reboot-required"), "").unwrap();
    let changed = run(&mut collect, 6, &configuration).await.unwrap();
    assert!(!changed.full && !changed.urgent);
    assert_eq!(
        value(&changed.readings, "hw.battery.state", "BAT0"),
        "charging"
    );
    assert_eq!(
        value(&changed.readings, "hw.battery.health", "BAT0"),
        "absent",
        "it did not change"
    );
    assert_eq!(
        value(&changed.readings, "os.restart.pending", ""),
        "absent",
        "not due before the hour"
    );
    let hour = run(&mut collect, 60, &configuration).await.unwrap();
    assert_eq!(value(&hour.readings, "os.restart.pending", ""), "yes");
}

#[tokio::test]
async fn a_laptop_that_saves_its_battery_is_read_more_rarely() {
    let (_folder, roots) = tree_copy();
    let configuration = Configuration::default();
    let mut collect = Collect::new(roots.clone());
    let profile = roots.sys.join("firmware/acpi/platform_profile");
    std::fs::create_dir_all(profile.parent().unwrap()).unwrap();
    std::fs::write(&profile, "low-power\n").unwrap();
    run(&mut collect, 5, &configuration).await.unwrap();
    assert_eq!(collect.next_due(&configuration), at(6).since_boot);
    run(&mut collect, 6, &configuration).await;
    assert_eq!(collect.next_due(&configuration), at(9).since_boot);
    assert_eq!(run(&mut collect, 8, &configuration).await, None);

    std::fs::write(roots.sys.join("class/power_supply/AC/online"), "1\n").unwrap();
    let uevent = roots.sys.join("class/power_supply/AC/uevent");
    let text = std::fs::read_to_string(&uevent).unwrap();
    std::fs::write(&uevent, text.replace("ONLINE=0", "ONLINE=1")).unwrap();
    run(&mut collect, 9, &configuration).await;
    assert_eq!(collect.next_due(&configuration), at(10).since_boot);
}

#[tokio::test]
async fn a_battery_that_is_taken_out_is_told_once() {
    let (_folder, roots) = tree_copy();
    let configuration = Configuration::default();
    let mut collect = Collect::new(roots.clone());
    run(&mut collect, 5, &configuration).await.unwrap();
    std::fs::remove_dir_all(roots.sys.join("class/power_supply/BAT0")).unwrap();
    let gone = run(&mut collect, 6, &configuration).await.unwrap();
    assert_eq!(
        value(&gone.readings, "hw.battery.health", "BAT0"),
        "unavailable: no longer present"
    );
    let later = run(&mut collect, 7, &configuration).await;
    assert!(
        later.is_none_or(|later| value(&later.readings, "hw.battery.health", "BAT0") == "absent")
    );
}

#[tokio::test]
async fn a_change_of_network_or_targets_is_looked_at_at_once() {
    let mut collect = Collect::new(tree());
    let mut configuration = Configuration::default();
    run(&mut collect, 5, &configuration).await.unwrap();
    let port = serve("HTTP/1.1 204 No Content\r\n\r\n").await;
    let target = |name: &str| Target {
        name: name.parse().unwrap(),
        url: format!("http://127.0.0.1:{port}/generate_204"),
    };
    configuration.targets = vec![target("Canvas")];
    assert_eq!(collect.next_due(&configuration), SinceBootMs(0));
    let tried = run(&mut collect, 5, &configuration).await.unwrap();
    assert_eq!(
        value(&tried.readings, "network.reachability.state", "Canvas"),
        "reachable"
    );
    assert_eq!(value(&tried.readings, "network.captive_portal", ""), "no");

    configuration.targets = vec![target("Mail")];
    let removed = run(&mut collect, 5, &configuration).await.unwrap();
    assert_eq!(
        value(&removed.readings, "network.reachability.state", "Canvas"),
        "unavailable: no longer present"
    );
    assert_eq!(run(&mut collect, 5, &configuration).await, None);
    collect.network_changed();
    assert_eq!(collect.next_due(&configuration), SinceBootMs(0));
    let due = collect.due(at(5).since_boot, &configuration);
    assert_eq!(due, Probe::OF_NETWORK);
}

#[tokio::test]
async fn a_requested_report_is_full_and_carries_the_agents_own() {
    let mut collect = Collect::new(tree());
    let configuration = Configuration::default();
    run(&mut collect, 5, &configuration).await.unwrap();
    collect.request_full();
    let dropped = Reading::number(&metric::SPOOL_DROPPED, "", 3.0);
    let full = collect
        .run_due(
            at(5),
            &configuration,
            &BeaconTrust::default(),
            vec![dropped.clone()],
        )
        .await
        .unwrap();
    assert!(full.full && full.urgent && full.readings.contains(&dropped));
}

#[tokio::test]
async fn everything_at_once_for_a_person() {
    let readings = Collect::new(tree())
        .run_all(at(5), &Configuration::default(), &BeaconTrust::default())
        .await;
    let words = describe(&readings);
    assert!(
        words.contains("LENOVO ThinkPad L390 (20NSS0AB00), 4 processors, 8.4 GB of memory."),
        "{words}"
    );
    assert!(
        words.contains("Battery BAT0: 49 % of its capacity when new"),
        "{words}"
    );
    assert!(
        !words.contains("PF1EXMPL"),
        "the serial number stays on the laptop"
    );
}

/// What the agent itself and the collector tell, whatever the system.
const ELSEWHERE: [&metric::Metric; 4] = [
    &metric::CLOCK_OFFSET,
    &metric::SPOOL_DROPPED,
    &metric::SPOOL_CORRUPT,
    &metric::SPOOL_BYTES,
];

/// What the table of sources says of Linux is what the probes read, no more and no less.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn linux_is_read_as_the_table_of_sources_says() {
    use super::testing::smartctl;
    let target = Target {
        name: "Canvas".parse().unwrap(),
        url: "https://localhost:9/".to_owned(),
    };
    let configuration = Configuration {
        targets: vec![target],
        ..Configuration::default()
    };
    let mut read: BTreeSet<&str> = ELSEWHERE.iter().map(|metric| metric.name).collect();
    for answer in [
        include_str!("fixtures/drive/nvme_healthy.json"),
        include_str!("fixtures/drive/sata_hdd_failing.json"),
    ] {
        let (folder, mut roots) = tree_copy();
        roots.smartctl = Some(smartctl(folder.path(), answer));
        let mut collect = Collect::new(roots);
        let readings = collect
            .run_all(at(5), &configuration, &BeaconTrust::default())
            .await;
        read.extend(readings.iter().map(|reading| reading.metric().name));
    }
    let claimed = sources::ROWS
        .iter()
        .filter(|row| matches!(row.linux, Standing::Collected(_)));
    let claimed: BTreeSet<&str> = claimed.map(|row| row.metric.name).collect();
    assert_eq!(read, claimed);
}

/// What the table says of Windows and macOS is named in code that is built there.
#[test]
fn other_systems_are_read_as_the_table_of_sources_says() {
    for (system, standing) in [
        (
            "windows",
            (|row| row.windows) as fn(&sources::Row) -> Standing,
        ),
        ("macos", |row| row.macos),
    ] {
        let code = code_of(system);
        for row in sources::ROWS {
            let is_claimed = matches!(standing(row), Standing::Collected(_));
            let is_named = code.contains(&constant(row.metric));
            let is_elsewhere = ELSEWHERE.contains(&row.metric);
            assert!(
                !is_claimed || is_named || is_elsewhere,
                "{} is said to be collected on {system}, and no code there names it",
                row.metric.name
            );
        }
    }
}

/// The name of a metric's constant, by the catalogue's own text.
fn constant(metric: &metric::Metric) -> String {
    let catalogue = include_str!("../../../shared/src/metric.rs");
    let row = format!(" = {}, \"{}\"", metric.code, metric.name);
    let line = catalogue.lines().find(|line| line.contains(&row)).unwrap();
    let name = line.trim().split(' ').next().unwrap();
    format!("metric::{name}")
}

/// The text of what one system builds of this stage.
fn code_of(system: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/collect");
    let shared = [
        "portable.rs",
        "probe.rs",
        "cpu.rs",
        "vantage.rs",
        "reach.rs",
        "reach",
        "drive.rs",
        "filling.rs",
        "drive",
    ];
    let own = [format!("{system}.rs"), system.to_owned()];
    let mut text = String::new();
    let names = shared.iter().map(|name| (*name).to_owned()).chain(own);
    let mut at: Vec<PathBuf> = names.map(|name| folder.join(name)).collect();
    while let Some(path) = at.pop() {
        if path.is_dir() {
            at.extend(
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap_or_default());
        }
    }
    text
}

#[test]
fn intervals_that_divide_each_other_fall_together() {
    let mut collect = Collect::new(tree());
    let schedule = Schedule {
        fast_s: 60,
        network_s: 300,
        disk_s: 300,
        drive_s: 3600,
        ..Schedule::default()
    };
    let configuration = Configuration {
        schedule,
        ..Configuration::default()
    };
    collect.followed = Some(Arc::new(configuration.clone()));
    for (probe, second) in Probe::ALL
        .into_iter()
        .zip([7, 61, 119, 241, 299, 1, 7, 7, 7, 7, 7, 7, 7])
    {
        collect.last_run.insert(probe, SinceBootMs(second * 1000));
    }
    assert_eq!(
        collect.due_at(Probe::Cpu, &configuration),
        SinceBootMs(60_000)
    );
    assert_eq!(
        collect.due_at(Probe::Filesystem, &configuration),
        SinceBootMs(300_000)
    );
    assert_eq!(
        collect.due_at(Probe::Os, &configuration),
        SinceBootMs(3_600_000)
    );
}

#[test]
fn the_boot_has_an_identity() {
    let known: BootId = "0f3a1c52-7d8e-4b6f-9a10-2c3d4e5f6a7b".parse().unwrap();
    let is_kernels = boot_id(&tree()) == known;
    assert_eq!(
        is_kernels,
        cfg!(target_os = "linux"),
        "a file is none of other kernels'"
    );
    let unknown = Roots::under(Path::new("/nonexistent"));
    assert_ne!(boot_id(&unknown), boot_id(&unknown));
}
