//! Lists: words with commas between them, quoted where they hold commas themselves.

/// Reads the words of a list; an empty text is an empty list.
pub(crate) fn read(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    if text.is_empty() {
        return Ok(words);
    }
    let mut rest = text;
    loop {
        let (word, behind) = if rest.first() == Some(&b'"') {
            read_quoted(text, &rest[1..])?
        } else {
            let end = rest.iter().position(|&byte| byte == b',').unwrap_or(rest.len());
            if let Some(at) = rest[..end].iter().position(|&byte| byte == b'"') {
                return Err(failure(text, &rest[at..], "bare \" in non-quoted-field"));
            }
            (rest[..end].to_vec(), &rest[end..])
        };
        words.push(word);
        match behind.split_first() {
            Some((_, next)) => rest = next,
            None => return Ok(words),
        }
    }
}

/// The word up to its closing quote, and what is behind: nothing, or a comma and more.
fn read_quoted<'t>(text: &[u8], mut rest: &'t [u8]) -> Result<(Vec<u8>, &'t [u8]), String> {
    let mut word = Vec::new();
    loop {
        match rest {
            [b'"', b'"', behind @ ..] => {
                word.push(b'"');
                rest = behind;
            }
            [b'"', behind @ ..] if matches!(behind.first(), None | Some(b',')) => {
                return Ok((word, behind));
            }
            [b'"', ..] | [] => {
                return Err(failure(text, rest, "extraneous or missing \" in quoted-field"));
            }
            [byte, behind @ ..] => {
                word.push(*byte);
                rest = behind;
            }
        }
    }
}

fn failure(text: &[u8], rest: &[u8], why: &str) -> String {
    format!("parse error on line 1, column {}: {why}", text.len() - rest.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (text, expected) in [
            ("", vec![]),
            ("a", vec!["a"]),
            ("a,b", vec!["a", "b"]),
            ("a,,b,", vec!["a", "", "b", ""]),
            (r#""a,b",c"#, vec!["a,b", "c"]),
            (r#""a""b""#, vec![r#"a"b"#]),
        ] {
            let words: Vec<Vec<u8>> =
                expected.iter().map(|word| word.as_bytes().to_vec()).collect();
            assert_eq!(read(text.as_bytes()), Ok(words), "{text}");
        }
        for text in [r#"a"b"#, r#""a"#, r#""a"b"#] {
            assert!(read(text.as_bytes()).unwrap_err().starts_with("parse error on line 1"));
        }
    }
}
