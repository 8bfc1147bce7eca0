//! The systems, as their public documentation describes them.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::stand_in::{Does, Route, Ticket, Vendor};

/// The secrets that a channel gives.
pub fn secrets(vendor: &str) -> &'static [(&'static str, &'static str)] {
    match vendor {
        "glpi" => &[("user_token", "u-1"), ("app_token", "a-1")],
        "servicenow" => &[("password", "p-1")],
        "freshservice" | "osticket" => &[("api_key", "k-1")],
        _ => &[("token", "t-1")],
    }
}

/// The settings that a channel gives.
pub fn settings(vendor: &str) -> &'static str {
    match vendor {
        "request-tracker" => "queue = \"Laptops\"\nrequestor = \"rollcall@d.example\"",
        "zendesk" => "email = \"agent@d.example\"\ngroup_id = 7",
        "freshservice" | "osticket" => "email = \"rollcall@d.example\"",
        "jira-service-management" => {
            "email = \"agent@d.example\"\nproject = \"HELP\"\nresolve_transition = \"761\"\nreopen_transition = \"4\""
        }
        "glpi" => "entity_id = 2",
        "incident-iq" => {
            "site_id = \"s-1\"\nfor_id = \"f-1\"\nlocation_id = \"l-1\"\nissue_id = \"i-1\""
        }
        "servicenow" => "user = \"rollcall\"",
        other => panic!("{other} is no preset"),
    }
}

/// The system of a preset.
pub fn of(vendor: &str) -> Vendor {
    match vendor {
        "request-tracker" => request_tracker(),
        "zendesk" => zendesk(),
        "freshservice" => freshservice(),
        "jira-service-management" => jira(),
        "glpi" => glpi(),
        "osticket" => osticket(),
        "incident-iq" => incident_iq(),
        "servicenow" => servicenow(),
        other => panic!("{other} is no preset"),
    }
}

fn basic(user: &str, password: &str) -> Vec<(&'static str, String)> {
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    vec![("authorization", format!("Basic {encoded}"))]
}

