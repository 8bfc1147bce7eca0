//! The agents' versions on the page of the fleet: who is to be updated.

use super::cell;
use crate::device::version::{AgentVersions, VersionStanding};
use crate::query::dashboard::html::Html;

/// Says how many laptops run an agent that this collector is not promised to understand; nothing where none
/// does.
pub(super) fn warning(versions: &[AgentVersions]) -> Html {
    let count = |standing: VersionStanding| -> u64 {
        let such = versions.iter().filter(|of| of.standing == standing);
        such.map(|of| of.devices).sum()
    };
    let line = |devices: u64, words: &'static str| {
        (devices > 0).then(|| Html::new().number(devices).raw(words))
    };
    let old = line(
        count(VersionStanding::TooOld),
        " have an agent that is too old for this collector: update these laptops. ",
    );
    let new = line(
        count(VersionStanding::TooNew),
        " have an agent that is too new for it: update this collector. ",
    );
    if old.is_none() && new.is_none() {
        return Html::new();
    }
    Html::new()
        .raw("<p class=\"problem\" id=\"versions-problem\">")
        .maybe(old, |line| line)
        .maybe(new, |line| line)
        .raw("<a href=\"#versions\">By site</a></p>")
}

/// How many laptops of each site run which version.
pub(super) fn table(versions: &[AgentVersions]) -> Html {
    if versions.is_empty() {
        return Html::new();
    }
    Html::new()
        .raw("<details class=\"breakdown\" id=\"versions\"><summary>Agent versions by site</summary>")
        .raw("<table role=\"table\"><thead role=\"rowgroup\"><tr role=\"row\">")
        .each(["Site", "Version", "Laptops", "For this collector"], |head| {
            Html::new()
                .raw("<th role=\"columnheader\" scope=\"col\">")
                .raw(head)
                .raw("</th>")
        })
        .raw("</tr></thead><tbody role=\"rowgroup\">")
        .each(versions, |of| {
            let version = match of.version.as_str() {
                "" => "not told yet",
                version => version,
            };
            Html::new()
                .raw("<tr role=\"row\">")
                .put(cell("Site", Html::new().text(&of.site)))
                .put(cell("Version", Html::new().text(version)))
                .put(cell("Laptops", Html::new().number(of.devices)))
                .put(cell("For this collector", standing(of.standing)))
                .raw("</tr>")
        })
        .raw("</tbody></table></details>")
}

fn standing(standing: VersionStanding) -> Html {
    Html::new().raw(match standing {
        VersionStanding::Current => "the same",
        VersionStanding::Older => "older, and understood",
        VersionStanding::Newer => "newer, and understood",
        VersionStanding::TooOld => {
            "<span class=\"badge warning\">Too old</span> update these laptops"
        }
        VersionStanding::TooNew => {
            "<span class=\"badge warning\">Too new</span> update this collector"
        }
        VersionStanding::Unknown => "<span class=\"muted\">unknown</span>",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: &str, devices: u64, standing: VersionStanding) -> AgentVersions {
        AgentVersions {
            site: "Lincoln".to_owned(),
            version: version.to_owned(),
            devices,
            standing,
        }
    }

    #[test]
    fn only_what_may_not_be_understood_is_warned_of() {
        let fine = [of("0.1.0", 3, VersionStanding::Current)];
        assert_eq!(warning(&fine), Html::new());
        let mixed = [
            of("0.1.0", 3, VersionStanding::Current),
            of("9.0.0", 2, VersionStanding::TooNew),
            of("9.1.0", 2, VersionStanding::TooNew),
        ];
        let said = warning(&mixed);
        let words = "\">4 have an agent that is too new for it: update this collector. <a";
        assert!(said.as_str().contains(words), "{said:?}");
        assert!(table(&mixed).as_str().contains("Too new</span>"));
    }
}
