//! The table of the fleet on a small store.

use super::super::example::{Example, HOSTILE, NOW, device, label};
use super::*;
use crate::store::{Role, Write};
use rollcall_shared::id::DeviceId;

fn request(filter: FleetFilter, sort: Sort) -> FleetRequest {
    FleetRequest {
        filter,
        sort,
        reversed: false,
        skip: 0,
        most: 50,
    }
}

fn all() -> Viewer {
    Viewer::new("all", Role::Viewer, Vec::new())
}

#[tokio::test]
async fn wishes_are_joined_and_counts_show_what_else_there_is() {
    let example = Example::new().await;
    let mut quiet = device(DeviceId::generate(), "Hay", None, "Chromebook 11");
    quiet.enrolled = NOW.plus_ms(-QUIET_MS - 1);
    let quiet_id = quiet.id.to_string();
    example
        .store
        .commit(vec![Write::PutDevice(quiet)])
        .await
        .unwrap();
    let find = |filter: FleetFilter| {
        example
            .query
            .fleet(&all(), &request(filter, Sort::Health))
            .unwrap()
    };
    let everything = find(FleetFilter::default());
    assert_eq!((everything.total, everything.visible), (3, 3));
    assert_eq!(everything.rows[0].health, Health::Critical);
    assert_eq!(everything.rows[2].health, Health::Quiet);
    assert_eq!(everything.rows[2].id, quiet_id);
    let hay = find(FleetFilter {
        site: Some("Hay".to_owned()),
        ..FleetFilter::default()
    });
    assert_eq!(hay.total, 2);
    let sites: Vec<_> = hay
        .sites
        .iter()
        .map(|s| (s.text.as_str(), s.devices))
        .collect();
    assert_eq!(
        sites,
        [("Hay", 2), ("Lincoln", 1)],
        "other sites stay in sight"
    );
    assert_eq!(hay.models.len(), 2, "models of Hay only");
    let both = find(FleetFilter {
        site: Some("Hay".to_owned()),
        health: Some(Health::Warning),
        ..FleetFilter::default()
    });
    assert_eq!(both.total, 1);
    let none = find(FleetFilter {
        os: Some("Plan 9".to_owned()),
        ..FleetFilter::default()
    });
    assert_eq!(none.total, 0);
}

#[tokio::test]
async fn a_search_looks_at_words_and_ids_whatever_the_case() {
    let example = Example::new().await;
    let found = |text: &str| {
        let filter = FleetFilter {
            search: Some(text.to_owned()),
            ..FleetFilter::default()
        };
        example
            .query
            .fleet(&all(), &request(filter, Sort::Health))
            .unwrap()
            .total
    };
    assert_eq!(found("latitude"), 1);
    assert_eq!(found(" WINDOWS 11 "), 2);
    assert_eq!(found("battery-worn"), 1, "by what is wrong");
    assert_eq!(
        found(&example.lincoln.to_string()[..13].to_uppercase()),
        found("2")
    );
    assert_eq!(found("nowhere"), 0);
    let filter = FleetFilter {
        search: Some("x".repeat(5000)),
        ..FleetFilter::default()
    };
    let error = example
        .query
        .fleet(&all(), &request(filter, Sort::Health))
        .unwrap_err();
    assert!(
        error.to_string().starts_with("`search` must have"),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_sees_or_counts_another_site() {
    let example = Example::new().await;
    let scoped = Viewer::new("hay", Role::Viewer, vec![label("Hay")]);
    for sort in Sort::ALL {
        let page = example
            .query
            .fleet(&scoped, &request(FleetFilter::default(), sort))
            .unwrap();
        assert_eq!((page.total, page.visible, page.sites.len()), (1, 1, 1));
        assert!(
            page.models
                .iter()
                .all(|model| !model.text.contains(HOSTILE))
        );
        assert_eq!(page.rows[0].site, "Hay");
    }
    let foreign = FleetFilter {
        site: Some("Lincoln".to_owned()),
        ..FleetFilter::default()
    };
    let page = example
        .query
        .fleet(&scoped, &request(foreign, Sort::Site))
        .unwrap();
    assert_eq!((page.total, page.rows.len()), (0, 0));
    assert_eq!(
        example.query.urgent(&scoped, Some("Lincoln"), 0, 9),
        (Vec::new(), 0)
    );
    assert_eq!(
        example.query.urgent(&scoped, None, 0, 9),
        (vec![example.hay], 1)
    );
}

#[tokio::test]
async fn pages_follow_each_other_in_every_order() {
    let example = Example::new().await;
    let models = ["a", "B", "c", "D"].map(|m| device(DeviceId::generate(), "Hay", None, m));
    let writes = models.map(Write::PutDevice);
    example.store.commit(writes.to_vec()).await.unwrap();
    for sort in Sort::ALL {
        for reversed in [false, true] {
            let page = |skip, most| {
                let asked = FleetRequest {
                    reversed,
                    skip,
                    most,
                    ..request(FleetFilter::default(), sort)
                };
                let page = example.query.fleet(&all(), &asked).unwrap();
                page.rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
            };
            let whole = page(0, 50);
            assert_eq!(whole.len(), 6);
            let parts = [page(0, 2), page(2, 3), page(5, 9)].concat();
            assert_eq!(parts, whole, "{sort:?} {reversed}");
        }
    }
    let asked = FleetRequest {
        skip: 0,
        ..request(FleetFilter::default(), Sort::Device)
    };
    let names: Vec<_> = example
        .query
        .fleet(&all(), &asked)
        .unwrap()
        .rows
        .into_iter()
        .map(|r| r.name)
        .collect();
    let sorted = {
        let mut s = names.clone();
        s.sort_by_key(|n| n.to_lowercase());
        s
    };
    assert_eq!(names, sorted, "whatever the case");
}
