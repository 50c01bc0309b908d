use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
#[command(name = "restore")]
struct Sample {
    #[arg(long, short)]
    bundle: Option<OsString>,
    #[arg(long)]
    console_socket: Option<OsString>,
    #[arg(long)]
    memory_swap: Option<String>,
    #[arg(long, short, action = ArgAction::Append)]
    env: Vec<String>,
    #[arg(long, short)]
    detach: bool,
    #[arg(long)]
    no_subreaper: bool,
    #[arg(required = true)]
    id: String,
}

#[derive(Debug, Parser)]
#[command(name = "kill")]
struct Greedy {
    #[arg(long, short)]
    all: bool,
    #[arg(required = true)]
    id: String,
    #[arg(allow_hyphen_values = true)]
    signal: Option<String>,
}

fn parse_words(definition: &Command, line: &[&str]) -> Result<String, Misuse> {
    let words = line.iter().map(OsString::from);
    let parsed = parse(definition, FlagsEnd::of(definition), words)?;
    if parsed.help {
        return Ok("help".into());
    }
    let words: Vec<_> =
        parsed.into_arguments().iter().map(|word| word.to_string_lossy().into_owned()).collect();
    Ok(words.join(" "))
}

#[test]
fn go_command_lines_become_clap_ones() {
    let sample = <Sample as clap::CommandFactory>::command();
    let cases: &[(&[&str], &str)] = &[
        (&["y"], "-- y"),
        (&["-no-subreaper", "y"], "--no-subreaper -- y"),
        (&["--no-subreaper", "y"], "--no-subreaper -- y"),
        (&["-bundle", "/b", "y"], "--bundle=/b -- y"),
        (&["-b", "/b", "y"], "--bundle=/b -- y"),
        (&["--b=/b", "y"], "--bundle=/b -- y"),
        (&["-b=/b=c", "y"], "--bundle=/b=c -- y"),
        (&["y", "--bundle", "/b"], "--bundle=/b -- y"),
        (&["--bundle", "/a", "--bundle=/b", "y"], "--bundle=/b -- y"),
        (&["--console-socket", "", "y"], "--console-socket= -- y"),
        (&["--console-socket=", "y"], "--console-socket= -- y"),
        (&["--memory-swap", "-1", "y"], "--memory-swap=-1 -- y"),
        (&["--bundle", "--detach", "y"], "--bundle=--detach -- y"),
        (&["--bundle", "--", "y"], "--bundle=-- -- y"),
        (&["-e", "A=1,2", "--env", "B=", "y"], "--env=A=1,2 --env=B= -- y"),
        (&["--detach=true", "y"], "--detach -- y"),
        (&["-d=0", "y"], "-- y"),
        (&["-d", "--detach=false", "y"], "-- y"),
        (&["--detach", "true"], "--detach -- true"),
        (&["--", "-x"], "-- -x"),
        (&["-d", "--", "-x", "--", "-d"], "--detach -- -x -- -d"),
        (&["-"], "-- -"),
        (&[""], "-- "),
        (&["y", "-h"], "help"),
        (&["--help"], "help"),
        (&["--help=false", "y"], "-- y"),
    ];
    for (line, expected) in cases {
        assert_eq!(parse_words(&sample, line).as_deref(), Ok(*expected), "{line:?}");
    }
}

#[test]
fn a_greedy_command_keeps_what_follows_its_first_positional() {
    let kill = <Greedy as clap::CommandFactory>::command();
    let cases: &[(&[&str], &str)] = &[
        (&["--all", "y", "9"], "--all -- y 9"),
        (&["-a", "y", "KILL"], "--all -- y KILL"),
        (&["y", "-9"], "-- y -9"),
        (&["y", "--all"], "-- y --all"),
        (&["-a", "--", "-y", "--", "9"], "--all -- -y -- 9"),
    ];
    for (line, expected) in cases {
        assert_eq!(parse_words(&kill, line).as_deref(), Ok(*expected), "{line:?}");
    }
}

#[test]
fn misuse_is_told_in_the_words_of_go() {
    let sample = <Sample as clap::CommandFactory>::command();
    let cases: &[(&[&str], &str)] = &[
        (&["-bogus", "y"], "flag provided but not defined: -bogus"),
        (&["--bogus=1", "y"], "flag provided but not defined: -bogus"),
        (&["-db", "y"], "flag provided but not defined: -db"),
        (&["-id", "y"], "flag provided but not defined: -id"),
        (&["-é"], "flag provided but not defined: -é"),
        (&["--bundle"], "flag needs an argument: --bundle"),
        (&["y", "-b"], "flag needs an argument: --b"),
        (&["--detach=maybe"], "invalid boolean value \"maybe\" for -detach: parse error"),
        (&["--detach="], "invalid boolean value \"\" for -detach: parse error"),
        (&["---x"], "bad flag syntax: ---x"),
        (&["-=x"], "bad flag syntax: -=x"),
    ];
    for (line, expected) in cases {
        let misuse = Misuse::Flag((*expected).to_string());
        assert_eq!(parse_words(&sample, line), Err(misuse), "{line:?}");
    }
}

#[test]
fn positionals_are_counted() {
    let sample = <Sample as clap::CommandFactory>::command();
    let kill = <Greedy as clap::CommandFactory>::command();
    for (definition, count, expected) in [
        (&sample, 1, None),
        (&sample, 0, Some("\"restore\" requires exactly 1 argument(s)")),
        (&sample, 2, Some("\"restore\" requires exactly 1 argument(s)")),
        (&kill, 1, None),
        (&kill, 2, None),
        (&kill, 0, Some("\"kill\" requires a minimum of 1 argument(s)")),
        (&kill, 3, Some("\"kill\" requires a maximum of 2 argument(s)")),
    ] {
        let expected = expected.map_or(Ok(()), |text| Err(Misuse::Count(text.to_string())));
        assert_eq!(check_count(definition, count), expected, "{count}");
    }
}

#[test]
fn values_need_not_be_unicode() {
    let sample = <Sample as clap::CommandFactory>::command();
    let line = [OsString::from_vec(b"--bundle=/\xff".to_vec()), "y".into()];
    let parsed = parse(&sample, FlagsEnd::Never, line.into_iter()).unwrap();
    let value = parsed.flags[0].1.as_ref().unwrap();
    assert_eq!(value.as_bytes(), b"/\xff");
}
