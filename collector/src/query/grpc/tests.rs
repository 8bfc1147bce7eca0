mod table;

use futures_util::StreamExt as _;
use tonic::metadata::MetadataValue;

use rollcall_shared::id::DeviceId;

use super::*;
use crate::asset::{self, Asset};
use crate::query::example::{Example, NOW};
use crate::store::Write;

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

fn fleet(example: &Example) -> Fleet {
    Fleet::new(example.query.clone(), CancellationToken::new())
}

#[tokio::test]
async fn calls_answer_within_the_scope_of_the_token() {
    let example = Example::new().await;
    let fleet = fleet(&example);
    let get =
        |id: String, token: &str| fleet.get_device(with_token(v1::GetDeviceRequest { id }, token));
    let all = example.token("viewer");
    let scoped = example.token("viewer-lincoln");
    let detail = get(example.lincoln.to_string(), scoped)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(detail.device.unwrap().os, "Windows 11 Education");
    assert_eq!((detail.latest.len(), detail.alerts.len()), (6, 2));
    let foreign = get(example.hay.to_string(), scoped).await.unwrap_err();
    let absent = get("nothing".to_owned(), scoped).await.unwrap_err();
    assert_eq!(foreign.code(), Code::NotFound);
    assert_eq!(
        foreign.message(),
        absent.message(),
        "a foreign device looks absent"
    );
    assert!(get(example.hay.to_string(), all).await.is_ok());

    let list =
        |token: &str| fleet.list_devices(with_token(v1::ListDevicesRequest::default(), token));
    assert_eq!(list(all).await.unwrap().into_inner().total, 2);
    let seen = list(scoped).await.unwrap().into_inner();
    assert!(seen.total == 1 && seen.devices[0].site == "Lincoln");

    let alerts = v1::ListAlertsRequest::default();
    let alerts = fleet
        .list_alerts(with_token(alerts, scoped))
        .await
        .unwrap()
        .into_inner()
        .alerts;
    assert_eq!(alerts.len(), 2);
    assert_eq!(
        (alerts[0].state.as_str(), alerts[0].severity.as_str()),
        ("firing", "critical")
    );
}

/// A device carries what the inventory says of it; one that the inventory does not know carries nothing.
#[tokio::test]
async fn a_device_has_its_asset_tag_and_school() {
    let example = Example::new().await;
    let laptop = Asset {
        tag: "LT-0042".to_owned().try_into().unwrap(),
        serial: None,
        model: None,
        school: Some("Lincoln".parse().unwrap()),
        grade: None,
        status: asset::Status::Spare,
        device: Some(example.lincoln),
        loans: Vec::new(),
    };
    let put = vec![Write::PutAsset(laptop)];
    example.store.commit(put).await.unwrap();
    let fleet = fleet(&example);
    let all = with_token(v1::ListDevicesRequest::default(), example.token("viewer"));
    let devices = fleet.list_devices(all).await.unwrap().into_inner().devices;
    let of = |id: DeviceId| {
        let device = devices.iter().find(|device| device.id == id.to_string());
        let device = device.unwrap();
        [&device.asset_tag, &device.school, &device.asset_status].map(String::as_str)
    };
    assert_eq!(of(example.lincoln), ["LT-0042", "Lincoln", "spare"]);
    assert_eq!(of(example.hay), ["", "", ""]);
}

#[tokio::test]
async fn a_series_has_its_unit_and_its_points() {
    let example = Example::new().await;
    let fleet = fleet(&example);
    let mut wanted = v1::GetSeriesRequest {
        id: example.lincoln.to_string(),
        metric: "hw.battery.charge".to_owned(),
        instance: "BAT0".to_owned(),
        ..Default::default()
    };
    let series = fleet
        .get_series(with_token(wanted.clone(), example.token("viewer")))
        .await;
    let series = series.unwrap().into_inner();
    assert_eq!(
        (series.unit.as_str(), series.points.len(), series.thinned),
        ("1", 20, false)
    );
    let last = series.points.last().unwrap();
    assert_eq!(
        (last.at_ms, &last.value),
        (NOW.0, &Some(v1::point::Value::Number(0.7)))
    );
    let all = v1::GetHistoryRequest {
        id: wanted.id.clone(),
        resolution: "1h".to_owned(),
        ..Default::default()
    };
    let all = fleet.get_history(with_token(all, example.token("viewer")));
    let all = all.await.unwrap().into_inner();
    assert_eq!((all.resolution.as_str(), all.step_ms), ("1h", 3_600_000));
    let of_charge = |of: &&v1::Series| of.metric == "hw.battery.charge" && of.instance == "BAT0";
    let charge = all.series.iter().find(of_charge).unwrap();
    let mut stretches = charge.points.iter().map(|point| point.stretch.unwrap());
    assert_eq!(stretches.clone().map(|of| of.count).sum::<u64>(), 20);
    assert_eq!(stretches.next_back().unwrap().last, Some(0.7));
    wanted.metric = "no.such".to_owned();
    let wrong = fleet
        .get_series(with_token(wanted, example.token("viewer")))
        .await
        .unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    assert!(wrong.message().starts_with("`metric`"), "{wrong}");
}

