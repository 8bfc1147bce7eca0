use tonic::metadata::MetadataValue;

use super::*;
use crate::query::example::{Example, NOW};

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

fn fleet(example: &Example) -> Fleet {
    Fleet {
        query: example.query.clone(),
    }
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
