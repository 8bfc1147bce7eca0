//! A report in plain words, for a person who looks over the agent's shoulder.

use rollcall_shared::metric;
use rollcall_shared::metric::Metric;
use rollcall_shared::reading::{Reading, Value};

/// The report as lines of plain words: what the machine is, how it does, and what could not be read.
#[must_use]
pub fn describe(readings: &[Reading]) -> String {
    let report = Report(readings);
    let mut lines = vec![report.machine(), report.system()];
    lines.extend(report.each(&metric::BATTERY_STATE, Report::battery));
    if lines.len() == 2 {
        lines.push("No battery.".to_owned());
    }
    lines.extend(report.each(&metric::FILESYSTEM_UTILIZATION, Report::filesystem));
    lines.extend(report.each(&metric::DRIVE_VERDICT, Report::drive));
    lines.push(report.load());
    lines.extend(report.hottest());
    lines.extend(report.each(&metric::LINK_STATE, Report::link));
    lines.push(report.network());
    lines.extend(report.each(&metric::REACH_STATE, Report::target));
    lines.extend(report.unread());
    lines.join("\n")
}

struct Report<'a>(&'a [Reading]);

impl Report<'_> {
    fn value(&self, metric: &Metric, instance: &str) -> Option<&Value> {
        let found = self
            .0
            .iter()
            .find(|reading| reading.metric() == metric && reading.instance() == instance);
        found
            .map(Reading::value)
            .filter(|value| value.is_available())
    }

    fn number(&self, metric: &Metric, instance: &str) -> Option<f64> {
        self.value(metric, instance)?.as_number()
    }

    fn text(&self, metric: &Metric, instance: &str) -> Option<String> {
        self.value(metric, instance).map(ToString::to_string)
    }

    fn each(&self, metric: &Metric, line: impl Fn(&Self, &str) -> String) -> Vec<String> {
        let of_metric = self.0.iter().filter(|reading| reading.metric() == metric);
        of_metric
            .map(|reading| line(self, reading.instance()))
            .collect()
    }

    fn machine(&self) -> String {
        let name = [&metric::HOST_VENDOR, &metric::HOST_MODEL].map(|metric| self.text(metric, ""));
        let name = name.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let name = if name.is_empty() {
            "A machine that does not tell its model".to_owned()
        } else {
            name
        };
        let memory = self
            .number(&metric::MEMORY_LIMIT, "")
            .map(|bytes| format!("{} of memory", size(bytes)));
        let cpus = self
            .number(&metric::CPU_COUNT, "")
            .map(|count| format!("{count} processors"));
        sentence(name, [cpus, memory])
    }

    fn system(&self) -> String {
        let name = [&metric::OS_NAME, &metric::OS_VERSION].map(|metric| self.text(metric, ""));
        let name = name.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let support = self.number(&metric::OS_SUPPORT_REMAINING, "").map(|days| {
            if days < 0.0 {
                format!("out of support for {} days", -days)
            } else {
                format!("supported for {days} more days")
            }
        });
        let flag = |metric, yes: &str| {
            (self.value(metric, "") == Some(&Value::Flag(true))).then(|| yes.to_owned())
        };
        let up = self
            .number(&metric::UPTIME, "")
            .map(|seconds| format!("up for {}", duration(seconds)));
        let updates = self
            .number(&metric::UPDATES_PENDING, "")
            .map(|count| format!("{count} updates pending"));
        let encryption = self
            .text(&metric::DISK_ENCRYPTION, "")
            .map(|state| format!("disk encryption {state}"));
        let name = if name.is_empty() {
            "An unknown system".to_owned()
        } else {
            name
        };
        let restart = flag(&metric::RESTART_PENDING, "an update waits for a restart");
        sentence(name, [support, up, updates, restart, encryption])
    }

    fn battery(&self, name: &str) -> String {
        let health = match self.number(&metric::BATTERY_HEALTH, name) {
            Some(health) => format!("{} of its capacity when new", percent(health)),
            None => "its health is not known".to_owned(),
        };
        let charge = self
            .number(&metric::BATTERY_CHARGE, name)
            .map(|charge| format!("charged to {}", percent(charge)));
        let state = self
            .text(&metric::BATTERY_STATE, name)
            .filter(|state| state != "unknown");
        let cycles = self
            .number(&metric::BATTERY_CYCLES, name)
            .map(|cycles| format!("{cycles} cycles"));
        sentence(
            format!("Battery {name}: {health}"),
            [charge, state.map(|state| state.replace('_', " ")), cycles],
        )
    }

    fn filesystem(&self, name: &str) -> String {
        let Some(used) = self.number(&metric::FILESYSTEM_UTILIZATION, name) else {
            return format!("File system {name}: could not be read.");
        };
        let free = self
            .number(&metric::FILESYSTEM_FREE, name)
            .map(|free| format!("{} free", size(free)));
        let is_read_only =
            self.value(&metric::FILESYSTEM_READ_ONLY, name) == Some(&Value::Flag(true));
        let read_only = is_read_only.then(|| "READ-ONLY, though it should be writable".to_owned());
        let errors = self
            .number(&metric::FILESYSTEM_ERRORS, name)
            .filter(|errors| *errors > 0.0);
        sentence(
            format!("File system {name}: {} used", percent(used)),
            [free, read_only, errors.map(|n| format!("{n} errors"))],
        )
    }

    fn drive(&self, name: &str) -> String {
        let model = self
            .text(&metric::DRIVE_MODEL, name)
            .map(|model| format!(" ({model})"))
            .unwrap_or_default();
        let verdict = match self.text(&metric::DRIVE_VERDICT, name).as_deref() {
            Some("failed") => "says that it is FAILING",
            Some(_) => "says that it is healthy",
            None => "its health could not be read",
        };
        let counted = |metric, what: &str| {
            let count = self.number(metric, name).filter(|count| *count > 0.0)?;
            Some(format!("{count} {what}"))
        };
        let worn = self
            .number(&metric::DRIVE_ENDURANCE_USED, name)
            .map(|used| format!("{} worn", percent(used)));
        let parts = [
            counted(&metric::DRIVE_REALLOCATED, "replaced sectors"),
            counted(&metric::DRIVE_PENDING, "unreadable sectors"),
            counted(&metric::NVME_MEDIA_ERRORS, "media errors"),
            worn,
        ];
        sentence(format!("Drive {name}{model}: {verdict}"), parts)
    }

    fn load(&self) -> String {
        let share = |metric, what: &str| {
            self.number(metric, "")
                .map(|share| format!("{} of {what}", percent(share)))
        };
        let cpu = share(&metric::CPU_UTILIZATION, "the processor");
        let memory = share(&metric::MEMORY_UTILIZATION, "memory");
        let parts: Vec<String> = cpu.into_iter().chain(memory).collect();
        if parts.is_empty() {
            "Load: not known.".to_owned()
        } else {
            format!("In use: {}.", parts.join(", "))
        }
    }

    fn hottest(&self) -> Option<String> {
        let heats = self
            .0
            .iter()
            .filter(|reading| reading.metric() == &metric::TEMPERATURE);
        let heats =
            heats.filter_map(|reading| Some((reading.instance(), reading.value().as_number()?)));
        let (name, degrees) = heats.max_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(format!("Hottest sensor: {name}, {degrees:.0} °C."))
    }

    fn link(&self, name: &str) -> String {
        let Some(state) = self.text(&metric::LINK_STATE, name) else {
            return "Network links: none found.".to_owned();
        };
        let kind = self.text(&metric::LINK_KIND, name).unwrap_or_default();
        let speed = self
            .number(&metric::LINK_SPEED, name)
            .map(|speed| format!("{speed} Mbit/s"));
        let signal = self
            .number(&metric::LINK_SIGNAL, name)
            .map(|signal| format!("{signal} dBm"));
        sentence(
            format!("Network link {name} ({kind}): {state}"),
            [speed, signal],
        )
    }

    fn network(&self) -> String {
        let flag = |metric, yes: &str, no: &str| match self.value(metric, "") {
            Some(Value::Flag(true)) => Some(yes.to_owned()),
            Some(Value::Flag(false)) => Some(no.to_owned()).filter(|no| !no.is_empty()),
            _ => None,
        };
        let dns = self
            .text(&metric::DNS_STATE, "")
            .map(|state| format!("DNS {}", state.replace('_', " ")));
        let place = self
            .text(&metric::VANTAGE, "")
            .unwrap_or_else(|| "place not known".to_owned());
        let gateway = flag(
            &metric::GATEWAY_REACHABLE,
            "gateway there",
            "gateway NOT there",
        );
        let portal = flag(&metric::CAPTIVE_PORTAL, "a login page stands before it", "");
        let proxy = flag(&metric::PROXY_CONFIGURED, "by a proxy", "");
        sentence(format!("Network: {place}"), [gateway, dns, proxy, portal])
    }

    fn target(&self, name: &str) -> String {
        let text = |metric| self.text(metric, name);
        let resigned = text(&metric::TLS_INTERCEPTED).filter(|by| by != "none");
        let resigned = resigned.map(|by| format!("its certificate is signed by {by}"));
        match text(&metric::REACH_STATE).as_deref() {
            Some("reachable") => {
                let took = self
                    .number(&metric::REACH_HTTP, name)
                    .map(|s| format!("answer in {:.0} ms", s * 1e3));
                sentence(format!("{name}: reachable"), [took, resigned])
            }
            Some(_) => {
                let stage = text(&metric::REACH_FAILED_STAGE).unwrap_or_default();
                sentence(
                    format!("{name}: NOT reachable, it fails at {stage}"),
                    [text(&metric::REACH_CAUSE), resigned],
                )
            }
            None => format!("{name}: could not be tried."),
        }
    }

    fn unread(&self) -> Option<String> {
        let unread = self
            .0
            .iter()
            .filter(|reading| !reading.value().is_available())
            .count();
        (unread > 0).then(|| format!("{} readings; {unread} more could not be taken, each with its reason in the report.", self.0.len() - unread))
    }
}

