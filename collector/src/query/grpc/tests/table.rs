//! Every call of the service by every role and scope. The calls are read from the descriptors that programs
//! get: one that has no row here fails the test.

use prost::Message as _;

use super::*;

/// Who asks; the first has no token.
const ASKERS: [&str; 5] = ["", "viewer-lincoln", "admin-lincoln", "viewer", "admin"];

use Code::{NotFound, Ok as Fine, Unauthenticated};

const KNOWN: [Code; 5] = [Unauthenticated, Fine, Fine, Fine, Fine];
const OF_HAY: [Code; 5] = [Unauthenticated, NotFound, NotFound, Fine, Fine];

/// Each call with something of Hay in it, where it takes anything.
const ROWS: [(&str, [Code; 5]); 7] = [
    ("ListDevices", KNOWN),
    ("GetDevice", OF_HAY),
    ("GetSeries", OF_HAY),
    ("GetHistory", OF_HAY),
    ("ListAlerts", OF_HAY),
    ("ListIncidents", KNOWN),
    ("Watch", KNOWN),
];

#[tokio::test]
async fn every_call_by_every_role_and_scope() {
    let example = Example::new().await;
    let fleet = fleet(&example);
    for (call, expected) in ROWS {
        for (asker, expected) in ASKERS.into_iter().zip(expected) {
            let token = match asker {
                "" => "",
                name => example.token(name),
            };
            let (code, told) = match ask(&fleet, &example, call, token).await {
                Ok(told) => (Fine, told),
                Err(status) => (status.code(), status.message().to_owned()),
            };
            assert_eq!(code, expected, "{call} as {asker:?}: {told}");
            let is_limited = asker.is_empty() || asker.ends_with("lincoln");
            let told_of_hay = told.contains("Hay") || told.contains("Latitude 3120");
            assert!(!(is_limited && told_of_hay), "{call} as {asker:?}: {told}");
            let sees_hay = code == Fine && !is_limited && call.starts_with("ListD");
            assert!(
                !sees_hay || told_of_hay,
                "{call} as {asker:?} hides Hay: {told}"
            );
        }
    }
}

/// The answer in words, and of a watch what it tells within its first look.
async fn ask(fleet: &Fleet, example: &Example, call: &str, token: &str) -> Result<String, Status> {
    let id = example.hay.to_string();
    let words = match call {
        "ListDevices" => {
            let wanted = v1::ListDevicesRequest::default();
            format!("{:?}", fleet.list_devices(with_token(wanted, token)).await?)
        }
        "GetDevice" => {
            let wanted = v1::GetDeviceRequest { id };
            format!("{:?}", fleet.get_device(with_token(wanted, token)).await?)
        }
        "GetSeries" => {
            let wanted = v1::GetSeriesRequest {
                id,
                metric: "hw.battery.charge".to_owned(),
                instance: "BAT0".to_owned(),
                ..Default::default()
            };
            format!("{:?}", fleet.get_series(with_token(wanted, token)).await?)
        }
        "GetHistory" => {
            let wanted = v1::GetHistoryRequest {
                id,
                ..Default::default()
            };
            format!("{:?}", fleet.get_history(with_token(wanted, token)).await?)
        }
        "ListAlerts" => {
            let wanted = v1::ListAlertsRequest {
                device: id,
                ..Default::default()
            };
            format!("{:?}", fleet.list_alerts(with_token(wanted, token)).await?)
        }
        "ListIncidents" => {
            let wanted = v1::ListIncidentsRequest::default();
            format!(
                "{:?}",
                fleet.list_incidents(with_token(wanted, token)).await?
            )
        }
        "Watch" => {
            let wanted = v1::WatchRequest::default();
            let mut events = fleet.watch(with_token(wanted, token)).await?.into_inner();
            let mut told = String::new();
            // The first look tells everything at once; after that nothing changes here.
            let patience = std::time::Duration::from_millis(300);
            while let Ok(Some(event)) = tokio::time::timeout(patience, events.next()).await {
                told += &format!("{:?}", event?);
            }
            told
        }
        other => panic!("{other} is not asked"),
    };
    Ok(words)
}

/// What is needed of the descriptors (`google/protobuf/descriptor.proto`).
#[derive(Clone, PartialEq, prost::Message)]
struct Files {
    #[prost(message, repeated, tag = "1")]
    file: Vec<File>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct File {
    #[prost(message, repeated, tag = "6")]
    service: Vec<Service>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    method: Vec<Method>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Method {
    #[prost(string, tag = "1")]
    name: String,
}

#[test]
fn every_call_is_in_the_table() {
    let files = Files::decode(rollcall_proto::DESCRIPTORS).unwrap();
    let services = files.file.into_iter().flat_map(|file| file.service);
    let calls = services
        .filter(|service| service.name == "FleetService")
        .flat_map(|service| service.method)
        .map(|method| method.name);
    let listed = ROWS.iter().map(|row| row.0);
    assert!(
        calls.eq(listed),
        "a call and its row, in the order of the service"
    );
}
