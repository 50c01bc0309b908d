//! Facts of the host: asked of it, or given by the caller.

use integration::config::array;
use integration::{Bundle, needs_root};
use libcontainer::{CreateOptions, Delete, HostFacts, Runtime, Stdio};

use crate::own_process::Given;

#[test]
fn facts_that_the_caller_gives_are_what_counts() {
    needs_root!();
    let bundle = Bundle::sh("exit 7");
    let given = Given::from_bundle(&bundle);
    let options = CreateOptions::new().stdio(Stdio::Null);
    let mut elsewhere = given.clone();
    array(&mut elsewhere.config, "/mounts").retain(|mount| mount["type"] != "cgroup");
    let plan = |facts: HostFacts| {
        let runtime = Runtime::with_facts(given.state_root(), facts);
        runtime.plan("id", &elsewhere.bundle(), &options).expect("plan").to_string()
    };
    let facts = HostFacts::probe().expect("facts");
    let same = given.runtime().plan("id", &elsewhere.bundle(), &options).expect("plan").to_string();
    assert_eq!(plan(facts.clone()), same);
    assert!(same.contains("\ncgroup /"), "{same}");
    let mut minimal = HostFacts::minimal();
    minimal.kernel.mount_setattr = true;
    assert!(!plan(minimal).contains("\ncgroup /"));

    let runtime = Runtime::with_facts(given.state_root(), facts);
    let id = format!("{}-facts", given.id);
    let container = runtime.create(&id, &given.bundle(), &options).expect("create").container;
    container.start().expect("start");
    assert_eq!(container.wait().expect("wait").code(), Some(7));
    container.delete(Delete::Stopped).expect("delete");
}
