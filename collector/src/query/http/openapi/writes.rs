//! The addresses that change something, with the fields of their bodies.

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::inventory::InventoryReport;
use crate::query::rules::{PreviewAnswer, RulesAnswer, ValidAnswer};
use crate::query::words::{MarksAnswer, SilenceAnswer};
use crate::store::Role;

/// An address with a method that changes something, or that belongs to one that does.
pub(in crate::query) struct Write {
    /// The method, in lower case.
    pub method: &'static str,
    /// The address.
    pub path: &'static str,
    /// Its name for generated clients.
    pub name: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// The role that it needs.
    pub role: Role,
    /// The status of what went well.
    pub status: u16,
    /// The words of `{verb}`; empty where the address has none.
    pub verbs: &'static [&'static str],
    /// The fields of its body.
    pub fields: &'static [Field],
    answer: fn(&mut SchemaGenerator) -> Schema,
}

/// A field of a body.
pub(in crate::query) struct Field {
    pub name: &'static str,
    form: Form,
    pub meaning: &'static str,
}

enum Form {
    Text,
    Texts,
    Time,
    Seconds,
    Number,
    Flag,
    Files,
}

const fn text(name: &'static str, meaning: &'static str) -> Field {
    field(name, Form::Text, meaning)
}

const fn texts(name: &'static str, meaning: &'static str) -> Field {
    field(name, Form::Texts, meaning)
}

const fn field(name: &'static str, form: Form, meaning: &'static str) -> Field {
    Field {
        name,
        form,
        meaning,
    }
}

const UNTIL: Field = field("until", Form::Time, "Until when; or give `for_s`.");
const FOR_S: Field = field(
    "for_s",
    Form::Seconds,
    "For how many seconds; or give `until`.",
);
const DEVICES: Field = texts("devices", "Only these devices; all where it is absent.");
const SITES: Field = texts("sites", "Only these sites; all where it is absent.");
const GROUPS: Field = texts("groups", "Only these groups; all where it is absent.");
const RULES: Field = texts(
    "rules",
    "Only findings of these rules; all where it is absent.",
);
const MODELS: Field = texts(
    "models",
    "Only these models, each whole or a beginning and `*`.",
);
const REASON: Field = text("reason", "Why; it is required.");

const RULES_TEXT: Field = text("text", "The whole file; or give `rule` or `remove`.");
const ONE_RULE: Field = text("rule", "One `[[rule]]` that is put in place or added.");
const REMOVE: Field = text("remove", "The name of a rule that is taken away.");
const RULES_NOTE: Field = text("note", "Why, in words.");
const BASED_ON: Field = field(
    "version",
    Form::Number,
    "The version that was edited; refused with 409 when another one holds by now.",
);

const VERBS: &[&str] = &[
    "acknowledge",
    "release",
    "notes",
    "assign",
    "not-useful",
    "useful",
];

const SAID: &[Field] = &[
    UNTIL,
    FOR_S,
    text(
        "note",
        "Of `acknowledge` and `not-useful`: what there is to say.",
    ),
    text("text", "Of `notes`: the note."),
    text("to", "Of `assign`: to whom; to nobody where it is absent."),
];

