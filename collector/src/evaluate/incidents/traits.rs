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
    /// The kind of link by which it is on a network.
    pub link: String,
    /// Name and version of its radio's driver.
    pub driver: String,
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
        let vantage = text(state, &metric::VANTAGE, "");
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
            link: link(state).to_owned(),
            driver: driver(state).to_owned(),
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
        let both = |one: &str, other: &str, scope: fn(String, String) -> Scope| {
            let is_known = !one.is_empty() && !other.is_empty();
            is_known.then(|| scope(one.to_owned(), other.to_owned()))
        };
        [
            Some(Scope::Everywhere),
            self.off_campus.then_some(Scope::OffCampus),
            both(&self.site_network, &self.link, Scope::SiteLink),
            known(&self.site_network, Scope::SiteNetwork),
            known(&self.driver, Scope::Driver),
            known(&self.build, Scope::Build),
            known(&self.model, Scope::Model),
            both(&self.model, &self.build, Scope::ModelAndBuild),
            known(&self.group, Scope::Group),
            known(&self.issuer, Scope::Issuer),
        ]
        .into_iter()
        .flatten()
    }

    /// Leaves out what only a network's or a radio's faults can come from: the same driver in two models is
    /// not why their clocks are wrong.
    pub fn forget_network(&mut self) {
        self.link.clear();
        self.driver.clear();
    }

    /// Whether the device is in a scope.
    #[must_use]
    pub fn is_in(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Everywhere => true,
            Scope::OffCampus => self.off_campus,
            Scope::SiteLink(site, link) => self.site_network == *site && self.link == *link,
            Scope::SiteNetwork(site) => self.site_network == *site,
            Scope::Driver(driver) => self.driver == *driver,
            Scope::Build(build) => self.build == *build,
            Scope::Model(model) => self.model == *model,
            Scope::ModelAndBuild(model, build) => self.model == *model && self.build == *build,
            Scope::Group(group) => self.group == *group,
            Scope::Issuer(issuer) => self.issuer == *issuer,
        }
    }
}

/// The kind of the link that is up, the fastest of several; that of a radio where none is.
fn link(state: &DeviceState) -> &'static str {
    let is_up = |kind: &str| {
        let mut links = state.instances(&metric::LINK_KIND);
        links.any(|(link, _)| {
            state.says(&metric::LINK_KIND, link, kind)
                && state.says(&metric::LINK_STATE, link, "up")
        })
    };
    let kinds = ["ethernet", "wifi", "cellular"];
    let found = kinds.into_iter().find(|kind| is_up(kind));
    found.unwrap_or_else(|| radio(state).map_or("", |_| "wifi"))
}

fn driver(state: &DeviceState) -> &str {
    radio(state).map_or("", |radio| text(state, &metric::LINK_DRIVER, radio))
}

/// The link that is a radio.
fn radio(state: &DeviceState) -> Option<&str> {
    let mut links = state.instances(&metric::LINK_KIND);
    links.find_map(|(link, _)| state.is_radio(link).then_some(link))
}

/// The build, with the system's name: build numbers of two systems have nothing to do with each other.
fn build(state: &DeviceState) -> String {
    let (name, build) = (
        text(state, &metric::OS_NAME, ""),
        text(state, &metric::OS_BUILD, ""),
    );
    if build.is_empty() {
        return String::new();
    }
    format!("{name} {build}").trim().to_owned()
}

fn text<'a>(state: &'a DeviceState, metric: &'static Metric, instance: &str) -> &'a str {
    match state.get(metric, instance).map(|latest| &latest.value) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::device::laptop::Laptop;

    #[test]
    fn a_laptop_is_on_the_link_that_is_up_and_has_its_radios_driver() {
        let mut laptop = Laptop::new();
        let mut read = |metric, instance: &str, word: &str| {
            laptop.read(metric, instance, Value::Text(word.to_owned()));
            let traits = Traits::of(&laptop.state);
            (traits.link, traits.driver)
        };
        let is = |link: &str, driver: &str| (link.to_owned(), driver.to_owned());
        assert_eq!(read(&metric::VANTAGE, "", "on-campus:Lincoln"), is("", ""));
        read(&metric::LINK_KIND, "ethernet0", "ethernet");
        read(&metric::LINK_STATE, "ethernet0", "down");
        let down = read(&metric::LINK_KIND, "wifi0", "wifi");
        assert_eq!(down, is("wifi", ""), "none is up: it has no cable");
        read(&metric::LINK_STATE, "wifi0", "up");
        let driver = read(&metric::LINK_DRIVER, "wifi0", "iwlwifi 6.8.0");
        assert_eq!(driver, is("wifi", "iwlwifi 6.8.0"));
        let docked = read(&metric::LINK_STATE, "ethernet0", "up");
        assert_eq!(docked, is("ethernet", "iwlwifi 6.8.0"));
        let traits = Traits::of(&laptop.state);
        let scopes: Vec<String> = traits.scopes().map(|scope| scope.to_string()).collect();
        for scope in [
            "by cable at Lincoln",
            "at Lincoln",
            "with driver iwlwifi 6.8.0",
        ] {
            assert!(scopes.contains(&scope.to_owned()), "{scopes:?}");
        }
    }
}
