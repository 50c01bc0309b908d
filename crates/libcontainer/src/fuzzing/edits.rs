//! Changes fixtures: values, keys and items, where other fixtures have theirs.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use arbitrary::{Result, Unstructured};
use serde_json::{Map, Value, json};

use crate::plan::tests::{fixture, fixtures};

/// The fixtures, and what stands in them at each path: `/mounts/*/options` and so on.
struct Pool {
    documents: Vec<Value>,
    members: BTreeMap<String, Vec<(String, Value)>>,
    items: BTreeMap<String, Vec<Value>>,
}

fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| {
        let documents: Vec<Value> = fixtures().iter().map(|name| fixture(name)).collect();
        let mut pool = Pool { documents, members: BTreeMap::new(), items: BTreeMap::new() };
        for document in pool.documents.clone() {
            pool.add("", document);
        }
        pool
    })
}

impl Pool {
    fn add(&mut self, path: &str, value: Value) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    self.add(&format!("{path}/{key}"), value.clone());
                    self.members.entry(path.to_owned()).or_default().push((key, value));
                }
            }
            Value::Array(items) => {
                for value in items {
                    self.add(&format!("{path}/*"), value.clone());
                    self.items.entry(path.to_owned()).or_default().push(value);
                }
            }
            _ => {}
        }
    }
}

/// A fixture with some changes, in JSON.
pub(super) fn edited(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut document = bytes.choose(&pool().documents)?.clone();
    for _ in 0..bytes.int_in_range(1..=5)? {
        edit(bytes, &mut document)?;
    }
    Ok(serde_json::to_vec(&document).unwrap())
}

/// One change, somewhere.
fn edit(bytes: &mut Unstructured<'_>, document: &mut Value) -> Result<()> {
    let mut path = String::new();
    let mut value = document;
    loop {
        let inner = match value {
            Value::Object(members) if !members.is_empty() => members.len(),
            Value::Array(items) if !items.is_empty() => items.len(),
            _ => break,
        };
        if bytes.ratio(1, 4)? {
            break;
        }
        let at = bytes.choose_index(inner)?;
        value = match value {
            Value::Object(members) => {
                let (key, value) = members.iter_mut().nth(at).unwrap();
                path = format!("{path}/{key}");
                value
            }
            Value::Array(items) => {
                path.push_str("/*");
                &mut items[at]
            }
            _ => return Ok(()),
        };
    }
    if bytes.ratio(1, 12)? {
        *value = scalar(bytes)?;
        return Ok(());
    }
    match value {
        Value::Object(members) => edit_members(bytes, members, &path),
        Value::Array(items) => edit_items(bytes, items, &path),
        Value::String(text) => edit_text(bytes, text),
        Value::Number(_) => {
            *value = number(bytes)?;
            Ok(())
        }
        Value::Bool(_) | Value::Null => {
            *value = Value::Bool(bytes.arbitrary()?);
            Ok(())
        }
    }
}

fn edit_members(
    bytes: &mut Unstructured<'_>,
    members: &mut Map<String, Value>,
    path: &str,
) -> Result<()> {
    if !members.is_empty() && bytes.ratio(1, 3)? {
        let key = members.keys().nth(bytes.choose_index(members.len())?).unwrap().clone();
        members.shift_remove(&key);
        return Ok(());
    }
    let (key, value) = match pool().members.get(path) {
        Some(known) if bytes.ratio(9, 10)? => bytes.choose(known)?.clone(),
        _ => (string(bytes)?, scalar(bytes)?),
    };
    members.insert(key, value);
    Ok(())
}

fn edit_items(bytes: &mut Unstructured<'_>, items: &mut Vec<Value>, path: &str) -> Result<()> {
    if !items.is_empty() && bytes.ratio(1, 3)? {
        items.remove(bytes.choose_index(items.len())?);
        return Ok(());
    }
    let value = match pool().items.get(path) {
        Some(known) if bytes.ratio(9, 10)? => bytes.choose(known)?.clone(),
        _ => scalar(bytes)?,
    };
    items.insert(bytes.int_in_range(0..=items.len())?, value);
    Ok(())
}

