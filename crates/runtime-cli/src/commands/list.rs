//! `tare list`: the containers below a state root.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use libcontainer::{ErrorKind, ListEntry, State};

use crate::args::Globals;
use crate::state_json::StateJson;
use crate::state_root::{self, Root};
use crate::{owner, table, text};

/// lists containers started by the runtime with the given root
#[derive(Debug, clap::Parser)]
#[command(name = "list", disable_help_flag = true, args_override_self = true)]
pub(crate) struct List {
    /// select one of: table or json (default: "table")
    #[arg(long, short)]
    format: Option<OsString>,
    /// display only container IDs
    #[arg(long, short)]
    quiet: bool,
}

impl super::Execute for List {
    fn execute(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if let Root::Given(path) = Root::find(globals)? {
            std::fs::metadata(&path)
                .map_err(|error| text::io(&error))
                .with_context(|| format!("open {}", path.display()))?;
        }
        let states = readable(state_root::runtime(globals)?.list()?);
        let format = self.format.as_deref().unwrap_or(OsStr::new("table"));
        let output = if self.quiet {
            states.iter().map(|state| format!("{}\n", state.id)).collect()
        } else if format == "table" {
            as_table(&states)
        } else if format == "json" {
            as_json(&states)?
        } else {
            bail!("invalid format option");
        };
        text::print(output.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The containers whose state can be read. The others are told of, unless they have just gone.
fn readable(entries: Vec<ListEntry>) -> Vec<State> {
    let mut states = Vec::new();
    for ListEntry { id, state, .. } in entries {
        match state {
            Ok(state) => states.push(state),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                // The list goes on, and so it does if nobody hears of this.
                writeln!(std::io::stderr(), "load container {id}: {error}").ok();
            }
        }
    }
    states
}

fn with_owners(states: &[State]) -> impl Iterator<Item = StateJson<'_>> {
    states.iter().map(|state| StateJson::new(state, owner::name(state.owner)))
}

fn as_table(states: &[State]) -> String {
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(ToString::to_string);
    let rows: Vec<_> =
        [header].into_iter().chain(with_owners(states).map(|state| state.row())).collect();
    table::render(&rows)
}

/// One line. An empty list is `null`, as Go writes it and callers expect it.
fn as_json(states: &[State]) -> anyhow::Result<String> {
    let states: Vec<_> = with_owners(states).collect();
    let list = (!states.is_empty()).then_some(states);
    let mut json = serde_json::to_string(&list).context("write JSON")?;
    json.push('\n');
    Ok(json)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use libcontainer::Status;

    use super::*;

    fn states() -> [State; 1] {
        [State {
            oci_version: "1.3.0".into(),
            id: "y".into(),
            pid: 7,
            status: Status::Created,
            bundle: "/b".into(),
            rootfs: "/b/r".into(),
            created: "2026-11-20T22:16:04.1Z".into(),
            annotations: BTreeMap::new(),
            owner: u32::MAX,
        }]
    }

    #[test]
    fn an_empty_list_is_a_header_or_null() {
        assert_eq!(as_json(&[]).unwrap(), "null\n");
        assert_eq!(
            as_table(&[]),
            "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
        );
    }

    #[test]
    fn a_list_has_all_of_the_state() {
        assert_eq!(
            as_table(&states()).lines().last(),
            Some(concat!(
                "y           7           created     /b          2026-11-20T22:16:04.1Z   ",
                "#4294967295"
            ))
        );
        assert_eq!(
            as_json(&states()).unwrap(),
            concat!(
                r#"[{"ociVersion":"1.3.0","id":"y","pid":7,"status":"created","bundle":"/b","#,
                r##""rootfs":"/b/r","created":"2026-11-20T22:16:04.1Z","owner":"#4294967295"}]"##,
                "\n"
            )
        );
    }
}
