//! The state of a container as JSON, with the keys of runc in their order.

use std::borrow::Cow;
use std::collections::BTreeMap;

use libcontainer::{State, Status};
use serde::Serialize;

/// What `state` and `list` print.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StateJson<'a> {
    oci_version: &'a str,
    id: &'a str,
    pid: i32,
    status: &'static str,
    bundle: Cow<'a, str>,
    rootfs: Cow<'a, str>,
    created: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    owner: String,
}

impl<'a> StateJson<'a> {
    /// The state; `owner` is a name, or empty.
    pub(crate) fn new(state: &'a State, owner: String) -> Self {
        Self {
            oci_version: &state.oci_version,
            id: &state.id,
            // A process that nobody has collected yet has ended all the same.
            pid: if state.status == Status::Stopped { 0 } else { state.pid },
            status: state.status.as_str(),
            bundle: state.bundle.to_string_lossy(),
            rootfs: state.rootfs.to_string_lossy(),
            created: &state.created,
            annotations: &state.annotations,
            owner,
        }
    }

    /// A row of the table that `list` prints.
    pub(crate) fn row(&self) -> [String; 6] {
        let text = [self.id, self.status, &self.bundle, self.created, &self.owner];
        let [id, status, bundle, created, owner] = text.map(ToString::to_string);
        [id, self.pid.to_string(), status, bundle, created, owner]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: Status) -> State {
        State {
            oci_version: "1.0.2-dev".into(),
            id: "y".into(),
            pid: 4242,
            status,
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            created: "2026-11-20T22:16:04.123456789Z".into(),
            annotations: BTreeMap::new(),
            owner: 0,
        }
    }

    #[test]
    fn the_keys_are_those_of_runc() {
        let mut state = state(Status::Running);
        state.annotations.insert("a".into(), "b".into());
        let json = crate::text::json(&StateJson::new(&state, String::new()), b"  ").unwrap();
        let expected = concat!(
            "{\n  \"ociVersion\": \"1.0.2-dev\",\n  \"id\": \"y\",\n  \"pid\": 4242,\n",
            "  \"status\": \"running\",\n  \"bundle\": \"/b\",\n  \"rootfs\": \"/b/rootfs\",\n",
            "  \"created\": \"2026-11-20T22:16:04.123456789Z\",\n",
            "  \"annotations\": {\n    \"a\": \"b\"\n  },\n  \"owner\": \"\"\n}"
        );
        assert_eq!(String::from_utf8(json).unwrap(), expected);
    }

    #[test]
    fn a_stopped_container_has_no_pid_and_no_annotations_no_key() {
        let state = state(Status::Stopped);
        let json = serde_json::to_value(StateJson::new(&state, "root".into())).unwrap();
        assert_eq!(json["pid"], 0);
        assert_eq!(json["status"], "stopped");
        assert_eq!(json["owner"], "root");
        assert!(json.get("annotations").is_none());
    }
}
