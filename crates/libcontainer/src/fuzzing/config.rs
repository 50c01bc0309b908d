//! From bytes to plans.

use std::path::Path;

use super::{image, is_told};
use crate::cgroup::Layout;
use crate::config::{Config, violations};
use crate::container::{Keyring, Pivot};
use crate::host::{HostCapabilities, HostFacts, SecurityModules};
use crate::plan::tests::order::{does_each_once, fills_its_slots, keeps_the_order};
use crate::plan::tests::{host, hybrid, v2};
use crate::plan::{Plan, Request, compile};

/// Hosts that differ in everything that compile asks for.
fn hosts() -> [HostFacts; 4] {
    let mut old = host(hybrid());
    old.kernel.mount_setattr = false;
    old.kernel.time_namespace_at_exec = false;
    old.kernel.keyrings = false;
    let mut rootless = host(v2());
    rootless.lsm = SecurityModules { apparmor: false, selinux: false };
    rootless.capabilities = HostCapabilities { last: 40, effective: 0, bounding: 0 };
    [host(v2()), host(Layout::None), old, rootless]
}

fn requests() -> [Request<'static>; 2] {
    let request = |has_stdio, preserve_fds, pivot, keyring| Request {
        id: "box",
        bundle: Path::new("/bundle"),
        has_stdio,
        preserve_fds,
        pivot,
        keyring,
    };
    [
        request(false, 0, Pivot::PivotRoot, Keyring::New),
        request(true, 7, Pivot::MoveMount, Keyring::Inherit),
    ]
}

/// Loads and compiles, and panics if a property is broken.
pub(super) fn check(bytes: &[u8]) {
    let config = match Config::from_bytes(bytes) {
        Ok(config) => config,
        Err(error) => return is_told(&error),
    };
    assert_eq!(violations(config.spec()), []);
    // What was read is written and read again as the same.
    let again = serde_json::to_vec(config.spec()).unwrap();
    let again = Config::from_bytes(&again).unwrap();
    for facts in hosts() {
        for request in requests() {
            let plan = match compile(&config, &request, &facts) {
                Ok(plan) => plan,
                Err(error) => {
                    is_told(&error);
                    continue;
                }
            };
            check_plan(&plan);
            let again = compile(&again, &request, &facts).unwrap();
            assert_eq!(plan.image.bytes(), again.image.bytes(), "{plan}\n{again}");
        }
    }
}

fn check_plan(plan: &Plan) {
    assert!(image::is_accepted(plan.image.bytes()), "{plan}");
    is_shown(plan);
    keeps_the_order("a plan", plan);
    does_each_once("a plan", plan);
    fills_its_slots("a plan", plan);
    for place in plan.host.cgroups.places() {
        place.verify().unwrap();
    }
    for hook in &plan.hooks {
        hook.deadline();
        let of_hook = Plan::of_hook(hook, Path::new("/bundle")).unwrap();
        assert!(image::is_accepted(of_hook.image.bytes()), "{of_hook}");
    }
}

/// Each thing has one line in the text form, whatever strings the configuration has.
fn is_shown(plan: &Plan) {
    let host = &plan.host;
    let maps = host.id_maps.as_ref().map_or(0, |(users, groups)| users.len() + groups.len());
    let counts = [
        2,
        plan.received.len(),
        host.cgroups.places().count(),
        host.limits.len(),
        usize::from(host.cgroup_owner.is_some()),
        maps,
        usize::from(host.oom_score_adj.is_some()),
        host.device_rules.len(),
        plan.hooks.len(),
        plan.warnings.len(),
        plan.image.records().count(),
    ];
    let text = plan.to_string();
    assert_eq!(text.matches('\n').count(), counts.iter().sum::<usize>(), "{text}");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
}
