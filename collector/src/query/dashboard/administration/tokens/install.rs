//! What is pasted to bring the agent onto laptops, for each of its packages; the guides in
//! `deploy/guides/` say the same at length.

use crate::query::dashboard::html::Html;

/// The agent is handed out with the collector of its version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Settings of the agent for tools that manage Macs, with places for the two values.
const PROFILE: &str = include_str!("../../../../../../deploy/macos/rollcall-agent.mobileconfig");

/// What stands in the profile for the address and for the token.
const PROFILE_PLACES: [&str; 2] = ["rollcall.district.example:443", "rc1.PUT-YOUR-TOKEN-HERE"];

/// A way onto laptops.
struct Road {
    /// Of which package, on which system.
    name: &'static str,
    /// Where it is pasted.
    place: &'static str,
    /// What is pasted.
    text: String,
}

/// Every way, the most frequent first, each to be opened.
pub(super) fn roads(token: &str, collector: &str) -> Html {
    Html::new()
        .raw("<h3>Ready to paste</h3><p>The package lies beside you; ")
        .raw("<code>deploy/package</code> makes it.</p>")
        .each(all(token, collector).iter().enumerate(), |(at, road)| {
            Html::new()
                .raw("<details name=\"install\"")
                .raw_if(at == 0, " open")
                .raw("><summary>")
                .raw(road.name)
                .raw("</summary><p class=\"muted\">")
                .raw(road.place)
                .raw("</p><pre tabindex=\"0\" aria-label=\"")
                .raw(road.name)
                .raw("\"><code>")
                .text(&road.text)
                .raw("</code></pre></details>")
        })
}

