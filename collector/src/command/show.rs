//! Answers, as people read them and scripts cut them: one thing a line, columns by tab.

use std::io::{self, Write};

use rollcall_shared::id::Label;
use rollcall_shared::time::UnixMs;

use crate::audit::AuditLine;
use crate::control::{Answer, DeviceLine};
use crate::store::{ApiTokenRecord, EnrolmentTokenRecord};

/// Prints an answer.
pub(super) fn answer(answer: &Answer) -> anyhow::Result<()> {
    match write(&mut io::stdout().lock(), answer) {
        // Whoever closed the pipe has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

fn write(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    match answer {
        Answer::Secret(text) => writeln!(out, "{text}"),
        Answer::Done => writeln!(out, "done"),
        Answer::Tokens(tokens) => tokens.iter().try_for_each(|token| put_token(out, token)),
        Answer::ApiTokens(tokens) => tokens
            .iter()
            .try_for_each(|token| put_api_token(out, token)),
        Answer::Devices(devices) => devices.iter().try_for_each(|line| put_device(out, line)),
        Answer::Device(line) => show_device(out, line),
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

fn put_audit(out: &mut impl Write, line: &AuditLine) -> io::Result<()> {
    let (at, actor, action) = (line.at, &line.actor, &line.action);
    let (subject, outcome, detail) = (&line.subject, &line.outcome, &line.detail);
    writeln!(
        out,
        "{at}\t{actor}\t{action}\t{subject}\t{outcome}\t{detail}"
    )
}

fn time(at: Option<UnixMs>) -> String {
    at.map_or("never".to_owned(), |at| at.to_string())
}
