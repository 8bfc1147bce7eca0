//! The description of the JSON API, OpenAPI 3.1: made from one table and from the types that the
//! answers are made of, so that it cannot say what the code does not do.
//!
//! A test holds the table against the addresses that are served and against the parameters that each
//! of them takes.

mod writes;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::problem::Problem;
use crate::alert::AlertState;
use crate::query::inventory::AssetList;
use crate::query::operation::AuditList;
use crate::query::past::PastAnswer;
use crate::query::rules::{RuleText, RulesAnswer, VersionAnswer, VersionList};
use crate::query::words::{MaintenanceList, SilenceList};
use crate::query::{
    AlertList, CatalogueAnswer, DeviceDetail, DeviceList, IncidentList, OutboxAnswer, Summary,
    page, series,
};
use crate::store::Role;
pub(in crate::query) use writes::{WRITES, Write};

/// An address with a method.
pub(in crate::query) struct Endpoint {
    /// The address; parts in braces are told in `parameters`.
    pub path: &'static str,
    /// Its name for generated clients.
    pub name: &'static str,
    /// What it answers, in a line.
    pub summary: &'static str,
    /// The role that it needs.
    pub role: Role,
    /// Whether it needs a token that is not limited to some sites.
    pub all_sites: bool,
    /// What it takes.
    pub parameters: &'static [Parameter],
    answer: fn(&mut SchemaGenerator) -> Schema,
}

/// A part of the address, or of what follows its question mark.
pub(in crate::query) struct Parameter {
    pub name: &'static str,
    pub takes: Takes,
    pub meaning: &'static str,
}

/// What a parameter may be.
pub(in crate::query) enum Takes {
    /// Any text.
    Text,
    /// A device's id; part of the path.
    Device,
    /// A name or number; part of the path.
    Name,
    /// A whole number within these bounds.
    Count(u64, u64),
    /// RFC 3339, or milliseconds since 1970.
    Time,
    /// One of these words.
    Choice(&'static [&'static str]),
}

const fn takes(name: &'static str, takes: Takes, meaning: &'static str) -> Parameter {
    Parameter {
        name,
        takes,
        meaning,
    }
}

const DEVICE: Parameter = takes("id", Takes::Device, "The device's id.");
const SITE: Parameter = takes("site", Takes::Text, "Only what belongs to this site.");
const PAGE_SIZE: Parameter = takes(
    "page_size",
    Takes::Count(1, page::LARGEST_SIZE as u64),
    "At most so many; 100 where it is absent.",
);
const PAGE: Parameter = takes(
    "page",
    Takes::Text,
    "`next_page` of the answer before; absent for the first page.",
);

const OVER_TOO: Parameter = takes(
    "all",
    Takes::Choice(&["true", "false"]),
    "Whether those too that are over.",
);

