//! Which channels are told of what. Pure.

use rollcall_shared::id::Label;
use rollcall_shared::time::UnixMs;

use crate::alert::{Alert, Audience, Severity};
use crate::device::DeviceState;
use crate::evaluate::device::AlertChange;
use crate::notification::{Event, Notification, NotificationKey};

/// What a channel wants to be told; an empty list admits all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The channel's name.
    pub channel: String,
    /// Whose work it takes.
    pub audiences: Vec<Audience>,
    /// Of which sites.
    pub sites: Vec<Label>,
    /// From which severity on.
    pub min_severity: Severity,
}

impl Route {
    /// Whether the channel wants to be told.
    #[must_use]
    pub fn admits(&self, alert: &Alert, site: &Label) -> bool {
        alert.severity >= self.min_severity
            && (self.audiences.is_empty() || self.audiences.contains(&alert.audience))
            && (self.sites.is_empty() || self.sites.contains(site))
    }
}

/// The notifications that belong into the same batch as a change of an alert.
#[must_use]
pub fn notifications(
    change: &AlertChange,
    state: &DeviceState,
    routes: &[Route],
    now: UnixMs,
) -> Vec<Notification> {
    let (alert, event) = match change {
        AlertChange::Fire(alert) => (alert, Event::Fired),
        AlertChange::Resolve(alert) if alert.fired.is_some() => (alert, Event::Resolved),
        _ => return Vec::new(),
    };
    let site = &state.device.site;
    let wanted = routes.iter().filter(|route| route.admits(alert, site));
    wanted
        .map(|route| Notification {
            key: NotificationKey {
                alert: alert.id,
                event,
                channel: route.channel.clone(),
            },
            alert: alert.clone(),
            site: site.clone(),
            device_name: device_name(state),
            created: now,
            attempts: 0,
            due: now,
            last_error: String::new(),
            set_aside: false,
        })
        .collect()
}

fn device_name(state: &DeviceState) -> String {
    let device = &state.device;
    let name = format!("{} {}", device.vendor, device.model);
    match name.trim() {
        "" => "Laptop".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::device::laptop::{HOUR, Laptop};
    use crate::evaluate::rules::RuleSet;
    use rollcall_shared::metric;
    use rollcall_shared::reading::Value;

    fn route(channel: &str) -> Route {
        Route {
            channel: channel.to_owned(),
            audiences: Vec::new(),
            sites: Vec::new(),
            min_severity: Severity::Info,
        }
    }

    #[test]
    fn a_change_is_told_to_those_who_want_it() {
        let mut laptop = Laptop::new();
        laptop.read(&metric::BATTERY_HEALTH, "BAT0", Value::Number(0.4));
        let changes = laptop.run(&RuleSet::built_in(), HOUR);
        let coach = Route {
            audiences: vec![Audience::TechnologyCoach],
            ..route("coach")
        };
        let grave = Route {
            min_severity: Severity::Critical,
            ..route("grave")
        };
        let elsewhere = Route {
            sites: vec!["Washington".parse().unwrap()],
            ..route("elsewhere")
        };
        let routes = [route("all"), coach, grave, elsewhere];
        let told: Vec<Notification> = changes
            .iter()
            .flat_map(|change| notifications(change, &laptop.state, &routes, laptop.now))
            .collect();
        assert_eq!(told.len(), 1, "noting and pending tell nobody: {told:?}");
        assert_eq!(
            (told[0].key.channel.as_str(), told[0].key.event),
            ("all", Event::Fired)
        );
        assert_eq!(told[0].device_name, "LENOVO 300e");
    }
}
