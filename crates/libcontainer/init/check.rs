//! Looks at the whole plan before anything of it is done. A plan that turned out to be broken half-way
//! would have made half a container by then, with the caller's privileges.

use super::format::{GATE, Header, NO_SLOT, Operation, Reader, Record, at_end};

/// Whether init can execute an image from its first operation to its last one, which replaces the process.
pub(crate) fn plan(header: &Header, mut reader: Reader<'_>) -> bool {
    let mut ends = false;
    while !at_end(&reader) {
        let Some(record) = Record::decode(&mut reader) else { return false };
        // Nothing can come behind the program.
        if ends || !has_its_slots(&record.operation, header.slots) {
            return false;
        }
        ends = matches!(record.operation, Operation::Execute { .. });
    }
    ends
}

/// Whether the slots that an operation names are among those that there are.
fn has_its_slots(operation: &Operation<'_>, slots: u32) -> bool {
    use Operation as Op;
    let exists = |slot: u32| slot < slots;
    let may_exist = |slot: u32| slot == NO_SLOT || exists(slot);
    match *operation {
        Op::JoinNamespace { slot, .. }
        | Op::OpenTree { slot, .. }
        | Op::OpenDevice { slot, .. }
        | Op::AttachRoot { slot, .. }
        | Op::Filesystem { slot, .. }
        | Op::Attributes { slot, .. }
        | Op::Flags { slot, .. }
        | Op::CopyMode { slot, .. }
        | Op::CopyUp { slot, .. }
        | Op::Attach { slot, .. } => exists(slot),
        Op::Clone { cgroup, .. } => may_exist(cgroup),
        Op::Mask { null, empty, .. } => may_exist(null) && may_exist(empty),
        Op::Stdio { first } => first.checked_add(2).is_some_and(exists),
        Op::Gate {} => exists(GATE),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::format::{HEADER, Text, Texts};
    use crate::plan::tests::{fixture, fixtures, host, hybrid, plan as compiled, supported, v2};

    fn is_good(image: &[u8]) -> bool {
        Header::decode(image).is_some_and(|(header, reader)| plan(&header, reader))
    }

    /// An image of these operations, with so many slots.
    fn image(slots: u32, operations: &[Operation<'_>]) -> Vec<u8> {
        let mut records = Vec::new();
        for operation in operations {
            let mut record = Vec::new();
            operation.encode(Text::from_c_str(c"x"), &mut record);
            records.extend_from_slice(&u32::try_from(record.len()).unwrap().to_le_bytes());
            records.extend_from_slice(&record);
        }
        let length = u32::try_from(HEADER + records.len()).unwrap();
        let mut image = Vec::new();
        Header { length, slots, received: 0, preserved: 0 }.encode(&mut image);
        [image, records].concat()
    }

    fn execute() -> Operation<'static> {
        Operation::Execute { arguments: Texts::none(), environment: Texts::none() }
    }

    #[test]
    fn every_fixture_is_taken() {
        for name in fixtures() {
            for facts in [host(hybrid()), host(v2())] {
                let (config, _) = supported(fixture(&name), &facts);
                assert!(is_good(compiled(&config, &facts).unwrap().image.bytes()), "{name}");
            }
        }
    }

    #[test]
    fn a_part_of_a_plan_is_none() {
        let (config, _) = supported(fixture("spec"), &host(v2()));
        let plan = compiled(&config, &host(v2())).unwrap();
        for length in HEADER..plan.image.bytes().len() {
            let mut cut = plan.image.bytes()[..length].to_vec();
            cut[8..12].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
            assert!(!is_good(&cut), "cut to {length}");
        }
    }

    #[test]
    fn the_program_comes_once_and_last() {
        let session = Operation::Session {};
        for (operations, good) in [
            (&[session, execute()][..], true),
            (&[execute()], true),
            (&[], false),
            (&[session], false),
            (&[execute(), session], false),
            (&[execute(), execute()], false),
        ] {
            assert_eq!(is_good(&image(1, operations)), good, "{operations:?}");
        }
    }

    /// The fields that are slots, found by their names: one that `has_its_slots` doesn't know fails here.
    #[test]
    fn an_operation_has_only_slots_that_there_are() {
        // What the samples have in every such field.
        const SAMPLE: u32 = 0x8765_4321;
        let mut seen = 0;
        for operation in Operation::samples() {
            let text = format!("{operation:?}");
            let names = ["slot: ", "cgroup: ", "null: ", "empty: ", "first: "];
            let has_slots = names.iter().any(|name| text.contains(name));
            let gate = matches!(operation, Operation::Gate {});
            assert_eq!(has_its_slots(&operation, 0), !has_slots && !gate, "{text}");
            let last = if text.contains("first: ") { SAMPLE + 2 } else { SAMPLE };
            assert_eq!(has_its_slots(&operation, last), !has_slots, "{text}");
            assert!(has_its_slots(&operation, last + 1), "{text}");
            seen += usize::from(has_slots);
        }
        assert!(seen >= 13, "{seen}");
        let none = |cgroup| Operation::Clone { flags: 0, cgroup };
        assert!(has_its_slots(&none(NO_SLOT), 0));
        assert!(!has_its_slots(&Operation::Stdio { first: u32::MAX - 1 }, u32::MAX));
    }
}
