//! What the end of a program means.

use std::collections::BTreeMap;
use std::fmt;

use crate::programs;
use crate::run::{Ended, Exit};
use crate::tap::Report;

/// What a program shows of the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does what the program wants.
    Passed,
    /// Nothing: the program wants refusals, and the runtime doesn't do what would show that it can do
    /// anything but refuse.
    Vacuous(&'static str),
    /// It doesn't.
    Failed(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Vacuous(other) => write!(f, "vacuous (see {other})"),
            Self::Failed(_) => f.write_str("failed"),
        }
    }
}

/// What a program came to in every round.
pub(crate) struct Rounds<'a> {
    /// The program.
    pub(crate) name: &'a str,
    /// How many rounds there were, and how many of them it passed.
    rounds: usize,
    passed: usize,
    /// The verdict on the worst round: one that it did not pass, and of these the one in which the fewest
    /// assertions held.
    pub(crate) verdict: Verdict,
    /// What the program said in that round.
    pub(crate) report: &'a Report,
}

impl<'a> Rounds<'a> {
    /// The rounds of a program; nothing if there was none.
    pub(crate) fn of(name: &'a str, ended: &'a [BTreeMap<String, Ended>]) -> Option<Self> {
        let judged = || ended.iter().map(|all| (judge(name, all), &all[name].report));
        let passed = |verdict: &Verdict| *verdict == Verdict::Passed;
        let (verdict, report) =
            judged().min_by_key(|(verdict, report)| (passed(verdict), report.ok))?;
        let count = judged().filter(|(verdict, _)| passed(verdict)).count();
        Some(Self { name, rounds: ended.len(), passed: count, verdict, report })
    }

    /// Whether it passed each time.
    pub(crate) fn passed(&self) -> bool {
        self.passed == self.rounds
    }
}

/// `passed 2/3` if it makes a difference.
impl fmt::Display for Rounds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.passed == 0 || self.passed() {
            return self.verdict.fmt(f);
        }
        write!(f, "passed {}/{}", self.passed, self.rounds)
    }
}

/// The verdict on a program, with the others for evidence.
fn judge(name: &str, all: &BTreeMap<String, Ended>) -> Verdict {
    let Some(ended) = all.get(name) else {
        return Verdict::Failed("did not run".into());
    };
    if let Some(why) = complaint(ended) {
        return Verdict::Failed(why);
    }
    match programs::evidence(name) {
        Some(other) if all.get(other).is_none_or(|ended| ended.report.ok == 0) => {
            Verdict::Vacuous(other)
        }
        _ => Verdict::Passed,
    }
}

fn complaint(ended: &Ended) -> Option<String> {
    let first = ended.report.complaints.first().cloned();
    match ended.exit {
        Exit::Hung => Some("did not end in time".into()),
        Exit::Signal(signal) => Some(format!("was killed by {signal}")),
        Exit::Code(0) if first.is_some() => first,
        Exit::Code(0) if ended.report.complete() => None,
        Exit::Code(0) => Some("made another number of assertions than it planned".into()),
        Exit::Code(code) => {
            Some(first.or(ended.error.clone()).unwrap_or_else(|| format!("exit status {code}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(exit: Exit, output: &str) -> Ended {
        Ended { exit, report: Report::parse(output), error: None }
    }

    fn alone(exit: Exit, output: &str) -> Verdict {
        judge("hostname", &BTreeMap::from([("hostname".to_string(), ended(exit, output))]))
    }

    #[test]
    fn a_program_passes_if_nothing_speaks_against_it() {
        assert_eq!(alone(Exit::Code(0), "ok 1\n1..1\n"), Verdict::Passed);
        assert_eq!(alone(Exit::Code(0), "1..0\n"), Verdict::Passed);
        let error = "  ---\n  {\n    \"error\": \"no such hook\"\n  }\n  ...\n1..0\n";
        for (exit, output, why) in [
            (Exit::Code(0), error, "no such hook"),
            (Exit::Code(0), "ok 1\nnot ok 2 - two\n1..2\n", "two"),
            (Exit::Code(0), "1..2\nok 1\n", "made another number of assertions than it planned"),
            (Exit::Code(1), "ok 1\n1..1\n", "exit status 1"),
            (Exit::Code(1), "not ok 1 - one\n", "one"),
            (Exit::Signal(11), "ok 1\n1..1\n", "was killed by 11"),
            (Exit::Hung, "ok 1\n1..1\n", "did not end in time"),
        ] {
            assert_eq!(alone(exit, output), Verdict::Failed(why.into()));
        }
    }

    #[test]
    fn refusals_count_only_beside_an_assertion_that_held() {
        let verdict = |evidence: Option<&str>| {
            let mut all =
                BTreeMap::from([("prestart_fail".to_string(), ended(Exit::Code(0), "1..0\n"))]);
            if let Some(output) = evidence {
                all.insert("hooks_stdin".to_string(), ended(Exit::Code(0), output));
            }
            judge("prestart_fail", &all)
        };
        assert_eq!(verdict(None), Verdict::Vacuous("hooks_stdin"));
        assert_eq!(verdict(Some("not ok 1\n1..1\n")), Verdict::Vacuous("hooks_stdin"));
        assert_eq!(verdict(Some("ok 1\nnot ok 2\n1..2\n")), Verdict::Passed);
    }

    #[test]
    fn a_program_passes_if_it_does_each_time() {
        let round = |output: &str| {
            let program = ended(Exit::Code(0), output);
            BTreeMap::from([("hostname".to_string(), program)])
        };
        let (good, bad) = ("ok 1\nok 2\n1..2\n", "ok 1\nnot ok 2 - two\n1..2\n");
        let worse = "not ok 1 - one\nnot ok 2\n1..2\n";
        for (outputs, text, ok) in [
            (&[good][..], "passed", 2),
            (&[good, good, good], "passed", 2),
            (&[good, bad, good], "passed 2/3", 1),
            (&[bad, worse, good], "passed 1/3", 0),
            (&[bad, worse], "failed", 0),
        ] {
            let all: Vec<_> = outputs.iter().map(|output| round(output)).collect();
            let rounds = Rounds::of("hostname", &all).unwrap();
            assert_eq!((rounds.to_string().as_str(), rounds.report.ok), (text, ok));
            assert_eq!(rounds.passed(), text == "passed");
        }
    }
}
