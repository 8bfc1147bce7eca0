//! Configurations.

use rollcall_shared::configuration::{Beacon, Configuration, Schedule, Target};

use super::{ConvertError, required};
use crate::v1;

impl TryFrom<v1::Configuration> for Configuration {
    type Error = ConvertError;

    fn try_from(wire: v1::Configuration) -> Result<Self, ConvertError> {
        let schedule = required("schedule", wire.schedule)?.into();
        let mut targets = Vec::with_capacity(wire.targets.len());
        for (at, target) in wire.targets.into_iter().enumerate() {
            targets.push(label(format!("targets[{at}].name"), target.name, |name| {
                Target {
                    name,
                    url: target.url,
                }
            })?);
        }
        let mut beacons = Vec::with_capacity(wire.beacons.len());
        for (at, beacon) in wire.beacons.into_iter().enumerate() {
            beacons.push(label(format!("beacons[{at}].site"), beacon.site, |site| {
                Beacon {
                    site,
                    address: beacon.address,
                }
            })?);
        }
        let (revision, clear_serial) = (wire.revision, wire.clear_serial);
        let configuration = Self {
            revision,
            schedule,
            targets,
            beacons,
            clear_serial,
        };
        configuration
            .check()
            .map_err(|error| ConvertError::new(error.field, error.problem))?;
        Ok(configuration)
    }
}

impl From<&Configuration> for v1::Configuration {
    fn from(configuration: &Configuration) -> Self {
        let target = |target: &Target| v1::Target {
            name: target.name.to_string(),
            url: target.url.clone(),
        };
        let beacon = |beacon: &Beacon| v1::Beacon {
            site: beacon.site.to_string(),
            address: beacon.address.clone(),
        };
        Self {
            revision: configuration.revision,
            schedule: Some(configuration.schedule.into()),
            targets: configuration.targets.iter().map(target).collect(),
            beacons: configuration.beacons.iter().map(beacon).collect(),
            clear_serial: configuration.clear_serial,
        }
    }
}

impl From<v1::Schedule> for Schedule {
    fn from(wire: v1::Schedule) -> Self {
        let v1::Schedule {
            fast_s,
            network_s,
            disk_s,
            drive_s,
            slow_s,
            send_s,
            full_s,
        } = wire;
        Self {
            fast_s,
            network_s,
            disk_s,
            drive_s,
            slow_s,
            send_s,
            full_s,
        }
    }
}

impl From<Schedule> for v1::Schedule {
    fn from(schedule: Schedule) -> Self {
        let Schedule {
            fast_s,
            network_s,
            disk_s,
            drive_s,
            slow_s,
            send_s,
            full_s,
        } = schedule;
        Self {
            fast_s,
            network_s,
            disk_s,
            drive_s,
            slow_s,
            send_s,
            full_s,
        }
    }
}

fn label<T>(
    field: String,
    text: String,
    build: impl FnOnce(rollcall_shared::id::Label) -> T,
) -> Result<T, ConvertError> {
    text.try_into()
        .map(build)
        .map_err(|error| ConvertError::new(field, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_the_wire_and_is_checked() {
        let configuration = Configuration {
            revision: 3,
            targets: vec![Target {
                name: "Canvas".parse().unwrap(),
                url: "https://canvas.example".to_owned(),
            }],
            beacons: vec![Beacon {
                site: "Lincoln".parse().unwrap(),
                address: "beacon.example:8444".to_owned(),
            }],
            clear_serial: true,
            ..Configuration::default()
        };
        let mut wire = v1::Configuration::from(&configuration);
        assert_eq!(Configuration::try_from(wire.clone()), Ok(configuration));
        wire.targets[0].name = "\n".to_owned();
        assert_eq!(
            Configuration::try_from(wire.clone()).unwrap_err().field,
            "targets[0].name"
        );
        wire.schedule = None;
        assert_eq!(Configuration::try_from(wire).unwrap_err().field, "schedule");
    }
}
