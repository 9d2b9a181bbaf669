//! Names as Rust spells them.

/// Words that protobuf names run together.
const COMPOUNDS: [(&str, &str); 4] = [
    ("READWRITE", "ReadWrite"),
    ("NOPUT", "NoPut"),
    ("NODELETE", "NoDelete"),
    ("NOSPACE", "NoSpace"),
];

/// The words of a name in any case: `peerURLs` is `peer` and `URLs`, `HashKVRequest` three words.
///
/// A run of capitals is one word, without its last letter if a small one follows; a plural `s`
/// belongs to the run.
pub(super) fn words(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (index, &c) in chars.iter().enumerate() {
        let previous = index.checked_sub(1).and_then(|i| chars.get(i)).copied().unwrap_or('_');
        let rest = chars.get(index + 1..).unwrap_or_default();
        let plural = matches!(rest, ['s'] | ['s', '_' | 'A'..='Z', ..]);
        let starts = c.is_uppercase()
            && (!previous.is_uppercase()
                || (rest.first().is_some_and(char::is_ascii_lowercase) && !plural));
        if c == '_' || starts {
            words.push(String::new());
        }
        if c != '_'
            && let Some(word) = words.last_mut()
        {
            word.push(c);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// `peerURLs` as `peer_urls`.
pub(super) fn snake(name: &str) -> String {
    words(name).join("_").to_ascii_lowercase()
}

/// `HashKVRequest` as `HashKvRequest`, `NOT_EQUAL` as `NotEqual`.
pub(super) fn camel(words: &[String]) -> String {
    words.iter().map(|word| camel_word(word)).collect()
}

fn camel_word(word: &str) -> String {
    if let Some((_, spelled)) = COMPOUNDS.iter().find(|(compound, _)| *compound == word) {
        return (*spelled).to_owned();
    }
    let mut letters = word.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters.map(|c| c.to_ascii_lowercase())).collect()
}

/// A name as a field or a function.
pub(super) fn ident(name: &str) -> String {
    let name = snake(name);
    if matches!(name.as_str(), "type") { format!("r#{name}") } else { name }
}

/// Variants without the words that all of them begin with.
pub(super) fn strip_prefix(variants: &mut [Vec<String>]) {
    while let [first, others @ ..] = variants
        && !others.is_empty()
        && first.len() > 1
        && others.iter().all(|other| other.len() > 1 && other.first() == first.first())
    {
        for variant in variants.iter_mut() {
            variant.remove(0);
        }
    }
}

/// Variants without the words that all of them end with.
pub(super) fn strip_suffix(variants: &mut [Vec<String>]) {
    variants.iter_mut().for_each(|variant| variant.reverse());
    strip_prefix(variants);
    variants.iter_mut().for_each(|variant| variant.reverse());
}
