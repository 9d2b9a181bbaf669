//! How a line is cut into words.

use crate::notation::quote::unquote;

/// The words of a line. A word in double quotes may hold escapes, one in single quotes is taken as it stands, and any
/// other ends at a space.
pub(in crate::ctl) fn split(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line;
    while let Some(&first) = rest.first() {
        let (word, length) = match first {
            b'"' => match closing(rest, true) {
                Some(end) => (unquote(&rest[..=end]).unwrap_or_default(), end + 1),
                // A quote that is never closed counts for nothing.
                None => {
                    rest = &rest[1..];
                    continue;
                }
            },
            b'\'' => match closing(rest, false) {
                Some(end) => (rest[1..end].to_vec(), end + 1),
                None => {
                    rest = &rest[1..];
                    continue;
                }
            },
            _ if first.is_ascii_whitespace() => {
                rest = &rest[1..];
                continue;
            }
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                (rest[..end].to_vec(), end)
            }
        };
        words.push(word);
        rest = &rest[length..];
    }
    words
}

/// Where the quote ends that `text` begins with.
fn closing(text: &[u8], has_escapes: bool) -> Option<usize> {
    let mut index = 1;
    while let Some(&byte) = text.get(index) {
        if byte == text[0] {
            return Some(index);
        }
        index += if byte == b'\\' && has_escapes { 2 } else { 1 };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_quotes() {
        for (line, expected) in [
            ("put a b", vec!["put", "a", "b"]),
            ("  put\ta  ", vec!["put", "a"]),
            (r#"put "a b" 'c "d'"#, vec!["put", "a b", "c \"d"]),
            (r#"put "a\n\"b\x41" x"#, vec!["put", "a\n\"bA", "x"]),
            (r#"put a"b c" "d"#, vec!["put", "a\"b", "c\"", "d"]),
            (r#"put "" ''"#, vec!["put", "", ""]),
            ("", vec![]),
        ] {
            let expected: Vec<Vec<u8>> =
                expected.iter().map(|word| word.as_bytes().to_vec()).collect();
            assert_eq!(split(line.as_bytes()), expected, "{line}");
        }
    }
}
