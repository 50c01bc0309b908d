//! What every fixture is compiled to. `just snapshots` writes the files anew after a change; they are
//! reviewed like code.

use std::fmt::Write;

use super::{fixture, fixtures, host, hybrid, plan, supported, v2};
use crate::cgroup::Layout;

fn check(name: &str, layout: Layout, text: &str) {
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let host = match layout {
        Layout::None => "a host without cgroups",
        Layout::V1 { .. } => "a hybrid host",
        Layout::V2(_) => "a host with cgroup v2",
    };
    settings.set_description(host);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The plan, behind what this version refuses of the fixture.
fn text(name: &str, layout: Layout) -> String {
    let facts = host(layout);
    let (config, refused) = supported(fixture(name), &facts);
    let mut text = String::new();
    if let Some(refused) = refused {
        writeln!(text, "refused:\n  {}\nwithout that:\n", refused.replace("; ", "\n  ")).unwrap();
    }
    match plan(&config, &facts) {
        Ok(plan) => write!(text, "{plan}").unwrap(),
        Err(error) => writeln!(text, "error {error}").unwrap(),
    }
    text
}

#[test]
fn every_fixture_is_compiled_as_recorded() {
    let names = fixtures();
    assert!(names.len() >= 19, "{names:?}");
    for name in names {
        check(&name, hybrid(), &text(&name, hybrid()));
    }
}

#[test]
fn the_layout_of_the_cgroups_makes_the_difference() {
    check("spec-v2", v2(), &text("spec", v2()));
    check("spec-no-cgroups", Layout::None, &text("spec", Layout::None));
    check("minimal-no-cgroups", Layout::None, &text("minimal", Layout::None));
    check("userns-v2", v2(), &text("userns", v2()));
    check("podman-5-v2", v2(), &text("podman-5", v2()));
    check("every-property-v2", v2(), &text("every-property", v2()));
}