/// Every address below `/api/v1`.
pub(in crate::query) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/api/v1/devices",
        name: "listDevices",
        summary: "The devices that match, a page of them, in the order of their enrolment.",
        role: Role::Viewer,
        all_sites: false,
        parameters: &[
            SITE,
            takes("group", Takes::Text, "Only devices of this group."),
            takes(
                "search",
                Takes::Text,
                "Part of an id, asset tag, vendor, model or operating system, whatever the case.",
            ),
            PAGE_SIZE,
            PAGE,
        ],
        answer: schema_of::<DeviceList>,
    },
    Endpoint {
        path: "/api/v1/devices/{id}",
        name: "getDevice",
        summary: "A device with its latest readings and its open alerts.",
        role: Role::Viewer,
        all_sites: false,
        parameters: &[DEVICE],
        answer: schema_of::<DeviceDetail>,
    },
    Endpoint {
        path: "/api/v1/devices/{id}/series",
        name: "getSeries",
        summary: "The points of a series, or of several of a device: readings, or roll-ups of long ranges.",
        role: Role::Viewer,
        all_sites: false,
        parameters: &[
            DEVICE,
            takes(
                "metric",
                Takes::Text,
                "The metric's name, from `/api/v1/metrics-catalogue`. Several give several series, and none gives \
                 every number.",
            ),
            takes(
                "instance",
                Takes::Text,
                "Which battery, drive, file system, link or target; absent where there is one.",
            ),
            takes(
                "from",
                Takes::Time,
                "The first moment; a day before `to` where it is absent.",
            ),
            takes(
                "to",
                Takes::Time,
                "The last moment; now where it is absent.",
            ),
            takes(
                "points",
                Takes::Count(series::FEWEST_POINTS as u64, series::MOST_POINTS as u64),
                "At most so many points of each series; 2000 where it is absent, and 500 of each of several, of \
                 which there may be 2000.",
            ),
            takes(
                "resolution",
                Takes::Choice(&["auto", "raw", "15m", "1h", "1d"]),
                "Readings, or roll-ups of so long; what suits the range where it is absent.",
            ),
        ],
        answer: schema_of::<PastAnswer>,
    },
    Endpoint {
        path: "/api/v1/alerts",
        name: "listAlerts",
        summary: "Alerts, most urgent first; those that are over, latest first.",
        role: Role::Viewer,
        all_sites: false,
        parameters: &[
            takes(
                "state",
                Takes::Choice(&[
                    AlertState::Pending.word(),
                    AlertState::Firing.word(),
                    AlertState::Resolved.word(),
                ]),
                "Only alerts in this state; pending and firing where it is absent.",
            ),
            SITE,
            takes(
                "device",
                Takes::Text,
                "Only alerts of this device, by its id.",
            ),
            PAGE_SIZE,
            PAGE,
        ],
        answer: schema_of::<AlertList>,
    },
    Endpoint {
        path: "/api/v1/incidents",
        name: "listIncidents",
        summary: "Incidents, the gravest first; those that are closed, latest first.",
        role: Role::Viewer,
        all_sites: false,
        parameters: &[
            takes(
                "state",
                Takes::Choice(&["open", "closed"]),
                "Only incidents in this state; open where it is absent.",
            ),
            SITE,
            takes(
                "shared",
                Takes::Choice(&["true", "false"]),
                "Only those that many laptops share, or only those of single ones.",
            ),
        ],
        answer: schema_of::<IncidentList>,
    },
    Endpoint {
        path: "/api/v1/silences",
        name: "listSilences",
        summary: "Silences that hold or will, the latest first.",
        role: Role::Viewer,
        all_sites: false,
        parameters: &[OVER_TOO],
        answer: schema_of::<SilenceList>,
    },
    Endpoint {
        path: "/api/v1/maintenance",
        name: "listMaintenance",
        summary: "Maintenance windows that hold or will, the latest first.",
        role: Role::Viewer,
        all_sites: false,
        parameters: &[OVER_TOO],
        answer: schema_of::<MaintenanceList>,
    },
    Endpoint {
        path: "/api/v1/rules",
        name: "listRules",
        summary: "The rules in force, where they come from, and how each of them did.",
        role: Role::Viewer,
        all_sites: false,
        parameters: &[],
        answer: schema_of::<RulesAnswer>,
    },
    Endpoint {
        path: "/api/v1/rules/{name}",
        name: "getRule",
        summary: "One rule as it is written, with its runbook and its texts for families.",
        role: Role::Viewer,
        all_sites: false,
        parameters: &[takes("name", Takes::Name, "The rule's name.")],
        answer: schema_of::<RuleText>,
    },
    Endpoint {
        path: "/api/v1/rules/versions",
        name: "listRuleVersions",
        summary: "The versions of the rules that are kept, the latest first.",
        role: Role::Viewer,
        all_sites: false,
        parameters: &[],
        answer: schema_of::<VersionList>,
    },
    Endpoint {
        path: "/api/v1/rules/versions/{version}",
        name: "getRuleVersion",
        summary: "One version of the rules with its text; 0 are the default rules.",
        role: Role::Viewer,
        all_sites: false,
        parameters: &[takes("version", Takes::Name, "The version's number.")],
        answer: schema_of::<VersionAnswer>,
    },
    Endpoint {
        path: "/api/v1/inventory",
        name: "listInventory",
        summary: "The laptops of the inventory with their loans, by asset tag, at most 1000.",
        role: Role::Technician,
        all_sites: true,
        parameters: &[
            takes("tag", Takes::Text, "Only the laptop with this asset tag."),
            takes("school", Takes::Text, "Only laptops of this school."),
            takes(
                "status",
                Takes::Choice(&["in_use", "spare", "lost", "retired"]),
                "Only laptops with this status.",
            ),
            takes(
                "pupil",
                Takes::Text,
                "Only what the pupil with this reference has.",
            ),
        ],
        answer: schema_of::<AssetList>,
    },
    Endpoint {
        path: "/api/v1/summary",
        name: "getSummary",
        summary: "The fleet in numbers.",
        role: Role::Viewer,
        all_sites: false,
        parameters: &[],
        answer: schema_of::<Summary>,
    },
    Endpoint {
        path: "/api/v1/metrics-catalogue",
        name: "getCatalogue",
        summary: "Everything that a laptop may ever send.",
        role: Role::Viewer,
        all_sites: false,
        parameters: &[],
        answer: schema_of::<CatalogueAnswer>,
    },
    Endpoint {
        path: "/api/v1/outbox",
        name: "getOutbox",
        summary: "What waits to be told to a channel.",
        role: Role::Technician,
        all_sites: false,
        parameters: &[],
        answer: schema_of::<OutboxAnswer>,
    },
    Endpoint {
        path: "/api/v1/audit",
        name: "getAudit",
        summary: "The last lines of the audit log, the latest first.",
        role: Role::Admin,
        all_sites: true,
        parameters: &[takes(
            "lines",
            Takes::Count(1, 1000),
            "At most so many; 100 where it is absent.",
        )],
        answer: schema_of::<AuditList>,
    },
];

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Answers with the description.
pub(super) async fn describe() -> Response {
    let kind = "application/openapi+json;version=3.1";
    ([(header::CONTENT_TYPE, kind)], Json(description())).into_response()
}

