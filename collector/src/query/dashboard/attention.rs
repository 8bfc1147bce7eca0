//! The attention page: what is firing, most urgent first.

use rollcall_shared::time::UnixMs;

use super::PAGE_SIZE;
use super::frame::{AlertPlace, alert, next_page, site_choice};
use super::html::Html;
use crate::alert::AlertState;
use crate::query::http::Parameters;
use crate::query::{AlertFilter, AlertList, Query, QueryError, Summary, Viewer};

/// What the page shows.
#[derive(Debug)]
pub(super) struct Attention {
    site: String,
    summary: Summary,
    list: AlertList,
}

impl Attention {
    pub fn find(
        query: &Query,
        viewer: &Viewer,
        mut wanted: Parameters,
    ) -> Result<Self, QueryError> {
        let site = wanted.text("site");
        let filter = AlertFilter {
            state: Some(AlertState::Firing),
            site: site.clone(),
            device: None,
        };
        let page = wanted.text("page");
        Ok(Self {
            site: site.unwrap_or_default(),
            summary: query.summary(viewer),
            list: query.alerts(viewer, &filter, Some(PAGE_SIZE), page.as_deref())?,
        })
    }

    pub fn render(&self, now: UnixMs) -> Html {
        let alerts = &self.list.alerts;
        Html::new()
            .raw("<h1>Attention</h1>")
            .put(self.numbers())
            .put(self.choice())
            .put(if alerts.is_empty() {
                self.nothing()
            } else {
                Html::new()
                    .raw("<ol class=\"alerts\">")
                    .each(alerts, |each| alert(each, AlertPlace::List, now))
                    .raw("</ol>")
            })
            .put(next_page(
                "/",
                &[("site", &self.site)],
                self.list.next_page.as_deref(),
            ))
    }

    fn numbers(&self) -> Html {
        let Summary {
            firing, devices, ..
        } = &self.summary;
        let tile = |name: &'static str, number: u64| {
            Html::new()
                .raw("<div><dt>")
                .raw(name)
                .raw("</dt><dd>")
                .number(number)
                .raw("</dd></div>")
        };
        Html::new()
            .raw("<dl class=\"numbers\">")
            .put(tile("Critical", firing.critical))
            .put(tile("Warning", firing.warning))
            .put(tile("Info", firing.info))
            .put(tile("Devices in need", self.summary.needing_attention))
            .put(tile("Connected now", self.summary.connected))
            .put(tile("All devices", *devices))
            .raw("</dl>")
    }

    fn choice(&self) -> Html {
        let sites: Vec<String> = self.summary.sites.iter().map(|s| s.site.clone()).collect();
        if sites.len() < 2 && self.site.is_empty() {
            return Html::new();
        }
        Html::new()
            .raw("<form class=\"filter\" method=\"get\" action=\"/\" role=\"search\">")
            .put(site_choice(&sites, &self.site))
            .raw("<p><button type=\"submit\">Show</button></p></form>")
    }

    /// Says what "nothing" rests on: silence of laptops that are off is not health.
    fn nothing(&self) -> Html {
        let Summary {
            devices,
            connected,
            pending,
            ..
        } = &self.summary;
        let page = Html::new().raw("<div class=\"empty\"><h2>Nothing needs attention</h2>");
        if *devices == 0 {
            return page.raw(
                "<p>No device has enrolled yet. Make an enrolment token on the collector, and run \
                 <code>rollcall-agent enroll</code> with it on the first laptop.</p></div>",
            );
        }
        page.raw("<p>")
            .number(*connected)
            .raw(" of ")
            .number(*devices)
            .raw(" devices are connected now; of the others the last reports count. ")
            .number(*pending)
            .raw(" findings wait to be sure.</p></div>")
    }
}
