//! Questions about the whole fleet, and how long their answers take.

use std::sync::Arc;

use rollcall_collector::evaluate::book::RuleBook;
use rollcall_collector::evaluate::rules::RuleSet;
use rollcall_collector::query::{
    AlertFilter, DeviceFilter, FleetFilter, FleetRequest, Page, Query, Sort, Surroundings, Viewer,
};
use rollcall_collector::store::{Role, Store};
use rollcall_shared::time::Clock;
use serde::Serialize;

use super::ModelTime;
use super::stopwatch::Stopwatch;

/// How long one question took.
#[derive(Debug, Clone, Serialize)]
pub struct Answered {
    /// Which question.
    pub question: &'static str,
    /// The median of processor time, in milliseconds.
    pub p50_ms: f64,
    /// What one in a hundred exceeds.
    pub p99_ms: f64,
}

/// Asks each question this many times.
///
/// # Errors
/// When one has no answer.
pub async fn ask(
    store: &Store,
    clock: &Arc<ModelTime>,
    times: u32,
) -> anyhow::Result<Vec<Answered>> {
    if times == 0 {
        return Ok(Vec::new());
    }
    let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    let query = Query::new(
        store.clone(),
        Surroundings {
            clock,
            guidance: Arc::new(|_| None),
            book: RuleBook::of(RuleSet::built_in()),
            sources: Vec::new(),
            checks: Vec::new(),
        },
    );
    let viewer = Viewer::new("bench", Role::Admin, Vec::new());
    let everything = DeviceFilter::default();
    let searched = DeviceFilter {
        site: Some("School 7".to_owned()),
        search: Some("lenovo".to_owned()),
        ..DeviceFilter::default()
    };
    let table = FleetRequest {
        filter: FleetFilter {
            site: searched.site.clone(),
            search: searched.search.clone(),
            ..FleetFilter::default()
        },
        sort: Sort::Battery,
        reversed: false,
        skip: 0,
        most: 50,
    };
    let page = || Page::new(Some(100), None);
    let mut answered = vec![
        timed("attention list", times, || {
            query.alerts(&viewer, &AlertFilter::default(), Some(100), None)?;
            Ok(())
        })?,
        timed("fleet page", times, || {
            query.devices(&viewer, &everything, page()?)?;
            Ok(())
        })?,
        timed("fleet page, filtered", times, || {
            query.devices(&viewer, &searched, page()?)?;
            Ok(())
        })?,
    ];
    answered.push(timed("attention page, table made anew", times, || {
        query.attention(&viewer, None, 0, 25)?;
        Ok(())
    })?);
    answered.push(timed("fleet table, made anew", times, || {
        query.fleet(&viewer, &table)?;
        Ok(())
    })?);
    answered.push(timed("summary", times, || {
        std::hint::black_box(query.summary(&viewer));
        Ok(())
    })?);
    Ok(answered)
}

fn timed(
    question: &'static str,
    times: u32,
    ask: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<Answered> {
    let mut took = Vec::new();
    for _ in 0..times {
        let mut watch = Stopwatch::start();
        ask()?;
        took.push(watch.lap() * 1000.0);
    }
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize];
    Ok(Answered {
        question,
        p50_ms: at(0.5),
        p99_ms: at(0.99),
    })
}
