//! What most schools depend on, by a name that configurations can use in place of an address.

/// One service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// The name in a configuration.
    pub id: &'static str,
    /// What tickets call it.
    pub name: &'static str,
    /// Its address; `None` where each school has its own, which the configuration gives.
    pub url: Option<&'static str>,
}

/// Every preset. The addresses are those that browsers begin at; each answers without a login.
pub static PRESETS: [Preset; 11] = [
    preset(
        "google-classroom",
        "Google Classroom",
        "https://classroom.google.com/",
    ),
    preset(
        "canvas",
        "Canvas",
        "https://canvas.instructure.com/login/canvas",
    ),
    preset("schoology", "Schoology", "https://app.schoology.com/login"),
    own("sis", "SIS"),
    preset("gmail", "Gmail", "https://mail.google.com/"),
    preset("outlook", "Outlook", "https://outlook.office.com/"),
    own("mail", "Mail"),
    preset("meet", "Google Meet", "https://meet.google.com/"),
    preset("zoom", "Zoom", "https://zoom.us/"),
    preset("teams", "Microsoft Teams", "https://teams.microsoft.com/"),
    // In clear, since a login page can only answer in place of that.
    preset(
        "internet",
        "Internet",
        "http://connectivitycheck.gstatic.com/generate_204",
    ),
];

const fn preset(id: &'static str, name: &'static str, url: &'static str) -> Preset {
    Preset {
        id,
        name,
        url: Some(url),
    }
}

const fn own(id: &'static str, name: &'static str) -> Preset {
    Preset {
        id,
        name,
        url: None,
    }
}

/// The preset of a name.
///
/// # Errors
/// Which names there are.
pub fn find(id: &str) -> Result<Preset, String> {
    let found = PRESETS.iter().find(|preset| preset.id == id).copied();
    found.ok_or_else(|| {
        let known: Vec<&str> = PRESETS.iter().map(|preset| preset.id).collect();
        format!("there is no preset `{id}`; there are {}", known.join(", "))
    })
}
