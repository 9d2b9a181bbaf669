//! How command lines are written down.
//!
//! ```text
//! # a comment
//! $ put a 1
//! $ ETCDCTL_HEX=true get "a\xff" 'b c'
//! $ txn
//! < mod("a") > "0"
//! <
//! $ etcdutl snapshot status {tmp}/a.db
//! ```
//!
//! A line that begins with `$` is a command line of `etcdctl`, or of another tool where its name comes first; variables may
//! stand before it. Words are quoted as in a shell: `'…'` as it stands, `"…"` with the escapes `\n`, `\t`, `\\`, `\"` and
//! `\xff`. Lines that begin with `<` are its input, each with a line end unless a backslash ends it.
//!
//! `{endpoint}` is the address of the member, `{port}` its port, `{tmp}` the folder that commands run in, `{lease}` the lease
//! that was granted last, `{tool}` the program that etcdctl is. Without `{endpoint}` or `{port}` in it, a line finds the member
//! by `ETCDCTL_ENDPOINTS`.

/// One command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    pub number: usize,
    pub text: String,
    pub tool: String,
    pub variables: Vec<(String, String)>,
    pub words: Vec<Vec<u8>>,
    pub input: Vec<u8>,
}

/// The command lines of a table.
pub(crate) fn read(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let number = index + 1;
        match raw.split_at_checked(1) {
            Some(("$", rest)) => lines.push(command(number, rest.trim_start())),
            Some(("<", rest)) => {
                let line = lines.last_mut().unwrap_or_else(|| panic!("line {number}: no command"));
                let rest = rest.strip_prefix(' ').unwrap_or(rest);
                match rest.strip_suffix('\\') {
                    Some(rest) => line.input.extend_from_slice(rest.as_bytes()),
                    None => line.input.extend_from_slice(format!("{rest}\n").as_bytes()),
                }
            }
            Some(("#", _)) | None => {}
            Some(_) => panic!("line {number}: {raw:?} is neither a command, input nor a comment"),
        }
    }
    lines
}

fn command(number: usize, text: &str) -> Line {
    let mut words = split(text);
    let mut line =
        Line { number, text: text.to_owned(), tool: "etcdctl".to_owned(), ..Line::default() };
    while let Some((name, value)) = words.first().and_then(|word| variable(word)) {
        line.variables.push((name, value));
        words.remove(0);
    }
    if words.first().is_some_and(|word| word == b"etcdutl") {
        line.tool = "etcdutl".to_owned();
        words.remove(0);
    }
    line.words = words;
    line
}

/// The parts of `NAME=value`, where the name is one of a variable.
fn variable(word: &[u8]) -> Option<(String, String)> {
    let (name, value) = std::str::from_utf8(word).ok()?.split_once('=')?;
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

fn split(text: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                for quoted in characters.by_ref().take_while(|&quoted| quoted != '\'') {
                    word.extend_from_slice(quoted.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            '"' => unescape(&mut characters, word.get_or_insert_default()),
            _ => word
                .get_or_insert_default()
                .extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    words.extend(word);
    words
}

fn unescape(characters: &mut std::str::Chars<'_>, word: &mut Vec<u8>) {
    while let Some(character) = characters.next() {
        match character {
            '"' => return,
            '\\' => match characters.next() {
                Some('n') => word.push(b'\n'),
                Some('t') => word.push(b'\t'),
                Some('x') => {
                    let digits: String = characters.by_ref().take(2).collect();
                    word.push(u8::from_str_radix(&digits, 16).expect("two digits follow \\x"));
                }
                Some(other) => {
                    word.push(u8::try_from(other).expect("an ASCII character is escaped"))
                }
                None => panic!("nothing is escaped"),
            },
            _ => word.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    panic!("a quote is not closed");
}

#[test]
fn lines_are_read_as_a_shell_would() {
    let lines = read(
        "# x\n\n$ ETCDCTL_HEX=1 put 'a b' \"c\\n\\xff\" '' d'e'\n< one\n< two\\\n$ etcdutl x\n",
    );
    let [put, utl] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(put.words, [&b"put"[..], b"a b", b"c\n\xff", b"", b"de"]);
    assert_eq!(put.variables, [("ETCDCTL_HEX".to_owned(), "1".to_owned())]);
    assert_eq!(put.input, b"one\ntwo");
    assert_eq!((put.number, utl.tool.as_str()), (3, "etcdutl"));
}