fn sentence<const N: usize>(first: String, rest: [Option<String>; N]) -> String {
    let parts: Vec<String> = std::iter::once(Some(first)).chain(rest).flatten().collect();
    format!("{}.", parts.join(", "))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// In powers of ten, as makers and shops count.
fn size(bytes: f64) -> String {
    match bytes {
        1e12.. => format!("{:.1} TB", bytes / 1e12),
        1e9.. => format!("{:.1} GB", bytes / 1e9),
        _ => format!("{:.0} MB", bytes / 1e6),
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        172_800.0.. => format!("{:.0} days", (seconds / 86_400.0).floor()),
        7200.0.. => format!("{:.0} hours", (seconds / 3600.0).floor()),
        _ => format!("{:.0} minutes", (seconds / 60.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_sentences() {
        let readings = [
            Reading::text(&metric::HOST_VENDOR, "", "LENOVO"),
            Reading::text(&metric::HOST_MODEL, "", "ThinkPad L390"),
            Reading::text(&metric::BATTERY_STATE, "BAT0", "not_charging"),
            Reading::number(&metric::BATTERY_HEALTH, "BAT0", 0.708),
            Reading::number(&metric::FILESYSTEM_UTILIZATION, "/", 0.93),
            Reading::number(&metric::FILESYSTEM_FREE, "/", 16.2e9),
            Reading::text(&metric::DRIVE_VERDICT, "sda", "failed"),
            Reading::number(&metric::DRIVE_PENDING, "sda", 24.0),
            Reading::text(&metric::REACH_STATE, "Canvas", "unreachable"),
            Reading::text(&metric::REACH_FAILED_STAGE, "Canvas", "dns"),
            Reading::text(
                &metric::REACH_CAUSE,
                "Canvas",
                "no name server answered in time",
            ),
            Reading::unavailable(&metric::UPTIME, "", "why"),
        ];
        let words = describe(&readings);
        for line in [
            "LENOVO ThinkPad L390.",
            "Battery BAT0: 71 % of its capacity when new, not charging.",
            "File system /: 93 % used, 16.2 GB free.",
            "Drive sda: says that it is FAILING, 24 unreadable sectors.",
            "Canvas: NOT reachable, it fails at dns, no name server answered in time.",
            "11 readings; 1 more could not be taken, each with its reason in the report.",
        ] {
            assert!(
                words.lines().any(|other| other == line),
                "`{line}` is not in:\n{words}"
            );
        }
    }

    #[test]
    fn nothing_at_all_has_words_too() {
        let words = describe(&[]);
        assert!(
            words.contains("No battery.") && words.contains("Load: not known."),
            "{words}"
        );
    }
}