fn all(token: &str, collector: &str) -> [Road; 8] {
    let values = format!(
        "sudo mkdir -p /etc/rollcall\n\
         sudo sh -c 'umask 077; cat > /etc/rollcall/agent.env' <<'END'\n\
         ROLLCALL_COLLECTOR={collector}\n\
         ROLLCALL_TOKEN={token}\n\
         END\n"
    );
    let road = |name, place, text| Road { name, place, text };
    [
        road(
            "Windows, .msi",
            "In an administrator's prompt, or as the command of an app in Intune, Configuration Manager or PDQ.",
            format!(
                "msiexec /i rollcall-agent-{VERSION}.msi /qn COLLECTOR={collector} TOKEN={token}"
            ),
        ),
        road(
            "Debian and Ubuntu, .deb",
            "In a shell. The token lies in a file that root alone reads, until the agent has enrolled.",
            format!("{values}sudo apt-get install -y ./rollcall-agent_{VERSION}_amd64.deb"),
        ),
        road(
            "Fedora and RHEL, .rpm",
            "In a shell. The token lies in a file that root alone reads, until the agent has enrolled.",
            format!("{values}sudo dnf install -y ./rollcall-agent-{VERSION}-1.x86_64.rpm"),
        ),
        road(
            "macOS, .pkg",
            "In Terminal, or as a script of your management tool.",
            format!(
                "sudo mkdir -p '/Library/Application Support/Rollcall'\n\
                 sudo sh -c 'umask 077; cat > \"/Library/Application Support/Rollcall/token\"' <<'END'\n{token}\nEND\n\
                 echo 'collector = \"{collector}\"' | sudo tee '/Library/Application Support/Rollcall/agent.toml'\n\
                 sudo installer -pkg rollcall-agent-{VERSION}.pkg -target /"
            ),
        ),
        road(
            "macOS, configuration profile",
            "As a custom profile in Jamf or Mosyle, beside the package; save it as rollcall-agent.mobileconfig.",
            PROFILE
                .replace(PROFILE_PLACES[0], collector)
                .replace(PROFILE_PLACES[1], token),
        ),
        road(
            "Disk image of Linux",
            "On the reference machine, as root, as the last step before it is imaged. Each clone enrols by itself.",
            format!(
                "dpkg --install ./rollcall-agent_{VERSION}_amd64.deb\n\
                 systemctl stop rollcall-agent\n\
                 (umask 077; printf '%s\\n' '{token}' > /etc/rollcall/token)\n\
                 printf '%s\\n' 'collector = \"{collector}\"' > /etc/rollcall/agent.toml\n\
                 rollcall-agent prepare-image"
            ),
        ),
        road(
            "Disk image of Windows",
            "On the reference machine, in PowerShell as an administrator, before sysprep. Each clone enrols by itself.",
            format!(
                "msiexec /i rollcall-agent-{VERSION}.msi /qn COLLECTOR={collector} TOKEN={token} | Out-Null\n\
                 sc.exe stop rollcall-agent\n\
                 & \"$env:ProgramFiles\\Rollcall\\rollcall-agent.exe\" prepare-image\n\
                 Set-Content -NoNewline \"$env:ProgramData\\Rollcall\\token\" '{token}'"
            ),
        ),
        road(
            "Installed already, without a token",
            "In a shell; on Windows call rollcall-agent.exe in an administrator's prompt, with the token in a file.",
            format!(
                "(umask 077; cat > rollcall-token <<'END'\n{token}\nEND\n)\n\
                 sudo rollcall-agent enroll --collector {collector} --token-file rollcall-token\n\
                 rm rollcall-token"
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands for the two values in the guides.
    const TOKEN: &str = "rc1.YOUR-TOKEN";
    const COLLECTOR: &str = "rollcall.district.example:443";

    /// The guides, whose blocks the stories of the packages run.
    const GUIDES: [&str; 6] = [
        include_str!("../../../../../../deploy/guides/sccm.md"),
        include_str!("../../../../../../deploy/guides/script.md"),
        include_str!("../../../../../../deploy/guides/disk-image.md"),
        include_str!("../../../../../../deploy/guides/munki.md"),
        include_str!("../../../../../../deploy/windows/README.md"),
        include_str!("../../../../../../deploy/macos/README.md"),
    ];

    #[test]
    fn what_is_pasted_is_what_the_guides_say() {
        let said = GUIDES.concat();
        for road in all(TOKEN, COLLECTOR) {
            let names = road.text.split(['\n', ' ', '/', '\'', '"', '\\']);
            let named =
                names.filter(|word| word.starts_with("rollcall-agent") && word.contains(VERSION));
            for name in named {
                assert!(said.contains(name), "{}: no guide has {name}", road.name);
            }
            assert!(
                road.text.contains(TOKEN) && road.text.contains(COLLECTOR),
                "{}",
                road.name
            );
        }
        let windows = &all(TOKEN, COLLECTOR)[0].text;
        assert!(said.contains(windows.as_str()), "{windows}");
        for line in [
            "rollcall-agent prepare-image",
            "umask 077",
            "ROLLCALL_TOKEN=rc1.YOUR-TOKEN",
        ] {
            assert!(said.contains(line), "{line}");
        }
    }

    /// What is pasted into a shell of Unix is a script that one can read to its end.
    #[test]
    fn a_shell_takes_what_is_pasted() {
        for road in all(TOKEN, COLLECTOR) {
            if road.name.contains("Windows") || road.name.contains("profile") {
                continue;
            }
            let read = std::process::Command::new("sh")
                .args(["-n", "-c", &road.text])
                .output();
            let read = read.unwrap();
            let said = String::from_utf8_lossy(&read.stderr);
            assert!(
                read.status.success() && said.is_empty(),
                "{}: {said}",
                road.name
            );
        }
    }

    #[test]
    fn a_profile_has_both_values_and_no_place_left() {
        let profile = &all("rc1.x", "rollcall.example:8443")[4].text;
        assert!(profile.contains("<string>rc1.x</string>"));
        assert!(profile.contains("<string>rollcall.example:8443</string>"));
        assert!(PROFILE_PLACES.iter().all(|place| !profile.contains(place)));
    }
}
