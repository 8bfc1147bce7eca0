//! What of a device may be the cause that it shares with others. Pure.

use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::Value;

use crate::device::DeviceState;
use crate::incident::Scope;

/// What of a device may be the cause that it shares with others; empty words are not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traits {
    /// The site whose network it is on.
    pub site_network: String,
    /// Whether it is on no school's network.
    pub off_campus: bool,
    /// Manufacturer and model.
    pub model: String,
    /// The build of its operating system.
    pub build: String,
    /// Its group.
    pub group: String,
    /// Who re-signs its secure connections.
    pub issuer: String,
}

impl Traits {
    /// The traits of a device as it was last heard of.
    #[must_use]
    pub fn of(state: &DeviceState) -> Self {
        let vantage = text(state, &metric::VANTAGE);
        let device = &state.device;
        let model = format!("{} {}", device.vendor, device.model);
        let issuer =
            state
                .instances(&metric::TLS_INTERCEPTED)
                .find_map(|(_, latest)| match &latest.value {
                    Value::Text(issuer) if issuer != "none" => Some(issuer.clone()),
                    _ => None,
                });
        Self {
            site_network: vantage
                .strip_prefix("on-campus:")
                .unwrap_or_default()
                .to_owned(),
            off_campus: vantage == "off-campus",
            model: model.trim().to_owned(),
            build: build(state),
            group: device.group.as_ref().map_or("", |g| g.as_str()).to_owned(),
            issuer: issuer.unwrap_or_default(),
        }
    }

    /// Every scope that the device is in.
    pub fn scopes(&self) -> impl Iterator<Item = Scope> {
        let known = |word: &str, scope: fn(String) -> Scope| {
            (!word.is_empty()).then(|| scope(word.to_owned()))
        };
        let both = (!self.model.is_empty() && !self.build.is_empty())
            .then(|| Scope::ModelAndBuild(self.model.clone(), self.build.clone()));
        [
            Some(Scope::Everywhere),
            self.off_campus.then_some(Scope::OffCampus),
            known(&self.site_network, Scope::SiteNetwork),
            known(&self.build, Scope::Build),
            known(&self.model, Scope::Model),
            both,
            known(&self.group, Scope::Group),
            known(&self.issuer, Scope::Issuer),
        ]
        .into_iter()
        .flatten()
    }

    /// Whether the device is in a scope.
    #[must_use]
    pub fn is_in(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Everywhere => true,
            Scope::OffCampus => self.off_campus,
            Scope::SiteNetwork(site) => self.site_network == *site,
            Scope::Build(build) => self.build == *build,
            Scope::Model(model) => self.model == *model,
            Scope::ModelAndBuild(model, build) => self.model == *model && self.build == *build,
            Scope::Group(group) => self.group == *group,
            Scope::Issuer(issuer) => self.issuer == *issuer,
        }
    }
}

/// The build, with the system's name: build numbers of two systems have nothing to do with each other.
fn build(state: &DeviceState) -> String {
    let (name, build) = (
        text(state, &metric::OS_NAME),
        text(state, &metric::OS_BUILD),
    );
    if build.is_empty() {
        return String::new();
    }
    format!("{name} {build}").trim().to_owned()
}

fn text<'a>(state: &'a DeviceState, metric: &'static Metric) -> &'a str {
    match state.get(metric, "").map(|latest| &latest.value) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}
