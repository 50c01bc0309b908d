//! x
use integration::{Bundle, needs_root};

#[test]
fn runs() {
    needs_root!();
    let b = Bundle::sh("hostname; cat /proc/self/mountinfo");
    eprintln!("{}", b.run().ok());
}

#[test]
fn creates() {
    needs_root!();
    let b = Bundle::sleeping();
    let p = b.started();
    eprintln!("{:?} {:?} {}", p.cgroups(), p.descriptors(), b.call(&["state", b.id()]).stdout);
    assert_eq!(b.status(), "running");
}