/// The description as JSON.
pub(super) fn description() -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = SchemaGenerator::new(settings);
    let problem = schema_of::<Problem>(&mut generator);
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let operation = endpoint.operation(&mut generator, &problem);
        let at = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        at["get"] = operation;
    }
    for write in WRITES {
        let operation = write.operation(&mut generator, &problem);
        let at = paths.entry(write.path).or_insert_with(|| json!({}));
        at[write.method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rollcall",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Which loaned laptops need attention before their users notice",
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API token; `rollcall-collector api-token create` makes one."
                }
            },
            "schemas": generator.take_definitions(false),
        },
    })
}

/// What holds for every address.
const ABOUT: &str = "Answers show nothing beyond the sites of the token. Errors are \
    `application/problem+json` (RFC 9457); `field` names the parameter that is wrong. Answers carry an \
    `ETag`, and `If-None-Match` with it is answered with 304 while nothing has changed. Fields are only \
    ever added.";

impl Endpoint {
    fn operation(&self, generator: &mut SchemaGenerator, problem: &Schema) -> Value {
        let mut needs = format!("Needs the role {}", self.role.word());
        if self.all_sites {
            needs.push_str(" and a token that is not limited to some sites");
        }
        let parameters: Vec<Value> = self.parameters.iter().map(Parameter::described).collect();
        json!({
            "operationId": self.name,
            "summary": self.summary,
            "description": format!("{needs}."),
            "parameters": parameters,
            "responses": self.responses((self.answer)(generator), problem),
        })
    }

    fn responses(&self, answer: Schema, problem: &Schema) -> Value {
        let etag = json!({ "ETag": { "schema": { "type": "string" } } });
        let mut responses = json!({
            "200": {
                "description": "The answer.",
                "headers": etag,
                "content": { "application/json": { "schema": answer } },
            },
            "304": { "description": "Nothing has changed since the `ETag` of `If-None-Match`." },
        });
        let mut problems = vec![
            (
                "400",
                "A parameter is not what it may be; `field` names it.",
            ),
            ("401", "The token is missing or not valid."),
            (
                "429",
                "Too many wrong tokens; `Retry-After` says how long to wait.",
            ),
            ("503", "The store cannot be read at present."),
        ];
        if self.role > Role::Viewer {
            problems.push(("403", "The token's role or sites do not reach this."));
        }
        let names_a_device = |parameter: &Parameter| {
            matches!(parameter.name, "id" | "device") || matches!(parameter.takes, Takes::Name)
        };
        if self.parameters.iter().any(names_a_device) {
            problems.push((
                "404",
                "There is no such thing, or the token may not see it.",
            ));
        }
        for (status, why) in problems {
            responses[status] = json!({
                "description": why,
                "content": { "application/problem+json": { "schema": problem } },
            });
        }
        responses
    }
}

impl Parameter {
    fn described(&self) -> Value {
        let is_path = matches!(self.takes, Takes::Device | Takes::Name);
        let schema = match self.takes {
            Takes::Text | Takes::Name => json!({ "type": "string" }),
            Takes::Device => json!({ "type": "string", "format": "uuid" }),
            Takes::Count(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Takes::Time => json!({ "type": "string", "format": "date-time" }),
            Takes::Choice(words) => json!({ "type": "string", "enum": words }),
        };
        json!({
            "name": self.name,
            "in": if is_path { "path" } else { "query" },
            "required": is_path,
            "description": self.meaning,
            "schema": schema,
        })
    }

    /// What it takes, in words for people.
    pub fn in_words(&self) -> String {
        match self.takes {
            Takes::Text => "a text".to_owned(),
            Takes::Device => "a device's id".to_owned(),
            Takes::Name => "a name".to_owned(),
            Takes::Count(least, most) => format!("a whole number from {least} to {most}"),
            Takes::Time => "a time such as 2026-08-24T07:45:00Z".to_owned(),
            Takes::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }
}