#[tokio::test]
async fn without_a_valid_token_there_is_no_answer() {
    let example = Example::new().await;
    let fleet = fleet(&example);
    let bare = fleet
        .list_devices(Request::new(v1::ListDevicesRequest::default()))
        .await;
    assert_eq!(bare.unwrap_err().code(), Code::Unauthenticated);
    for _ in 0..super::super::access::WRONG_PER_MINUTE {
        let wrong = with_token(v1::ListDevicesRequest::default(), example.token("revoked"));
        assert_eq!(
            fleet.list_devices(wrong).await.unwrap_err().code(),
            Code::Unauthenticated
        );
    }
    let wrong = with_token(v1::ListDevicesRequest::default(), example.token("revoked"));
    assert_eq!(
        fleet.list_devices(wrong).await.unwrap_err().code(),
        Code::ResourceExhausted
    );
    let large = v1::ListDevicesRequest {
        page_size: 5000,
        ..Default::default()
    };
    let refused = fleet
        .list_devices(with_token(large, example.token("viewer")))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn incidents_are_listed_within_the_scope() {
    let example = Example::new().await;
    let fleet = fleet(&example);
    let list = |state: &str, token: &str| {
        let wanted = v1::ListIncidentsRequest {
            state: state.to_owned(),
            ..Default::default()
        };
        fleet.list_incidents(with_token(wanted, token))
    };
    let all = list("", example.token("viewer")).await.unwrap();
    let scoped = list("open", example.token("viewer-lincoln")).await.unwrap();
    let sites = |answer: &v1::ListIncidentsResponse| -> Vec<String> {
        answer
            .incidents
            .iter()
            .flat_map(|i| i.sites.clone())
            .collect()
    };
    assert!(sites(all.get_ref()).len() >= sites(scoped.get_ref()).len());
    assert!(sites(scoped.get_ref()).iter().all(|site| site == "Lincoln"));
    let wrong = list("ajar", example.token("viewer")).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    assert_eq!(wrong.message(), "`state` must be open, closed or empty");
}

#[tokio::test]
async fn a_watch_tells_what_is_and_then_what_changes_until_the_token_is_revoked() {
    use crate::store::Write;
    use v1::watch_event::Event as Told;

    let example = Example::new().await;
    let fleet = fleet(&example);
    let wanted = v1::WatchRequest {
        kinds: vec!["alerts".to_owned()],
        ..Default::default()
    };
    let token = example.token("viewer-lincoln");
    let watched = fleet.watch(with_token(wanted, token)).await.unwrap();
    let mut events = watched.into_inner();
    let mut before = Vec::new();
    loop {
        match events.next().await.unwrap().unwrap().event.unwrap() {
            Told::Current(_) => break,
            Told::Alert(alert) => before.push(alert.id),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(before.len(), 2);

    let mut alert = example.store.open_alerts_of(example.lincoln).remove(0);
    alert.evidence = "worse than before".to_owned();
    let id = alert.id.to_string();
    let changed = Write::PutAlert(alert);
    example.store.commit(vec![changed]).await.unwrap();
    let event = events.next().await.unwrap().unwrap().event;
    let Some(Told::Alert(told)) = event else {
        panic!("{event:?}");
    };
    assert_eq!((told.id, told.evidence.as_str()), (id, "worse than before"));

    let tokens = example.store.api_tokens().into_iter();
    let mut own = tokens
        .filter(|of| of.name == "viewer-lincoln")
        .collect::<Vec<_>>()
        .remove(0);
    own.revoked = true;
    let revoked = Write::PutApiToken(own);
    example.store.commit(vec![revoked]).await.unwrap();
    let status = events.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(events.next().await.is_none(), "the stream has ended");
}

#[tokio::test]
async fn watches_are_bounded_and_make_room_when_they_end() {
    let example = Example::new().await;
    let fleet = fleet(&example);
    let token = example.token("viewer");
    let begin = || fleet.watch(with_token(v1::WatchRequest::default(), token));
    let mut open = Vec::new();
    for _ in 0..watch::WATCHES {
        open.push(begin().await.unwrap());
    }
    let refused = begin().await.err().expect("all places are taken");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    drop(open);
    let free = async {
        while begin().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(20), free).await;
    assert!(waited.is_ok(), "places of watchers that left stay taken");
}

/// What a program without the `.proto` files does: ask what there is, and whether it is well.
#[tokio::test]
async fn reflection_and_health_answer_without_a_token() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let example = Example::new().await;
    let ending = CancellationToken::new();
    let routes = services(example.query.clone(), ending.clone()).await;
    let mut health = HealthClient::new(routes.clone().prepare());
    let wanted = tonic_health::pb::HealthCheckRequest {
        service: "rollcall.v1.FleetService".to_owned(),
    };
    let answer = health.check(wanted).await.unwrap().into_inner();
    assert_eq!(answer.status(), tonic_health::ServingStatus::Serving.into());

    let mut reflection = ServerReflectionClient::new(routes.prepare());
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asked = futures_util::stream::iter([asked]);
    let mut answers = reflection
        .server_reflection_info(asked)
        .await
        .unwrap()
        .into_inner();
    let answer = answers.next().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}");
    };
    let names: Vec<&str> = list.service.iter().map(|s| s.name.as_str()).collect();
    assert!(names.contains(&"rollcall.v1.FleetService"), "{names:?}");
    assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");
}
