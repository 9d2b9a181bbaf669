//! Commands that may have been meant by a word that is none.

use super::Command;

/// How many letters may differ.
const DISTANCE: usize = 2;

/// The end of the message about an unknown command: those that may have been meant, or nothing.
pub(super) fn suggestions(command: &'static Command, word: &[u8]) -> String {
    let word = String::from_utf8_lossy(word).to_lowercase();
    let similar: Vec<&str> = command
        .listed()
        .into_iter()
        .map(Command::name)
        .filter(|name| {
            let lower = name.to_lowercase();
            distance(&word, &lower) <= DISTANCE || lower.starts_with(&word)
        })
        .collect();
    if similar.is_empty() {
        return String::new();
    }
    let list: String = similar.iter().map(|name| format!("\t{name}\n")).collect();
    format!("\n\nDid you mean this?\n{list}")
}

/// How many letters have to be put in, left out or replaced to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, &against) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != against);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (one, other, expected) in
            [("", "", 0), ("get", "get", 0), ("gte", "get", 2), ("gett", "get", 1), ("", "del", 3)]
        {
            assert_eq!(distance(one, other), expected, "{one} {other}");
            assert_eq!(distance(other, one), expected, "{other} {one}");
        }
    }
}
