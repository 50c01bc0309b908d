//! Ids: who gets one, and that a container is not the next one of its id.

use std::fs;
use std::sync::Barrier;
use std::thread;

use integration::{Bundle, needs_root};
use libcontainer::{Delete, ErrorKind};

use crate::failures::attempt;
use crate::own_process::Given;

#[test]
fn one_of_two_gets_the_id() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let given = Given::from_bundle(&bundle);
    for round in 0..30 {
        let barrier = Barrier::new(2);
        let race = || {
            barrier.wait();
            attempt(&given, &format!("race-{round}"))
        };
        let (one, other) = thread::scope(|scope| {
            let racers = [(); 2].map(|()| scope.spawn(race));
            let [one, other] = racers.map(|racer| racer.join().expect("create does not panic"));
            (one, other)
        });
        let (winner, loser) = match (one, other) {
            (Ok(winner), Err(loser)) | (Err(loser), Ok(winner)) => (winner, loser),
            both => panic!("not one winner: {both:?}"),
        };
        assert_eq!(loser.kind(), ErrorKind::Exists, "{loser}");
        assert_eq!(loser.to_string(), "container with given ID already exists");
        winner.start().expect("start");
        winner.delete(Delete::Force).expect("delete");
        winner.wait().expect("wait");
    }
}

#[test]
fn a_value_is_one_container_and_not_the_next_of_its_id() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let given = Given::from_bundle(&bundle);
    let first = given.create("again");
    assert_eq!(first.pid(), Some(first.state().unwrap().pid));
    first.delete(Delete::Force).unwrap();
    let is_gone = || {
        let gone = ErrorKind::NotFound;
        assert_eq!(first.state().unwrap_err().kind(), gone);
        assert_eq!(first.start().unwrap_err().kind(), gone);
        assert_eq!(first.kill(9).unwrap_err().kind(), gone);
        assert_eq!(first.delete(Delete::Stopped).unwrap_err().kind(), gone);
        assert!(first.delete(Delete::Force).unwrap().is_empty());
    };
    // Somebody has just taken the id, and written nothing yet.
    let taken = given.state_root().join(first.id());
    fs::create_dir(&taken).unwrap();
    is_gone();
    // And holds it for longer than anybody waits.
    let directory = fs::File::open(&taken).unwrap();
    directory.lock().unwrap();
    assert!(first.delete(Delete::Force).unwrap().is_empty());
    drop(directory);
    fs::remove_dir(&taken).unwrap();
    let second = given.start("again");
    is_gone();
    // Whose a record is that can't be read nobody knows.
    let record = taken.join("record.json");
    let text = fs::read(&record).unwrap();
    fs::write(&record, "").unwrap();
    let damaged = || {
        let said = first.delete(Delete::Force).unwrap_err();
        assert_eq!(said.kind(), ErrorKind::InvalidState, "{said}");
    };
    damaged();
    fs::remove_file(&record).unwrap();
    damaged();
    fs::write(&record, text).unwrap();
    assert_eq!(second.state().unwrap().status, libcontainer::Status::Running);
    second.delete(Delete::Force).unwrap();
}
