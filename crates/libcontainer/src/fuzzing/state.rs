//! Files that we wrote, and somebody may have changed; and the passwd file of an image.

use arbitrary::{Result, Unstructured};

use crate::cgroup::Placement;
use crate::init::passwd;
use crate::state::{Record, check_id};

/// One of the parsers, which the first byte chooses: a record, the text of the link beside it, an id, a
/// passwd file.
pub(super) fn check(bytes: &[u8]) {
    let Some((&which, bytes)) = bytes.split_first() else { return };
    match which {
        b'r' => record(bytes),
        b'c' => {
            if let Ok(placement) = serde_json::from_slice::<Placement>(bytes) {
                let text = serde_json::to_string(&placement).unwrap();
                assert_eq!(serde_json::from_str::<Placement>(&text).unwrap(), placement);
            }
        }
        b'i' => id(&String::from_utf8_lossy(bytes)),
        b'p' => any_passwd(bytes),
        _ => drop(known_passwd(&mut Unstructured::new(bytes))),
    }
}

fn record(bytes: &[u8]) {
    let Ok(record) = serde_json::from_slice::<Record>(bytes) else { return };
    let text = serde_json::to_vec(&record).unwrap();
    assert_eq!(serde_json::from_slice::<Record>(&text).unwrap(), record);
    for hook in &record.intent.hooks {
        hook.deadline();
    }
}

/// An id is the name of a directory, and of nothing else.
fn id(id: &str) {
    if check_id(id).is_ok() {
        assert!(!id.is_empty() && !id.contains(['/', '\0', '~', '\n']) && id != "." && id != "..");
    }
}

/// What is found stands in the first line that has the number, as its sixth field.
fn any_passwd(bytes: &[u8]) {
    for uid in [0, 1, 10, u32::MAX] {
        let Some(home) = passwd::home(bytes, uid) else { continue };
        assert!(home.starts_with(b"/") && !home.iter().any(|b| matches!(b, 0 | b'\n' | b':')));
        let number = uid.to_string();
        let is_of = |line: &&[u8]| {
            let fields: Vec<&[u8]> = line.split(|&b| b == b':').collect();
            let digits = fields.get(2).map(|field| String::from_utf8_lossy(field));
            let digits = digits.map(|digits| digits.trim_start_matches('0').to_owned());
            fields.get(5) == Some(&home)
                && digits.as_deref() == Some(number.trim_start_matches('0'))
        };
        assert!(bytes.split(|&b| b == b'\n').any(|line| is_of(&line)), "{}", bytes.escape_ascii());
    }
}

/// A file as passwd(5) has it: the first line of a user counts.
fn known_passwd(bytes: &mut Unstructured<'_>) -> Result<()> {
    let mut file = Vec::new();
    let mut first = None;
    let wanted: u32 = bytes.int_in_range(0..=3)?;
    for _ in 0..bytes.int_in_range(0..=6)? {
        let uid: u32 = bytes.int_in_range(0..=3)?;
        let field = |bytes: &mut Unstructured<'_>| -> Result<Vec<u8>> {
            let field = bytes.arbitrary::<&[u8]>()?;
            Ok(field.iter().copied().filter(|b| !matches!(b, 0 | b':' | b'\n')).collect())
        };
        let (name, gecos, home) = (field(bytes)?, field(bytes)?, field(bytes)?);
        let home = [b"/", &home[..]].concat();
        let number = format!(":x:{uid}:0:");
        file.extend_from_slice(
            &[&name[..], number.as_bytes(), &gecos, b":", &home, b":/bin/sh\n"].concat(),
        );
        if uid == wanted && first.is_none() {
            first = Some(home);
        }
    }
    assert_eq!(passwd::home(&file, wanted), first.as_deref(), "{}", file.escape_ascii());
    Ok(())
}