fn routes(
    headers: &[(&'static str, String)],
    routes: Vec<(Does, &'static str, &'static str, Vec<&'static str>, Value)>,
) -> Vec<Route> {
    let route = |(does, method, path, query, body)| Route {
        does,
        method,
        path,
        headers: headers.to_vec(),
        query,
        body,
    };
    routes.into_iter().map(route).collect()
}

fn number(text: &str) -> Value {
    json!(text.parse::<u64>().unwrap())
}

fn list(tickets: &[&Ticket], show: impl Fn(&Ticket) -> Value) -> Vec<Value> {
    tickets.iter().map(|ticket| show(ticket)).collect()
}

/// <https://docs.bestpractical.com/rt/5.0.3/RT/REST2.html>
fn request_tracker() -> Vendor {
    let headers = [("authorization", "token t-1".to_owned())];
    let comment = json!({ "Content": "string", "ContentType": "=text/plain" });
    Vendor {
        routes: routes(
            &headers,
            vec![
                (
                    Does::Create,
                    "POST",
                    "/REST/2.0/ticket",
                    vec![],
                    json!({ "Queue": "=Laptops", "Subject": "string", "Content": "string",
                        "ContentType": "=text/plain", "Requestor": "=rollcall@d.example", "Priority": "number",
                        "CustomFields": { "Rollcall Key": "string" } }),
                ),
                (
                    Does::Find,
                    "GET",
                    "/REST/2.0/tickets",
                    vec!["query", "fields", "orderby"],
                    Value::Null,
                ),
                (
                    Does::Comment,
                    "POST",
                    "/REST/2.0/ticket/{id}/comment",
                    vec![],
                    comment,
                ),
                (
                    Does::Change,
                    "PUT",
                    "/REST/2.0/ticket/{id}",
                    vec![],
                    json!({ "Status": "string" }),
                ),
            ],
        ),
        created: StatusCode::CREATED,
        show: |ticket| json!({ "type": "ticket", "id": ticket.id, "_url": "x" }),
        list: |tickets| {
            let status = |ticket: &Ticket| if ticket.is_closed { "resolved" } else { "new" };
            let items = list(
                tickets,
                |t| json!({ "type": "ticket", "id": t.id, "Status": status(t) }),
            );
            json!({ "count": items.len(), "items": items })
        },
        status: ("/Status", &["resolved"]),
    }
}

/// <https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/>
fn zendesk() -> Vendor {
    let comment = json!({ "body": "string", "public": "=false" });
    let headers = basic("agent@d.example/token", "t-1");
    let mut routes = routes(
        &headers,
        vec![
            (
                Does::Create,
                "POST",
                "/api/v2/tickets.json",
                vec![],
                json!({ "ticket": { "subject": "string", "comment": comment, "external_id": "string",
                    "priority": "=normal", "type": "=incident", "tags": ["string"], "group_id": "number" } }),
            ),
            (
                Does::Find,
                "GET",
                "/api/v2/tickets.json",
                vec!["external_id"],
                Value::Null,
            ),
            (
                Does::Change,
                "PUT",
                "/api/v2/tickets/{id}.json",
                vec![],
                json!({ "ticket": { "status": "string?", "comment": comment } }),
            ),
        ],
    );
    for route in &mut routes {
        route
            .headers
            .push(("accept", "application/json".to_owned()));
    }
    Vendor {
        routes,
        created: StatusCode::CREATED,
        show: |ticket| json!({ "ticket": { "id": number(&ticket.id), "status": "new" } }),
        list: |tickets| {
            let status = |ticket: &Ticket| if ticket.is_closed { "solved" } else { "open" };
            let tickets = list(
                tickets,
                |t| json!({ "id": number(&t.id), "external_id": t.key, "status": status(t) }),
            );
            json!({ "tickets": tickets, "count": tickets.len(), "next_page": null })
        },
        status: ("/ticket/status", &["solved"]),
    }
}

/// <https://api.freshservice.com/v2/>
fn freshservice() -> Vendor {
    Vendor {
        routes: routes(
            &basic("k-1", "X"),
            vec![
                (
                    Does::Create,
                    "POST",
                    "/api/v2/tickets",
                    vec![],
                    json!({ "subject": "string", "description": "string", "email": "=rollcall@d.example",
                        "status": "=2", "priority": "number", "source": "=2", "tags": ["string"],
                        "custom_fields": { "rollcall_key": "string" } }),
                ),
                (
                    Does::Find,
                    "GET",
                    "/api/v2/tickets/filter",
                    vec!["query"],
                    Value::Null,
                ),
                (
                    Does::Comment,
                    "POST",
                    "/api/v2/tickets/{id}/notes",
                    vec![],
                    json!({ "body": "string", "private": "=true" }),
                ),
                (
                    Does::Change,
                    "PUT",
                    "/api/v2/tickets/{id}",
                    vec![],
                    json!({ "status": "number" }),
                ),
            ],
        ),
        created: StatusCode::CREATED,
        show: |ticket| json!({ "ticket": { "id": number(&ticket.id), "status": 2 } }),
        list: |tickets| {
            let status = |ticket: &Ticket| if ticket.is_closed { 4 } else { 2 };
            let tickets = list(
                tickets,
                |t| json!({ "id": number(&t.id), "status": status(t) }),
            );
            json!({ "tickets": tickets, "total": tickets.len() })
        },
        status: ("/status", &["4", "5"]),
    }
}

/// <https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/>
fn jira() -> Vendor {
    let text = json!({ "type": "=text", "text": "string" });
    let document = json!({ "type": "=doc", "version": "=1",
        "content": [{ "type": "=codeBlock", "content": [text] }] });
    Vendor {
        routes: routes(
            &basic("agent@d.example", "t-1"),
            vec![
                (
                    Does::Create,
                    "POST",
                    "/rest/api/3/issue",
                    vec![],
                    json!({ "fields": { "project": { "key": "=HELP" }, "issuetype": { "name": "string" },
                        "summary": "string", "priority": { "name": "=Medium" }, "labels": ["string"],
                        "description": document } }),
                ),
                (
                    Does::Find,
                    "POST",
                    "/rest/api/3/search/jql",
                    vec![],
                    json!({ "jql": "string", "fields": ["string"], "maxResults": "number" }),
                ),
                (
                    Does::Comment,
                    "POST",
                    "/rest/api/3/issue/{id}/comment",
                    vec![],
                    json!({ "body": document }),
                ),
                (
                    Does::Change,
                    "POST",
                    "/rest/api/3/issue/{id}/transitions",
                    vec![],
                    json!({ "transition": { "id": "string" } }),
                ),
            ],
        ),
        created: StatusCode::CREATED,
        show: |ticket| json!({ "id": ticket.id, "key": ticket.number, "self": "x" }),
        list: |tickets| {
            let status = |ticket: &Ticket| if ticket.is_closed { "done" } else { "new" };
            let issues = list(tickets, |t| {
                let fields = json!({ "labels": ["rollcall", format!("rollcall-{}", t.key)],
                    "status": { "statusCategory": { "key": status(t) } } });
                json!({ "id": t.id, "key": t.number, "fields": fields })
            });
            json!({ "issues": issues, "isLast": true })
        },
        status: ("/transition/id", &["761"]),
    }
}

/// <https://github.com/glpi-project/glpi/blob/main/apirest.md>
fn glpi() -> Vendor {
    let app = ("app-token", "a-1".to_owned());
    let session = [app.clone(), ("session-token", "s-1".to_owned())];
    let followup = json!({ "input": { "itemtype": "=Ticket", "items_id": "string", "content": "string",
        "is_private": "=1" } });
    let search = vec![
        "criteria[0][field]",
        "criteria[0][searchtype]",
        "criteria[0][value]",
        "forcedisplay[0]",
        "forcedisplay[1]",
        "forcedisplay[2]",
        "order",
        "sort",
    ];
    let mut all = routes(
        &session,
        vec![
            (
                Does::Create,
                "POST",
                "/apirest.php/Ticket",
                vec![],
                json!({ "input": { "name": "string", "content": "string", "urgency": "=3", "type": "=1",
                    "entities_id": "=2" } }),
            ),
            (
                Does::Find,
                "GET",
                "/apirest.php/search/Ticket",
                search,
                Value::Null,
            ),
            (
                Does::Comment,
                "POST",
                "/apirest.php/Ticket/{id}/ITILFollowup",
                vec![],
                followup,
            ),
            (
                Does::Close,
                "POST",
                "/apirest.php/Ticket/{id}/ITILSolution",
                vec![],
                json!({ "input": { "itemtype": "=Ticket", "items_id": "string", "content": "string" } }),
            ),
            (
                Does::Change,
                "PUT",
                "/apirest.php/Ticket/{id}",
                vec![],
                json!({ "input": { "status": "=2" } }),
            ),
        ],
    );
    let log_in = [app, ("authorization", "user_token u-1".to_owned())];
    all.extend(routes(
        &log_in,
        vec![(
            Does::LogIn,
            "GET",
            "/apirest.php/initSession",
            vec![],
            Value::Null,
        )],
    ));
    Vendor {
        routes: all,
        created: StatusCode::CREATED,
        show: |ticket| json!({ "id": number(&ticket.id), "message": "Item successfully added" }),
        list: |tickets| {
            let status = |ticket: &Ticket| if ticket.is_closed { 5 } else { 1 };
            let data = list(
                tickets,
                |t| json!({ "1": format!("Worn [{}]", t.key), "2": number(&t.id), "12": status(t) }),
            );
            match data.is_empty() {
                true => json!({ "totalcount": 0, "count": 0 }),
                false => json!({ "totalcount": data.len(), "count": data.len(), "data": data }),
            }
        },
        status: ("/input/status", &[]),
    }
}

/// <https://docs.osticket.com/en/latest/Developer%20Documentation/API/Tickets.html>
fn osticket() -> Vendor {
    Vendor {
        routes: routes(
            &[("x-api-key", "k-1".to_owned())],
            vec![(
                Does::Create,
                "POST",
                "/api/tickets.json",
                vec![],
                json!({ "alert": "boolean", "autorespond": "boolean", "source": "=API", "name": "string",
                    "email": "string", "subject": "string", "message": "string", "priority": "number" }),
            )],
        ),
        created: StatusCode::CREATED,
        show: |ticket| Value::from(ticket.number.clone()),
        list: |_| Value::Null,
        status: ("/", &[]),
    }
}

/// <https://apihub.incidentiq.com/>
fn incident_iq() -> Vendor {
    let headers = [
        ("authorization", "Bearer t-1".to_owned()),
        ("siteid", "s-1".to_owned()),
        ("client", "ApiClient".to_owned()),
        (
            "productid",
            "88df910c-91aa-e711-80c2-0004ffa00010".to_owned(),
        ),
    ];
    Vendor {
        routes: routes(
            &headers,
            vec![
                (
                    Does::Create,
                    "POST",
                    "/api/v1.0/tickets/new",
                    vec![],
                    json!({ "Subject": "string", "IssueDescription": "string", "ForId": "=f-1",
                        "LocationId": "=l-1", "IssueId": "=i-1", "ProductId": "string", "IsUrgent": "=false",
                        "HasSensitiveInformation": "=false", "Attachments": ["string"] }),
                ),
                (
                    Does::Find,
                    "POST",
                    "/api/v1.0/tickets",
                    vec!["$o", "$p", "$s"],
                    json!({ "ProductId": "string", "Schema": "=All",
                        "Filters": [{ "Facet": "=keyword", "Value": "string", "Name": "string" }] }),
                ),
                (
                    Does::Comment,
                    "POST",
                    "/api/v1.0/tickets/{id}/activities/new",
                    vec![],
                    json!({ "TicketId": "string",
                        "ActivityItems": [{ "TicketActivityTypeId": "=6", "Comments": "string" }] }),
                ),
                (
                    Does::Close,
                    "POST",
                    "/api/v1.0/tickets/{id}/close",
                    vec![],
                    json!({ "CloseReasonTypeId": "string" }),
                ),
            ],
        ),
        created: StatusCode::OK,
        show: |ticket| json!({ "Item": { "TicketId": ticket.id, "TicketNumber": ticket.number } }),
        list: |tickets| {
            let items = list(tickets, |t| {
                json!({ "TicketId": t.id, "TicketNumber": t.number, "IsClosed": t.is_closed,
                    "IssueDescription": format!("Rollcall key: {}", t.key) })
            });
            json!({ "ItemCount": items.len(), "Items": items })
        },
        status: ("/", &[]),
    }
}

/// <https://www.servicenow.com/docs/> Table API
fn servicenow() -> Vendor {
    let mut all = routes(
        &basic("rollcall", "p-1"),
        vec![
            (
                Does::Create,
                "POST",
                "/api/now/table/incident",
                vec!["sysparm_fields"],
                json!({ "short_description": "string", "description": "string", "correlation_id": "string",
                    "correlation_display": "string", "urgency": "=2", "category": "string" }),
            ),
            (
                Does::Find,
                "GET",
                "/api/now/table/incident",
                vec!["sysparm_query", "sysparm_fields", "sysparm_limit"],
                Value::Null,
            ),
            (
                Does::Change,
                "PATCH",
                "/api/now/table/incident/{id}",
                vec![],
                json!({ "state": "string?", "work_notes": "string?", "close_code": "string?",
                    "close_notes": "string?" }),
            ),
        ],
    );
    for route in &mut all {
        route
            .headers
            .push(("accept", "application/json".to_owned()));
    }
    Vendor {
        routes: all,
        created: StatusCode::CREATED,
        show: |ticket| json!({ "result": { "sys_id": ticket.id, "number": ticket.number } }),
        list: |tickets| {
            let state = |ticket: &Ticket| if ticket.is_closed { "6" } else { "1" };
            let result = list(
                tickets,
                |t| json!({ "sys_id": t.id, "number": t.number, "state": state(t), "correlation_id": t.key }),
            );
            json!({ "result": result })
        },
        status: ("/state", &["6"]),
    }
}
