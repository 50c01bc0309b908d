//! What a program of the suite has to say, in the Test Anything Protocol (testanything.org, version 13) as
//! its Go package writes it: assertions, a plan before or after them, and blocks of YAML.
//!
//! Some programs make no assertion: they write a block with an `error` in it, or don't.

/// What a program said.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// Assertions that held.
    pub(crate) ok: usize,
    /// Assertions that didn't.
    pub(crate) not_ok: usize,
    /// Assertions that were left out.
    pub(crate) skipped: usize,
    /// What speaks against the runtime: the failed assertions, and errors that belong to none.
    pub(crate) complaints: Vec<String>,
    plans: Vec<usize>,
}

impl Report {
    /// Reads the output of a program.
    pub(crate) fn parse(output: &str) -> Self {
        let mut report = Self::default();
        // A block belongs to the assertion before it, whose text may go on over several lines.
        let mut after_assertion = false;
        let mut lines = output.lines();
        while let Some(line) = lines.next() {
            if line == "  ---" {
                let block = lines.by_ref().take_while(|line| *line != "  ...");
                let error = block.filter_map(error_of).last();
                if !after_assertion && let Some(error) = error {
                    report.complaints.push(error);
                }
                after_assertion = false;
            } else if let Some(count) = line.strip_prefix("1..") {
                // A plan that can't be read is one that is not kept.
                report.plans.push(count.trim().parse().unwrap_or(usize::MAX));
                after_assertion = false;
            } else if report.assertion(line) {
                after_assertion = true;
            }
        }
        report
    }

    fn assertion(&mut self, line: &str) -> bool {
        let Some((outcome, rest)) = ["ok", "not ok"]
            .into_iter()
            .find_map(|outcome| Some((outcome, line.strip_prefix(outcome)?.strip_prefix(' ')?)))
        else {
            return false;
        };
        let text = rest.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start();
        let directive = text.strip_prefix("# ").unwrap_or_default();
        match outcome {
            _ if directive.starts_with("SKIP") || directive.starts_with("TODO") => {
                self.skipped += 1;
            }
            "ok" => self.ok += 1,
            _ => {
                self.not_ok += 1;
                self.complaints.push(text.trim_start_matches("- ").to_string());
            }
        }
        true
    }

    /// How many assertions there are.
    pub(crate) fn count(&self) -> usize {
        self.ok + self.not_ok + self.skipped
    }

    /// Whether the program came to its end: it made as many assertions as it planned, if it made any. One
    /// that runs another program inside of the container may hand on the plan of that one.
    pub(crate) fn complete(&self) -> bool {
        match self.plans.as_slice() {
            [] => self.count() == 0,
            plans => plans.iter().sum::<usize>() == self.count() || plans.contains(&self.count()),
        }
    }
}

/// The first line of the value of `"error"` on a line of JSON, the form that the blocks have.
fn error_of(line: &str) -> Option<String> {
    let value = line.trim().strip_prefix("\"error\":")?;
    let text = value.trim().trim_end_matches(',').trim_matches('"');
    // The reference to the specification follows on a line of its own.
    Some(text.split("\\n").next().unwrap_or(text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(ok: usize, not_ok: usize, skipped: usize, text: &str) -> Report {
        let report = Report::parse(text);
        assert_eq!((report.ok, report.not_ok, report.skipped), (ok, not_ok, skipped), "{text}");
        report
    }

    #[test]
    fn assertions_are_counted_by_their_outcome() {
        let report = parse(
            2,
            1,
            2,
            "TAP version 13\n1..5\nok 1 - a\n# not ok, says a comment\nok 2\nnot ok 3 - b: c\n\
             ok 4 # SKIP d\nnot ok 5 # TODO e\n",
        );
        assert_eq!(report.complaints, ["b: c"]);
        assert!(report.complete());
    }

    #[test]
    fn a_line_that_looks_like_an_assertion_is_none() {
        for line in ["okay", "ok", "  ok 1 - nested", "not okay 1", "# ok 1", "xok 1"] {
            parse(0, 0, 0, line);
        }
    }

    #[test]
    fn the_output_of_a_container_inside_a_block_is_not_counted() {
        let text = "  ---\n  {\n    \"stdout\": \"ok 1\\n\"\n  }\n  ...\nok 1 - a\n1..1\n";
        assert!(parse(1, 0, 0, text).complete());
        let text = "  ---\nok 1 - not in the form, but inside\n  ...\nok 1 - a\n1..1\n";
        assert!(parse(1, 0, 0, text).complete());
    }

    #[test]
    fn a_block_with_an_error_speaks_against_the_runtime_if_it_belongs_to_no_assertion() {
        let block =
            "  ---\n  {\n    \"error\": \"exit status 1\",\n    \"stderr\": \"x\"\n  }\n  ...\n";
        let alone = parse(0, 0, 0, &format!("TAP version 13\n{block}1..0\n"));
        assert_eq!(alone.complaints, ["exit status 1"]);
        let expected = parse(1, 0, 0, &format!("ok 1 - it is refused\n{block}1..1\n"));
        assert_eq!(expected.complaints, [""; 0]);
        let long = parse(1, 0, 0, &format!("ok 1 - it is refused\nRefer to: there\n{block}1..1\n"));
        assert_eq!(long.complaints, [""; 0]);
        let later = parse(1, 0, 0, &format!("ok 1 - it is refused\n1..1\n{block}"));
        assert_eq!(later.complaints, ["exit status 1"]);
        let lines = "  ---\n  {\n    \"error\": \"one\\nRefer to: there\"\n  }\n  ...\n1..0\n";
        assert_eq!(parse(0, 0, 0, lines).complaints, ["one"]);
        let second = parse(1, 0, 0, &format!("ok 1 - it is refused\n{block}{block}1..1\n"));
        assert_eq!(second.complaints, ["exit status 1"]);
        let none = parse(0, 0, 0, "  ---\n  {\n    \"reference\": \"error\"\n  }\n  ...\n1..0\n");
        assert_eq!(none.complaints, [""; 0]);
    }

    #[test]
    fn a_program_that_stops_in_the_middle_is_not_complete() {
        for (complete, text) in [
            (true, ""),
            (true, "1..0\n"),
            (true, "1..2\nok 1\nok 2\n"),
            (true, "ok 1\nok 2\n1..2\n"),
            // The container's own plan, and that of the program around it.
            (true, "1..1\nok 1\nok 1\n1..1\n"),
            (true, "1..1\nok 1\nok 2\n1..2\n"),
            (false, "ok 1\n"),
            (false, "1..3\nok 1\nok 2\n"),
            (false, "1..1\nok 1\nok 2\n"),
            (false, "1..x\nok 1\n"),
            (false, "1..1\n"),
        ] {
            assert_eq!(Report::parse(text).complete(), complete, "{text}");
        }
    }

    #[test]
    fn a_block_without_an_end_ends_with_the_output() {
        let report = parse(1, 0, 0, "ok 1\n1..1\n  ---\n  {\n    \"error\": \"cut\"\n");
        assert_eq!(report.complaints, ["cut"]);
    }
}
