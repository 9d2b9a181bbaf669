//! What the operating system refused, in Go's words.

use std::io;

/// The text of an error, without the number that Rust adds and in Go's lower case.
pub(crate) fn text(error: &io::Error) -> String {
    let text = error.to_string();
    let plain = text.split(" (os error").next().unwrap_or_default();
    let mut letters = plain.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn errors_read_as_in_go() {
        for (number, expected) in
            [(2, "no such file or directory"), (13, "permission denied"), (20, "not a directory")]
        {
            assert_eq!(text(&io::Error::from_raw_os_error(number)), expected);
        }
        assert_eq!(text(&io::Error::other("Anything")), "anything");
    }
}
