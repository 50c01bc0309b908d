//! How the process is scheduled, on processors and for disks, and where its memory comes from.

use oci_spec::runtime::{
    LinuxMemoryPolicy, LinuxSchedulerPolicy as Policy, MemoryPolicyModeType as Mode, Process,
    Scheduler, Spec,
};

use super::{Report, Rule};
use crate::config::view;

pub(super) const RULES: &[Rule] = &[
    Rule {
        property: "process.scheduler.nice",
        allowed: "-20 to 19, with SCHED_OTHER or SCHED_BATCH",
        check: |spec, report| {
            let Some((policy, nice)) = scheduler(spec, |scheduler| *scheduler.nice()) else {
                return;
            };
            let in_range = (-20..=19).contains(&nice);
            if nice != 0 && !(in_range && matches!(policy, Policy::SchedOther | Policy::SchedBatch))
            {
                report.wrong(format!("invalid scheduler.nice: {nice} when policy is {policy}"));
            }
        },
    },
    Rule {
        property: "process.scheduler.priority",
        allowed: "1 to 99 with SCHED_FIFO and SCHED_RR, else none",
        check: |spec, report| {
            let priority = |scheduler: &Scheduler| Some(scheduler.priority().unwrap_or(0));
            let Some((policy, priority)) = scheduler(spec, priority) else { return };
            let allowed = match policy {
                Policy::SchedFifo | Policy::SchedRr => 1..=99,
                _ => 0..=0,
            };
            if !allowed.contains(&priority) {
                report.wrong(format!("invalid scheduler.priority: {priority} for {policy}"));
            }
        },
    },
    Rule {
        property: "process.scheduler",
        allowed: "runtime, deadline and period with SCHED_DEADLINE",
        check: deadlines,
    },
    Rule {
        property: "process.ioPriority.priority",
        allowed: "0 to 7",
        check: |spec, report| {
            let priority = view::process(spec).and_then(|process| process.io_priority().as_ref());
            let priority = priority.map(oci_spec::runtime::LinuxIOPriority::priority);
            if let Some(priority) = priority.filter(|priority| !(0..=7).contains(priority)) {
                report.wrong(format!("invalid ioPriority.Priority: {priority}"));
            }
        },
    },
    Rule {
        property: "linux.memoryPolicy.nodes",
        allowed: "nodes for the modes that have any, none for MPOL_DEFAULT and MPOL_LOCAL",
        check: nodes,
    },
];

/// The policy and another property of the scheduler, if both are there.
fn scheduler<T>(spec: &Spec, property: impl Fn(&Scheduler) -> Option<T>) -> Option<(Policy, T)> {
    let scheduler =
        view::process(spec).and_then(|process: &Process| process.scheduler().as_ref())?;
    Some((*scheduler.policy(), property(scheduler)?))
}

fn deadlines(spec: &Spec, report: &mut Report<'_>) {
    for (name, of) in [
        ("runtime", Scheduler::runtime as fn(&Scheduler) -> &Option<u64>),
        ("deadline", Scheduler::deadline),
        ("period", Scheduler::period),
    ] {
        let time = scheduler(spec, |scheduler| *of(scheduler));
        if time.is_some_and(|(policy, time)| time != 0 && policy != Policy::SchedDeadline) {
            let wrong = format!("scheduler {name} can only be specified for SchedDeadline policy");
            report.wrong_at(report.property().name(name), wrong);
        }
    }
}

/// set_mempolicy(2): which modes have a set of nodes. `MPOL_PREFERRED` without one means the local node.
fn nodes(spec: &Spec, report: &mut Report<'_>) {
    let policy = view::linux(spec).and_then(|linux| linux.memory_policy().as_ref());
    let Some(policy) = policy else { return };
    let nodes = view::text(policy.nodes().as_ref());
    match LinuxMemoryPolicy::mode(policy) {
        Mode::MpolDefault | Mode::MpolLocal if nodes.is_some() => {
            report.wrong("memory policy mode requires 0 nodes");
        }
        Mode::MpolBind
        | Mode::MpolInterleave
        | Mode::MpolWeightedInterleave
        | Mode::MpolPreferredMany
            if nodes.is_none() =>
        {
            report.wrong("memory policy mode requires at least one node but got 0");
        }
        _ => {}
    }
}
