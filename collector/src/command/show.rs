//! Answers, as people read them and scripts cut them: one thing a line, columns by tab.

use std::io::{self, Write};

use rollcall_shared::id::Label;
use rollcall_shared::time::UnixMs;

use crate::act::Acted;
use crate::alert::Alert;
use crate::audit::AuditLine;
use crate::control::{Answer, DeviceLine, UserLine};
use crate::device::Standing;
use crate::device::version::VersionCounts;
use crate::incident::{Acknowledgement, Incident};
use crate::mark::Marks;
use crate::notification::Notification;
use crate::silence::Silence;
use crate::store::{ApiTokenRecord, EnrolmentTokenRecord};

/// Prints an answer.
pub(super) fn answer(answer: &Answer) -> anyhow::Result<()> {
    match write(&mut io::stdout().lock(), answer) {
        // Whoever closed the pipe has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

/// Prints how many active devices of each site have which version, from the list of devices.
pub(super) fn versions(answer: &Answer) -> anyhow::Result<()> {
    match write_versions(&mut io::stdout().lock(), answer) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

fn write_versions(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let Answer::Devices(devices) = answer else {
        return write(out, answer);
    };
    let mut counts = VersionCounts::default();
    let active = devices
        .iter()
        .map(|line| &line.device)
        .filter(|device| device.standing == Standing::Active);
    for device in active {
        counts.count(device.site.as_str(), &device.agent_version, 1);
    }
    counts.list().iter().try_for_each(|line| {
        let (site, version, devices) = (&line.site, &line.version, line.devices);
        writeln!(
            out,
            "{site}\t{version}\t{devices}\t{}",
            line.standing.words()
        )
    })
}

fn write(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    match answer {
        Answer::Secret(text) => writeln!(out, "{text}"),
        Answer::Text(text) => writeln!(out, "{text}"),
        Answer::Done => writeln!(out, "done"),
        Answer::Count(count) => writeln!(out, "done with {count}"),
        Answer::Outbox(waiting) => waiting.iter().try_for_each(|entry| put_waiting(out, entry)),
        Answer::Tokens(tokens) => tokens.iter().try_for_each(|token| put_token(out, token)),
        Answer::ApiTokens(tokens) => tokens
            .iter()
            .try_for_each(|token| put_api_token(out, token)),
        Answer::Users(users) => users.iter().try_for_each(|user| put_user(out, user)),
        Answer::Devices(devices) => devices.iter().try_for_each(|line| put_device(out, line)),
        Answer::Device(line) => show_device(out, line),
        Answer::Acted(Acted::Marks(marks)) => put_marks(out, marks),
        Answer::Acted(Acted::Silence(silence)) => put_silence(out, silence),
        Answer::Silences(silences) => silences.iter().try_for_each(|s| put_silence(out, s)),
        Answer::Alerts(alerts) => alerts.iter().try_for_each(|alert| put_alert(out, alert)),
        Answer::Incidents(incidents) => incidents.iter().try_for_each(|i| put_incident(out, i)),
        Answer::Audit(lines) => lines.iter().rev().try_for_each(|line| put_audit(out, line)),
    }
}

fn put_token(out: &mut impl Write, token: &EnrolmentTokenRecord) -> io::Result<()> {
    let group = token.group.as_ref().map_or("-", Label::as_str);
    let left = token
        .uses_left
        .map_or("any".to_owned(), |left| left.to_string());
    let state = if token.revoked { "revoked" } else { "valid" };
    let (expires, id, site) = (time(token.expires), &token.id, &token.site);
    let uses = token.uses;
    writeln!(
        out,
        "{id}\t{site}\t{group}\tused {uses}\tleft {left}\texpires {expires}\t{state}"
    )
}

fn put_api_token(out: &mut impl Write, token: &ApiTokenRecord) -> io::Result<()> {
    let sites: Vec<&str> = token.sites.iter().map(Label::as_str).collect();
    let sites = if sites.is_empty() {
        "all sites".to_owned()
    } else {
        sites.join(", ")
    };
    let state = if token.revoked { "revoked" } else { "valid" };
    let (name, role, created) = (&token.name, token.role.word(), token.created);
    writeln!(out, "{name}\t{role}\t{sites}\t{created}\t{state}")
}

fn put_user(out: &mut impl Write, user: &UserLine) -> io::Result<()> {
    let sites: Vec<&str> = user.sites.iter().map(Label::as_str).collect();
    let sites = match sites.as_slice() {
        [] => "all sites".to_owned(),
        sites => sites.join(", "),
    };
    let (name, role, entry, since) = (&user.name, user.role.word(), &user.entry, user.since);
    writeln!(out, "{name}\t{role}\t{sites}\t{entry}\t{since}")
}

fn put_device(out: &mut impl Write, line: &DeviceLine) -> io::Result<()> {
    let device = &line.device;
    let (id, site, model) = (device.id, &device.site, &device.model);
    let (standing, seen) = (device.standing.word(), time(line.last_seen));
    let up = if line.connected { "connected" } else { "away" };
    writeln!(out, "{id}\t{site}\t{model}\t{standing}\t{up}\t{seen}")
}

fn show_device(out: &mut impl Write, line: &DeviceLine) -> io::Result<()> {
    let device = &line.device;
    writeln!(out, "id            {}", device.id)?;
    writeln!(out, "site          {}", device.site)?;
    writeln!(
        out,
        "group         {}",
        device.group.as_ref().map_or("-", Label::as_str)
    )?;
    writeln!(out, "vendor        {}", device.vendor)?;
    writeln!(out, "model         {}", device.model)?;
    writeln!(out, "agent         {}", device.agent_version)?;
    writeln!(out, "standing      {}", device.standing.word())?;
    writeln!(out, "enrolled      {}", device.enrolled)?;
    let origin = device
        .cloned_from
        .map_or("-".to_owned(), |id| id.to_string());
    writeln!(out, "cloned from   {origin}")?;
    writeln!(
        out,
        "connected     {}",
        if line.connected { "yes" } else { "no" }
    )?;
    writeln!(out, "last seen     {}", time(line.last_seen))?;
    writeln!(out, "series        {}", line.series)
}

fn put_silence(out: &mut impl Write, silence: &Silence) -> io::Result<()> {
    let (id, matchers, when) = (silence.id, &silence.matchers, &silence.when);
    let (reason, author) = (one_line(&silence.reason), &silence.author);
    let ended = silence.ended.as_ref();
    let ended = ended.map_or(String::new(), |ended| format!("\tended by {}", ended.by));
    writeln!(out, "{id}\t{matchers}\t{when}\t{author}\t{reason}{ended}")
}

fn put_alert(out: &mut impl Write, alert: &Alert) -> io::Result<()> {
    let (id, state, severity) = (alert.id, alert.state, alert.severity);
    let (device, rule) = (alert.key.device, &alert.key.rule);
    let (since, evidence) = (alert.since, one_line(&alert.evidence));
    writeln!(
        out,
        "{id}\t{state}\t{severity}\t{device}\t{rule}\t{since}\t{evidence}"
    )
}

fn put_incident(out: &mut impl Write, incident: &Incident) -> io::Result<()> {
    let (id, severity, audience) = (incident.id, incident.severity, incident.audience);
    let (devices, opened, title) = (incident.devices, incident.opened, &incident.title);
    let acknowledged = incident.acknowledged.as_ref();
    let acknowledged = acknowledged.map_or(String::new(), |a| format!("\t{} deals with it", a.by));
    writeln!(
        out,
        "{id}\t{severity}\t{audience}\t{devices} devices\t{opened}\t{title}{acknowledged}"
    )
}

fn put_marks(out: &mut impl Write, marks: &Marks) -> io::Result<()> {
    writeln!(out, "{}", marks.subject)?;
    if let Some(Acknowledgement {
        by, until, note, ..
    }) = &marks.acknowledged
    {
        writeln!(out, "acknowledged  {by}, until {until} {}", one_line(note))?;
    }
    if let Some(assigned) = &marks.assigned {
        writeln!(out, "assigned      {}, by {}", assigned.to, assigned.by)?;
    }
    if let Some(said) = &marks.not_useful {
        writeln!(out, "not useful    {}: {}", said.by, one_line(&said.text))?;
    }
    let mut notes = marks.notes.iter();
    notes.try_for_each(|note| {
        let (at, by, text) = (note.at, &note.by, one_line(&note.text));
        writeln!(out, "note          {at} {by}: {text}")
    })
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\t'], " ")
}

fn put_audit(out: &mut impl Write, line: &AuditLine) -> io::Result<()> {
    let (at, actor, action) = (line.at, &line.actor, &line.action);
    let (subject, outcome, detail) = (&line.subject, &line.outcome, &line.detail);
    writeln!(
        out,
        "{at}\t{actor}\t{action}\t{subject}\t{outcome}\t{detail}"
    )
}

fn put_waiting(out: &mut impl Write, entry: &Notification) -> io::Result<()> {
    let (key, event, title) = (&entry.key, entry.event.word(), &entry.incident.title);
    let state = match (entry.set_aside, entry.attempts) {
        (true, _) => "set aside".to_owned(),
        (false, 0) => "waits".to_owned(),
        (false, tries) => format!("tried {tries} times, next {}", entry.due),
    };
    let (channel, created, why) = (&entry.key.channel, entry.created, &entry.last_error);
    writeln!(
        out,
        "{key}\t{channel}\t{event}\t{title}\t{created}\t{state}\t{why}"
    )
}

fn time(at: Option<UnixMs>) -> String {
    at.map_or("never".to_owned(), |at| at.to_string())
}
