//! What must come before what, whatever a configuration asks for.

use oci_spec::runtime::LinuxNamespaceType;

use super::{fixture, fixtures, host, hybrid, plan, supported, v2};
use crate::cgroup::Layout;
use crate::plan::format::{GATE, NO_SLOT, Operation as Op, attach};
use crate::plan::{Plan, Received};

/// Every fixture on every layout, as far as it can be compiled.
fn plans() -> Vec<(String, Plan, bool)> {
    let mut plans = Vec::new();
    for name in fixtures() {
        for layout in [hybrid(), v2(), Layout::None] {
            let (config, _) = supported(fixture(&name), &host(layout.clone()));
            let namespaces = config.spec().linux().as_ref().and_then(|l| l.namespaces().as_deref());
            let users = namespaces
                .is_some_and(|all| all.iter().any(|ns| ns.typ() == LinuxNamespaceType::User));
            if let Ok(plan) = plan(&config, &host(layout)) {
                plans.push((name.clone(), plan, users));
            }
        }
    }
    assert!(plans.len() > 40, "{}", plans.len());
    plans
}

fn all(plan: &Plan, wanted: impl Fn(&Op<'_>) -> bool) -> Vec<usize> {
    let records = plan.image.records().enumerate();
    records.filter(|(_, record)| wanted(&record.operation)).map(|(index, _)| index).collect()
}

/// What is a step that needs init to be in the container's cgroup, or shows it.
fn shows_cgroups(operation: &Op<'_>) -> bool {
    match operation {
        Op::CopyUp { .. } => true,
        Op::Filesystem { kind, .. } => kind.bytes().starts_with(b"cgroup"),
        Op::OpenTree { path, .. } => path.bytes().starts_with(b"/sys/fs/cgroup/"),
        _ => false,
    }
}

type Wanted = fn(&Op<'_>) -> bool;

/// Rules for every plan: all of the first come before all of the second.
const BEFORE: &[(&str, Wanted, Wanted)] = &[
    ("cgroups before what shows them", |op| matches!(op, Op::JoinCgroups {}), shows_cgroups),
    (
        "cgroups before their namespace",
        |op| matches!(op, Op::JoinCgroups {}),
        |op| matches!(op, Op::Unshare { .. }),
    ),
    ("cgroup namespace before what shows it", |op| matches!(op, Op::Unshare { .. }), shows_cgroups),
    (
        "namespaces before mounts",
        |op| matches!(op, Op::JoinNamespace { .. } | Op::Clone { .. }),
        |op| matches!(op, Op::Propagation { .. } | Op::OpenTree { .. } | Op::Filesystem { .. }),
    ),
    (
        "limits are raised before privileges go",
        |op| matches!(op, Op::RaiseRlimit { .. }),
        |op| matches!(op, Op::JoinNamespace { .. } | Op::Clone { .. } | Op::BecomeRoot {}),
    ),
    (
        "limits before privileges go",
        |op| matches!(op, Op::SetRlimit { .. }),
        |op| matches!(op, Op::DropBounding { .. } | Op::SetUser { .. }),
    ),
    (
        "limits after what needs more",
        |op| matches!(op, Op::Filesystem { .. } | Op::OpenTree { .. } | Op::Attach { .. }),
        |op| matches!(op, Op::SetRlimit { .. }),
    ),
    (
        "bounding set and groups before the user",
        |op| matches!(op, Op::DropBounding { .. } | Op::SetGroups { .. }),
        |op| matches!(op, Op::SetUser { .. }),
    ),
    (
        "the user before its capabilities",
        |op| matches!(op, Op::SetUser { .. } | Op::Chdir { .. } | Op::OwnStdio { .. }),
        |op| matches!(op, Op::SetCapabilities { .. } | Op::NoNewPrivileges {}),
    ),
    (
        "privileges before the program",
        |op| matches!(op, Op::SetCapabilities { .. } | Op::NoNewPrivileges {}),
        |op| matches!(op, Op::FindProgram { .. }),
    ),
    (
        "everything in the root before the root is entered",
        |op| {
            matches!(
                op,
                Op::Attach { .. }
                    | Op::Mask { .. }
                    | Op::MakeReadonly { .. }
                    | Op::MakeNode { .. }
                    | Op::MakeDirectory { .. }
                    | Op::Symlink { .. }
                    | Op::Terminal { .. }
                    | Op::Home { .. }
                    | Op::Attributes { .. }
            )
        },
        |op| matches!(op, Op::PivotRoot {} | Op::MoveRoot {}),
    ),
    (
        "nodes before paths are restricted",
        |op| matches!(op, Op::MakeNode { .. } | Op::MakeDirectory { .. } | Op::Symlink { .. }),
        |op| matches!(op, Op::Mask { .. } | Op::MakeReadonly { .. }),
    ),
    (
        "mounts and nodes before the terminal",
        |op| matches!(op, Op::Attach { .. } | Op::MakeNode { .. } | Op::Symlink { .. }),
        |op| matches!(op, Op::Terminal { .. }),
    ),
    (
        "hooks before the terminal, which is not theirs",
        |op| matches!(op, Op::RuntimeHooks {}),
        |op| matches!(op, Op::Terminal { .. }),
    ),
    (
        "the terminal before paths are restricted",
        |op| matches!(op, Op::Terminal { .. }),
        |op| matches!(op, Op::Mask { .. } | Op::MakeReadonly { .. }),
    ),
    (
        "root of the user namespace before the terminal",
        |op| matches!(op, Op::BecomeRoot {}),
        |op| matches!(op, Op::Terminal { .. }),
    ),
    (
        "the terminal before the streams are the user's",
        |op| matches!(op, Op::Terminal { .. }),
        |op| matches!(op, Op::OwnStdio { .. }),
    ),
    (
        "the root is entered before descriptors are closed",
        |op| matches!(op, Op::PivotRoot {} | Op::MoveRoot {}),
        |op| matches!(op, Op::CloseSlots {}),
    ),
    (
        "descriptors are closed before the user gets anywhere",
        |op| matches!(op, Op::CloseSlots {}),
        |op| matches!(op, Op::Chdir { .. } | Op::SetUser { .. }),
    ),
    (
        "the keyring is that of the namespace's root",
        |op| matches!(op, Op::BecomeRoot {}),
        |op| matches!(op, Op::SessionKeyring { .. }),
    ),
    (
        "a procfs is opened while the host's is seen",
        |op| matches!(op, Op::OpenProc { .. }),
        |op| matches!(op, Op::Attach { .. } | Op::PivotRoot {} | Op::MoveRoot {}),
    ),
    (
        "sysctls are set by root",
        |op| matches!(op, Op::Sysctl { .. }),
        |op| matches!(op, Op::SetUser { .. }),
    ),
    (
        "labels are taken from the last credentials only",
        |op| {
            matches!(
                op,
                Op::SetUser { .. } | Op::SetCapabilities { .. } | Op::SessionKeyring { .. }
            )
        },
        |op| matches!(op, Op::ExecLabel { .. }),
    ),
    (
        "the procfs is closed before the program is looked up",
        |op| matches!(op, Op::CloseProc {}),
        |op| matches!(op, Op::FindProgram { .. }),
    ),
    ("found before created", |op| matches!(op, Op::FindProgram { .. }), |op| *op == Op::Gate {}),
    ("created before executed", |op| *op == Op::Gate {}, |op| matches!(op, Op::Execute { .. })),
];

/// The rules that a plan has both sides of; panics if one of them is broken.
pub(crate) fn keeps_the_order(name: &str, plan: &Plan) -> Vec<&'static str> {
    let mut kept = Vec::new();
    for &(rule, first, second) in BEFORE {
        let (first, second) = (all(plan, first), all(plan, second));
        if let (Some(last), Some(next)) = (first.last(), second.first()) {
            assert!(last < next, "{rule}: {last} is not before {next} in {name}:\n{plan}");
            kept.push(rule);
        }
    }
    kept
}

#[test]
fn what_must_come_before_comes_before() {
    let kept: Vec<_> =
        plans().iter().flat_map(|(name, plan, _)| keeps_the_order(name, plan)).collect();
    for (rule, ..) in BEFORE {
        assert!(kept.contains(rule), "{rule}: no plan has both");
    }
}

#[test]
fn in_a_user_namespace_the_host_is_opened_before_its_ids_are_left() {
    let mut seen = 0;
    for (name, plan, users) in plans() {
        let become_root = all(&plan, |op| matches!(op, Op::BecomeRoot {}));
        assert_eq!(become_root.len(), usize::from(users), "{name}");
        let Some(&become_root) = become_root.first() else { continue };
        // The container's cgroups can be reached by everybody; the null device for masks is the host's
        // and known to be there.
        let opened = all(&plan, |op| match op {
            Op::OpenTree { path, .. } => !path.bytes().starts_with(b"/sys/fs/cgroup/"),
            Op::OpenDevice { path, .. } => path.bytes() != b"/dev/null",
            Op::AttachRoot { .. } => true,
            _ => false,
        });
        assert!(opened.iter().all(|&index| index < become_root), "{name}: {opened:?}\n{plan}");
        assert!(
            all(
                &plan,
                |op| matches!(op, Op::MakeNode { mode, .. } if mode & libc::S_IFMT != libc::S_IFIFO)
            )
            .is_empty()
        );
        seen += usize::from(opened.len() > 6);
    }
    assert!(seen > 3);
}

/// Panics unless a plan does this once, and ends in the program.
pub(crate) fn does_each_once(name: &str, plan: &Plan) {
    let once: [(&str, Wanted); 9] = [
        ("NotDumpable", |op| matches!(op, Op::NotDumpable {})),
        ("Session", |op| matches!(op, Op::Session {})),
        ("AttachRoot", |op| matches!(op, Op::AttachRoot { .. })),
        ("the root", |op| matches!(op, Op::PivotRoot {} | Op::MoveRoot {})),
        ("CloseSlots", |op| matches!(op, Op::CloseSlots {})),
        ("DropBounding", |op| matches!(op, Op::DropBounding { .. })),
        ("SetUser", |op| matches!(op, Op::SetUser { .. })),
        ("SetCapabilities", |op| matches!(op, Op::SetCapabilities { .. })),
        ("Gate", |op| matches!(op, Op::Gate {})),
    ];
    for (what, wanted) in once {
        assert_eq!(all(plan, wanted).len(), 1, "{what} in {name}");
    }
    let clones = all(plan, |op| matches!(op, Op::Clone { .. }));
    assert_eq!(clones.len(), usize::from(plan.two_stages), "{name}");
    let opened = all(plan, |op| matches!(op, Op::OpenProc { .. }));
    assert_eq!(opened.len(), all(plan, |op| matches!(op, Op::CloseProc {})).len(), "{name}");
    let last = plan.image.records().last().unwrap();
    assert!(matches!(last.operation, Op::Execute { .. }), "{name}");
}

#[test]
fn every_plan_does_these_once_and_ends_in_the_program() {
    for (name, plan, _) in plans() {
        does_each_once(&name, &plan);
    }
}

/// What init would find out: a slot is used after it is filled, and not after it is emptied.
pub(crate) fn fills_its_slots(name: &str, plan: &Plan) {
    let mut full: Vec<u32> = (0..).take(plan.received.len()).collect();
    for (index, record) in plan.image.records().enumerate() {
        let operation = record.operation;
        let used = |slots: &[u32]| {
            for slot in slots.iter().filter(|&&slot| slot != NO_SLOT) {
                assert!(full.contains(slot), "{name} {index}: {operation}\n{plan}");
            }
        };
        match operation {
            Op::OpenTree { slot, .. }
            | Op::OpenDevice { slot, .. }
            | Op::Filesystem { slot, .. } => {
                assert!(!full.contains(&slot), "{name} {index}: {operation}\n{plan}");
                full.push(slot);
            }
            Op::Attach { slot, flags, .. } => {
                used(&[slot]);
                if flags & (attach::KEEP | attach::COPY) == 0 {
                    full.retain(|&kept| kept != slot);
                }
            }
            Op::JoinNamespace { slot, .. } => {
                used(&[slot]);
                full.retain(|&kept| kept != slot);
            }
            Op::Attributes { slot, .. }
            | Op::Flags { slot, .. }
            | Op::CopyMode { slot, .. }
            | Op::CopyUp { slot, .. }
            | Op::AttachRoot { slot, .. } => used(&[slot]),
            Op::Clone { cgroup, .. } => used(&[cgroup]),
            Op::Mask { null, empty, .. } => used(&[null, empty]),
            Op::Stdio { first } => {
                used(&[first, first + 1, first + 2]);
                full.retain(|kept| !(first..first + 3).contains(kept));
            }
            Op::Gate {} => used(&[GATE]),
            Op::CloseSlots {} => full.retain(|&slot| slot == 0),
            _ => {}
        }
    }
    assert_eq!(plan.received.first(), Some(&Received::Gate));
}

#[test]
fn slots_are_full_when_they_are_used() {
    for (name, plan, _) in plans() {
        fills_its_slots(&name, &plan);
    }
}

#[test]
fn the_same_is_compiled_to_the_same() {
    for name in fixtures() {
        // The sets of capabilities are read into hash sets, with another order each time.
        let images = [(); 3].map(|()| {
            let (config, _) = supported(fixture(&name), &host(hybrid()));
            let plan = plan(&config, &host(hybrid())).unwrap();
            (plan.image.bytes().to_vec(), plan.to_string())
        });
        assert_eq!(images[0], images[1], "{name}");
        assert_eq!(images[1], images[2], "{name}");
    }
}

/// Linux 5.10 and 5.11: what mount_setattr(2) does is done by mount(2), once the mount is attached.
#[test]
fn without_mount_setattr_attributes_come_after_the_mount_is_attached() {
    let old = |layout| {
        let mut host = host(layout);
        host.kernel.mount_setattr = false;
        host
    };
    for name in fixtures() {
        let (config, _) = supported(fixture(&name), &host(hybrid()));
        let plan = match plan(&config, &old(hybrid())) {
            Ok(plan) => plan,
            Err(error) => {
                let options = fixture(&name).pointer("/mounts").unwrap().to_string();
                assert!(options.contains("\"r"), "{name}: no recursive option: {error}");
                assert!(error.to_string().contains("need mount_setattr(2), Linux 5.12"), "{error}");
                assert!(error.property().is_some_and(|p| p.starts_with("mounts[")), "{error:?}");
                continue;
            }
        };
        assert!(all(&plan, |op| matches!(op, Op::Attributes { .. })).is_empty(), "{name}");
        for (index, record) in plan.image.records().enumerate() {
            let Op::Flags { slot, .. } = record.operation else { continue };
            let before = all(&plan, |op| match *op {
                Op::Attach { slot: attached, flags, .. } => {
                    attached == slot && flags & attach::KEEP != 0
                }
                Op::AttachRoot { slot: attached, .. } => attached == slot,
                _ => false,
            });
            assert!(before.first().is_some_and(|&attached| attached < index), "{name}:\n{plan}");
        }
    }
    let (config, _) = supported(fixture("podman-5"), &host(v2()));
    let plan = plan(&config, &old(v2())).unwrap();
    assert!(!all(&plan, |op| matches!(op, Op::Flags { .. })).is_empty());
    assert!(!all(&plan, |op| matches!(op, Op::MakeReadonly { by_mount: 1, .. })).is_empty());
}
