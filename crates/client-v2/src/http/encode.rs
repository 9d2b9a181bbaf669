//! URLs, forms and base64.

use std::fmt::Write;

use crate::error::{Error, Result};

/// Pairs of a query or a form.
pub(crate) type Pairs = Vec<(&'static str, String)>;

/// Encodes `pairs` as a form, in the order of their names.
pub(crate) fn form(mut pairs: Pairs) -> String {
    pairs.sort_by_key(|(name, _)| *name);
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        escape(&value, b"", &mut text);
    }
    text.replace("%20", "+")
}

/// Encodes a path, leaving its slashes.
pub(crate) fn path(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    escape(path, b"$&+,/:;=@", &mut text);
    text
}

fn escape(text: &str, plain: &[u8], into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || plain.contains(&byte) {
            into.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

/// `prefix` and `key` as one path: single slashes, without `.` and `..`, and with the slash at its end if there was
/// one, which etcd takes for a directory.
pub(crate) fn canonical(prefix: &str, key: &str) -> Result<String> {
    let base = clean(prefix).unwrap_or_default();
    let Some(path) = clean(key) else {
        return Err(Error::invalid(format!("the key `{key}` leads out of the key space")));
    };
    let mut joined = format!("{base}{path}");
    let written = if key.is_empty() { prefix } else { key };
    if joined.is_empty() || written.ends_with('/') {
        joined.push('/');
    }
    Ok(joined)
}

/// Empty for the root, else with a slash in front and none behind. `None` if `..` leads above the root.
fn clean(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.iter().fold(String::new(), |text, part| text + "/" + part))
}

/// Base64 with the standard alphabet and padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let sextet = bits >> (18 - 6 * index) & 0x3f;
            let shown = index <= chunk.len();
            text.push(if shown { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v2_keys_url_helper() {
        for (prefix, key, expected) in [
            ("/v2/keys", "", "/v2/keys"),
            ("/v2/keys", "/", "/v2/keys/"),
            ("/v2/keys", "/foo/bar", "/v2/keys/foo/bar"),
            ("v2/keys", "foo", "/v2/keys/foo"),
            ("/v2/keys/", "//foo//bar/", "/v2/keys/foo/bar/"),
            ("", "", "/"),
            ("", "/foo", "/foo"),
            ("/pants", "", "/pants"),
            ("/v2/keys", "a/./b/../c", "/v2/keys/a/c"),
        ] {
            assert_eq!(canonical(prefix, key).unwrap(), expected, "{prefix} {key}");
        }
        assert!(canonical("/v2/keys", "../members").is_err());
    }

    #[test]
    fn forms_and_paths_are_escaped() {
        let pairs = vec![("value", "a b&c=ü".to_owned()), ("ttl", "10".to_owned())];
        assert_eq!(form(pairs), "ttl=10&value=a+b%26c%3D%C3%BC");
        assert_eq!(path("/a b/c?d#e/ü"), "/a%20b/c%3Fd%23e/%C3%BC");
        assert_eq!(form(vec![]), "");
    }

    #[test]
    fn base64_is_padded() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("root:secret", "cm9vdDpzZWNyZXQ="),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