fn edit_text(bytes: &mut Unstructured<'_>, text: &mut String) -> Result<()> {
    let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let at = *bytes.choose(&ends)?;
    match bytes.int_in_range(0..=3)? {
        0 => *text = string(bytes)?,
        1 => text.truncate(at),
        2 => text.insert_str(at, &string(bytes)?),
        _ => text.insert(at, bytes.arbitrary()?),
    }
    Ok(())
}

fn scalar(bytes: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match bytes.int_in_range(0..=6)? {
        0 => Value::Null,
        1 => Value::Bool(bytes.arbitrary()?),
        2 | 3 => number(bytes)?,
        4 => json!({}),
        5 => json!([]),
        _ => Value::String(string(bytes)?),
    })
}

fn number(bytes: &mut Unstructured<'_>) -> Result<Value> {
    const EDGES: &[i64] = &[
        0,
        1,
        -1,
        2,
        7,
        255,
        256,
        1000,
        4095,
        4096,
        65_535,
        i32::MAX as i64,
        i32::MIN as i64,
        u32::MAX as i64 - 1,
        u32::MAX as i64,
        u32::MAX as i64 + 1,
        i64::MAX,
        i64::MIN,
    ];
    Ok(match bytes.int_in_range(0..=7)? {
        0 => json!(bytes.arbitrary::<i64>()?),
        1 => json!(u64::MAX - u64::from(bytes.arbitrary::<u8>()?)),
        2 => json!(bytes.arbitrary::<u8>()?),
        3 => json!(1.5),
        _ => json!(bytes.choose(EDGES)?),
    })
}

/// Words and paths that mean something somewhere.
const STRINGS: &[&str] = &[
    "",
    "/",
    ".",
    "..",
    "/..",
    "//",
    "/../x",
    "/a/../../b",
    "a\0b",
    "\n",
    "\u{7f}",
    "\u{e4}",
    ":",
    "=",
    "A=",
    "%s",
    "~",
    "/proc",
    "/proc/self",
    "/proc/sys/x",
    "/proc/uptime",
    "/sys/fs/cgroup",
    "/dev",
    "/dev/pts",
    "/dev/null",
    "/dev/console",
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "tmpfs",
    "devpts",
    "mqueue",
    "bind",
    "rbind",
    "ro",
    "rw",
    "rro",
    "rnosuid",
    "nosuid",
    "noatime",
    "strictatime",
    "relatime",
    "private",
    "rshared",
    "slave",
    "unbindable",
    "remount",
    "tmpcopyup",
    "copyup",
    "mode=0",
    "size=1",
    "uid=4294967295",
    "max",
    "user",
    "pid",
    "network",
    "time",
    "cgroup",
    "uts",
    "ipc",
    "mount",
    "c",
    "b",
    "p",
    "a",
    "u",
    "rwm",
    "m",
    "RLIMIT_NOFILE",
    "RLIMIT_CORE",
    "CAP_SYS_ADMIN",
    "CAP_SETGID",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_ERRNO",
    "SCMP_ARCH_X32",
    "sendmsg",
    "read",
    "net.ipv4.ip_forward",
    "net/ipv4/ip_forward",
    "kernel.shmmax",
    "kernel.hostname",
    "fs.mqueue.msg_max",
    "unconfined",
    "1.0.0",
    "2.0.0",
    "0-3",
    "0,2-1",
    "18446744073709551616",
];

fn string(bytes: &mut Unstructured<'_>) -> Result<String> {
    Ok(match bytes.int_in_range(0..=9)? {
        0 => bytes.arbitrary::<&str>()?.to_owned(),
        1 => "x".repeat(bytes.int_in_range(0..=5000)?),
        _ => (*bytes.choose(STRINGS)?).to_owned(),
    })
}