/// Every address that changes something.
pub(in crate::query) const WRITES: &[Write] = &[
    Write {
        method: "get",
        path: "/api/v1/alerts/{id}/marks",
        name: "getAlertMarks",
        summary: "What people said about an alert.",
        role: Role::Viewer,
        status: 200,
        verbs: &[],
        fields: &[],
        answer: schema_of::<MarksAnswer>,
    },
    Write {
        method: "post",
        path: "/api/v1/alerts/{id}/{verb}",
        name: "sayOfAlert",
        summary: "Deal with an alert, write to it, give it to somebody, or judge it.",
        role: Role::Technician,
        status: 200,
        verbs: VERBS,
        fields: SAID,
        answer: schema_of::<MarksAnswer>,
    },
    Write {
        method: "get",
        path: "/api/v1/incidents/{id}/marks",
        name: "getIncidentMarks",
        summary: "What people said about an incident.",
        role: Role::Viewer,
        status: 200,
        verbs: &[],
        fields: &[],
        answer: schema_of::<MarksAnswer>,
    },
    Write {
        method: "post",
        path: "/api/v1/incidents/{id}/{verb}",
        name: "sayOfIncident",
        summary: "Deal with an incident, write to it, give it to somebody, or judge it.",
        role: Role::Technician,
        status: 200,
        verbs: VERBS,
        fields: SAID,
        answer: schema_of::<MarksAnswer>,
    },
    Write {
        method: "post",
        path: "/api/v1/silences",
        name: "createSilence",
        summary: "Tell nobody of certain findings for a while.",
        role: Role::Technician,
        status: 201,
        verbs: &[],
        fields: &[
            DEVICES,
            SITES,
            GROUPS,
            RULES,
            MODELS,
            REASON,
            field(
                "from",
                Form::Time,
                "From when; from now where it is absent.",
            ),
            UNTIL,
            FOR_S,
        ],
        answer: schema_of::<SilenceAnswer>,
    },
    Write {
        method: "delete",
        path: "/api/v1/silences/{id}",
        name: "endSilence",
        summary: "End a silence now.",
        role: Role::Technician,
        status: 200,
        verbs: &[],
        fields: &[],
        answer: schema_of::<SilenceAnswer>,
    },
    Write {
        method: "post",
        path: "/api/v1/maintenance",
        name: "createMaintenance",
        summary: "Plan maintenance once, weekly or yearly, of which nobody is told.",
        role: Role::Technician,
        status: 201,
        verbs: &[],
        fields: &[
            DEVICES,
            SITES,
            GROUPS,
            RULES,
            MODELS,
            REASON,
            text(
                "repeats",
                "`once`, `weekly` or `yearly`; once where it is absent.",
            ),
            texts(
                "weekdays",
                "Of a weekly one: the days on which it begins, such as `sunday`.",
            ),
            text(
                "from",
                "A time; of a weekly one such as `22:00`, of a yearly one such as `06-20`.",
            ),
            text("until", "A time; of a weekly one such as `04:30`."),
            FOR_S,
            text("through", "Of a yearly one: its last day, such as `08-25`."),
        ],
        answer: schema_of::<SilenceAnswer>,
    },
    Write {
        method: "delete",
        path: "/api/v1/maintenance/{id}",
        name: "endMaintenance",
        summary: "End a maintenance window for good.",
        role: Role::Technician,
        status: 200,
        verbs: &[],
        fields: &[],
        answer: schema_of::<SilenceAnswer>,
    },
    Write {
        method: "put",
        path: "/api/v1/rules",
        name: "replaceRules",
        summary: "Put a whole file of rules in force as a new version.",
        role: Role::Admin,
        status: 200,
        verbs: &[],
        fields: &[
            text("text", "The file, as TOML; it is required."),
            RULES_NOTE,
            BASED_ON,
        ],
        answer: schema_of::<RulesAnswer>,
    },
    Write {
        method: "put",
        path: "/api/v1/rules/{name}",
        name: "replaceRule",
        summary: "Put one rule in place of the one of that name, or add it; the rest of the file stays.",
        role: Role::Admin,
        status: 200,
        verbs: &[],
        fields: &[
            text("rule", "One `[[rule]]`, as TOML; it is required."),
            RULES_NOTE,
            BASED_ON,
        ],
        answer: schema_of::<RulesAnswer>,
    },
    Write {
        method: "delete",
        path: "/api/v1/rules/{name}",
        name: "removeRule",
        summary: "Take a rule of the school's own away, or disable a default rule.",
        role: Role::Admin,
        status: 200,
        verbs: &[],
        fields: &[RULES_NOTE, BASED_ON],
        answer: schema_of::<RulesAnswer>,
    },
    Write {
        method: "post",
        path: "/api/v1/rules/versions/{version}/restore",
        name: "restoreRules",
        summary: "Put an earlier version of the rules in force again, as a new version.",
        role: Role::Admin,
        status: 200,
        verbs: &[],
        fields: &[RULES_NOTE, BASED_ON],
        answer: schema_of::<RulesAnswer>,
    },
    Write {
        method: "post",
        path: "/api/v1/rules/validate",
        name: "validateRules",
        summary: "Say whether a change of the rules is right and what it changes; nothing is changed.",
        role: Role::Admin,
        status: 200,
        verbs: &[],
        fields: &[RULES_TEXT, ONE_RULE, REMOVE],
        answer: schema_of::<ValidAnswer>,
    },
    Write {
        method: "post",
        path: "/api/v1/inventory/import",
        name: "importInventory",
        summary: "Take in CSV files of laptops, loans and rosters; bad rows are told by line, the rest is kept.",
        role: Role::Admin,
        status: 200,
        verbs: &[],
        fields: &[
            field(
                "files",
                Form::Files,
                "The files that belong together, at most 16.",
            ),
            field("dry_run", Form::Flag, "Only say what would be done."),
        ],
        answer: schema_of::<InventoryReport>,
    },
    Write {
        method: "post",
        path: "/api/v1/rules/preview",
        name: "previewRules",
        summary: "Say what a change of the rules would have fired over the last days; nothing is changed.",
        role: Role::Admin,
        status: 200,
        verbs: &[],
        fields: &[
            RULES_TEXT,
            ONE_RULE,
            REMOVE,
            field(
                "days",
                Form::Seconds,
                "Over how many days, from 1 to 30; 30 where it is absent.",
            ),
        ],
        answer: schema_of::<PreviewAnswer>,
    },
];

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Write {
    /// The operation of the description.
    pub fn operation(&self, generator: &mut SchemaGenerator, problem: &Schema) -> Value {
        let answer = (self.answer)(generator);
        let mut operation = json!({
            "operationId": self.name,
            "summary": self.summary,
            "description": format!("Needs the role {}.", self.role.word()),
            "parameters": self.parameters(),
            "responses": self.responses(&answer, problem),
        });
        if !self.fields.is_empty() {
            let fields = self.fields.iter();
            let properties: Map<String, Value> = fields
                .map(|field| (field.name.to_owned(), field.described()))
                .collect();
            let schema = json!({
                "type": "object",
                "properties": properties,
                "additionalProperties": false,
            });
            operation["requestBody"] = json!({
                "content": { "application/json": { "schema": schema } }
            });
        }
        operation
    }

    fn parameters(&self) -> Vec<Value> {
        let in_path = |name: &str, schema: Value| json!({ "name": name, "in": "path", "required": true, "schema": schema });
        let mut parameters = Vec::new();
        if self.path.contains("{id}") {
            parameters.push(in_path("id", json!({ "type": "string", "format": "uuid" })));
        }
        for name in ["name", "version"] {
            if self.path.contains(&format!("{{{name}}}")) {
                parameters.push(in_path(name, json!({ "type": "string" })));
            }
        }
        if !self.verbs.is_empty() {
            let schema = json!({ "type": "string", "enum": self.verbs });
            parameters.push(in_path("verb", schema));
        }
        parameters
    }

    fn responses(&self, answer: &Schema, problem: &Schema) -> Value {
        let mut responses = json!({
            self.status.to_string(): {
                "description": "How it is now.",
                "content": { "application/json": { "schema": answer } },
            }
        });
        let problems = [
            ("400", "A field is not what it may be; `field` names it."),
            ("401", "The token is missing or not valid."),
            ("403", "The token's role or sites do not reach this."),
            (
                "404",
                "There is no such thing, or the token may not see it.",
            ),
            ("409", "Somebody else changed it meanwhile."),
            (
                "429",
                "Too many wrong tokens; `Retry-After` says how long to wait.",
            ),
            ("503", "The store takes nothing in at present."),
        ];
        for (status, why) in problems {
            responses[status] = json!({
                "description": why,
                "content": { "application/problem+json": { "schema": problem } },
            });
        }
        responses
    }
}

impl Field {
    /// What it takes, for people.
    pub const fn in_words(&self) -> &'static str {
        match self.form {
            Form::Text => "text",
            Form::Texts => "a list of texts",
            Form::Time => "a time",
            Form::Seconds => "seconds, from 1 on",
            Form::Number => "a whole number",
            Form::Flag => "`true` or `false`",
            Form::Files => "a list of files, each with `name` and `text`",
        }
    }

    fn described(&self) -> Value {
        let mut schema = match self.form {
            Form::Text => json!({ "type": "string" }),
            Form::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Form::Time => json!({ "type": "string", "format": "date-time" }),
            Form::Number => json!({ "type": "integer", "minimum": 0 }),
            Form::Flag => json!({ "type": "boolean" }),
            Form::Files => json!({
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": { "name": { "type": "string" }, "text": { "type": "string" } },
                    "required": ["name", "text"],
                    "additionalProperties": false,
                },
            }),
            Form::Seconds => json!({ "type": "integer", "minimum": 1 }),
        };
        schema["description"] = self.meaning.into();
        schema
    }
}
