use super::parse::Parsed;
use super::*;
use crate::tool;

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split_whitespace().map(|word| word.as_bytes().to_vec()).collect()
}

fn leaf(line: &str) -> Result<Parsed, String> {
    parse(&TOOL, &words(line)).map_err(|refusal| refusal.message)
}

static TOOL: Command = Command {
    usage: "tool",
    persistent: &[
        Flag::text("output", "simple", "").short(b'o'),
        Flag::bool("hex", "").short(b'x'),
    ],
    commands: &[&READ, &REMOVE, &VERBATIM],
    ..Command::BASE
};

static READ: Command = Command {
    usage: "read <key>",
    aliases: &["see"],
    flags: &[
        Flag::int("limit", "7", "").short(b'l'),
        Flag::bool("all", "").short(b'a'),
        Flag::list("from", "here", ""),
        Flag::duration("wait", "2s", ""),
    ],
    action: Action::Run(|_| Ok(())),
    ..Command::BASE
};

static REMOVE: Command =
    Command { usage: "remove", action: Action::Run(|_| Ok(())), ..Command::BASE };

static VERBATIM: Command =
    Command { usage: "verbatim [words]", action: Action::Words(|_| Ok(())), ..Command::BASE };

#[test]
fn a_command_that_reads_its_own_line_gets_every_word() {
    let line = "-limit=3 --help read -- --hex";
    let parsed = leaf(&format!("verbatim {line}")).unwrap();
    assert_eq!((parsed.path[1].name(), parsed.arguments), ("verbatim", words(line)));
    assert!(!parsed.wants_help);
    let parsed = parse(&VERBATIM, &words(line)).unwrap();
    assert_eq!((parsed.path[0].name(), parsed.arguments), ("verbatim", words(line)));
    // Asked about as any other.
    let parsed = leaf("--hex verbatim");
    assert!(parsed.is_ok(), "{parsed:?}");
}

#[test]
fn flags_stand_anywhere_and_take_their_value_in_two_forms() {
    for line in [
        "read k --limit 3 -x v",
        "read --limit=3 k v --hex",
        "--hex read k -l3 v",
        "-x read -l=3 k v",
        "read k v -xl 3",
        "see k v -l 3 --hex=true",
        "rea k v -l 0b11 -x",
    ] {
        let parsed = leaf(line).unwrap();
        assert_eq!(parsed.path[1].name(), "read", "{line}");
        assert_eq!(parsed.arguments, words("k v"), "{line}");
        assert_eq!(parsed.flags.int("limit"), 3, "{line}");
        assert!(parsed.flags.bool("hex"), "{line}");
        assert!(!parsed.flags.bool("all"), "{line}");
        assert_eq!(parsed.flags.text("output"), "simple", "{line}");
    }
}

#[test]
fn dashes_end_flags() {
    let parsed = leaf("read k -- --all --").unwrap();
    assert_eq!(parsed.arguments, words("k --all --"));
    assert_eq!(parsed.before_dashes, Some(1));
    assert!(!parsed.flags.bool("all"));
    assert_eq!(leaf("read -").unwrap().arguments, words("-"));
}

#[test]
fn lists_grow_and_replace_the_default() {
    assert_eq!(leaf("read").unwrap().flags.list("from"), ["here"]);
    assert_eq!(leaf("read --from a,b --from=c").unwrap().flags.list("from"), ["a", "b", "c"]);
}

#[test]
fn refused_in_the_words_of_the_official_parser() {
    for (line, message) in [
        ("wipe", "unknown command \"wipe\" for \"tool\""),
        ("raed", "unknown command \"raed\" for \"tool\"\n\nDid you mean this?\n\tread\n"),
        ("read --foo", "unknown flag: --foo"),
        ("read -q", "unknown shorthand flag: 'q' in -q"),
        ("read -xq", "unknown shorthand flag: 'q' in -q"),
        ("read --limit", "flag needs an argument: --limit"),
        ("read -l", "flag needs an argument: 'l' in -l"),
        ("read ---", "bad flag syntax: ---"),
        ("read --=1", "bad flag syntax: --=1"),
        (
            "read --limit x",
            "invalid argument \"x\" for \"-l, --limit\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "read --wait 5",
            "invalid argument \"5\" for \"--wait\" flag: time: missing unit in duration \"5\"",
        ),
        (
            "read --all=maybe",
            "invalid argument \"maybe\" for \"-a, --all\" flag: strconv.ParseBool: parsing \"maybe\": \
             invalid syntax",
        ),
    ] {
        assert_eq!(leaf(line).unwrap_err(), message, "{line}");
    }
}

#[test]
fn help_is_wanted_by_flag_and_by_groups() {
    for (line, wanted) in [("read -h", true), ("--help read", true), ("", true), ("read", false)] {
        assert_eq!(leaf(line).unwrap().wants_help, wanted, "{line:?}");
    }
}

/// Every command of every tool: its flags have defaults of their kind, no name twice, and a help.
#[test]
fn the_tables_of_all_tools_hold_together() {
    fn check(path: &mut Vec<&'static Command>) {
        let flags = flags_of(path);
        for flag in &flags {
            flag.initial();
            let alike = flags.iter().filter(|other| {
                other.name == flag.name || other.short.is_some() && other.short == flag.short
            });
            assert_eq!(alike.count(), 1, "{}: --{}", spelled(path), flag.name);
        }
        assert!(help::text(path).contains("Usage:"));
        for below in path[path.len() - 1].commands {
            path.push(below);
            check(path);
            path.pop();
        }
    }
    for name in ["etcdkit", "etcdctl"] {
        check(&mut vec![tool::called(name.as_ref())]);
    }
}
