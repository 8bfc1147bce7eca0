//! A technician with a keyboard: signs in, finds a laptop, reads its chart.

use rollcall_tests::rig::browser::{Window, key};

use super::Desk;

/// Most presses of Tab until a chart has the focus: what lies before it on the page of a laptop.
const TABS: usize = 120;

#[test]
fn browser_a_laptop_is_found_and_its_chart_read_by_keyboard_alone() {
    let Some(desk) = Desk::open("a laptop's chart by keyboard alone, in Chromium") else {
        return;
    };
    let window = desk.driver.open();
    window.resize(1280, 900);
    window.go(&desk.at("/devices"));
    window.wait_at("/sign-in");
    tab_to(&window, "input[name=token]");
    window.write("rca_wrong");
    window.keys([key::ENTER]);
    window.wait_text("[role=alert]", "unknown or revoked");
    // What the server refuses, the console tells of; it is no mistake of the page.
    let refused = window.complaints();
    assert!(
        refused.iter().all(|said| said.contains("401")),
        "{refused:?}"
    );
    tab_to(&window, "input[name=token]");
    window.write(&desk.collector.admin_token());
    window.keys([key::ENTER]);
    window.wait(
        "the first page",
        "document.querySelector('header.top form')",
    );

    window.keys(["g", "f"]);
    window.wait_at("/devices");
    let laptop = desk.laptop();
    window.keys(["/"]);
    window.write(&laptop);
    window.keys([key::ENTER]);
    window.wait_at(&format!("/devices?search={laptop}"));
    assert_eq!(
        window.count("table.fleet tbody tr"),
        1,
        "by its id there is one"
    );
    window.keys(["j", key::ENTER]);
    window.wait_at(&format!("/devices/{laptop}"));

    tab_to(&window, "nav a[href*='range=week']");
    window.keys([key::ENTER]);
    window.wait_at(&format!("/devices/{laptop}?part=battery&range=week"));
    window.wait(
        "charts that zoom",
        "document.querySelector('[data-history][data-ready]')",
    );
    tab_to(&window, "figure[role=application]");
    let told = || window.text("figure:focus .told").unwrap_or_default();
    window.keys([key::HOME]);
    let first = told();
    window.keys([key::END]);
    let last = told();
    assert!(
        first.contains(": ") && last.contains(": "),
        "{first}, {last}"
    );
    assert_ne!(first, last, "the ends of a week have their own times");
    window.keys([key::LEFT]);
    assert_ne!(told(), last, "one to the left");
    window.keys(["+"]);
    let told_of = "document.querySelector('figure:focus .told').textContent";
    window.wait("half of the week", &format!("{told_of}.includes(' to ')"));
    window.keys(["0"]);
    assert_eq!(told(), "All of it");
    desk.nothing_wrong(&window);
}

#[test]
fn browser_a_chart_tells_its_values_under_the_pointer_and_zooms_where_it_is_dragged() {
    let Some(desk) = Desk::open("a chart by the pointer, in Chromium") else {
        return;
    };
    let window = desk.admin();
    let laptop = desk.laptop();
    window.go(&desk.at(&format!("/devices/{laptop}?part=battery&range=week")));
    window.wait(
        "charts that zoom",
        "document.querySelector('[data-history][data-ready]')",
    );
    let chart = "figure[data-metric='hw.battery.charge']";
    let (plot, told) = (format!("{chart} .u-over"), format!("{chart} .told"));
    window.point(&plot, 0.1, 0.5, false);
    let at = window.text(&told).unwrap_or_default();
    assert!(at.contains(": "), "a moment and its value: {at}");
    window.point(&plot, 0.3, 0.6, true);
    let shows =
        |words: &str| format!("document.querySelector(\"{told}\").textContent.includes('{words}')");
    window.wait("a part of the week", &shows(" to "));
    let _ = window.run(&format!("document.querySelector(\"{chart}\").focus()"));
    window.keys(["0"]);
    window.wait("the whole week", &shows("All of it"));
    desk.nothing_wrong(&window);
}

/// Presses Tab until what a selector means has the focus.
fn tab_to(window: &Window, selector: &str) {
    for _ in 0..TABS {
        let here = format!("return document.activeElement.matches(\"{selector}\")");
        if window.run(&here) == true {
            return;
        }
        window.keys([key::TAB]);
    }
    panic!("{selector} cannot be reached by Tab");
}
