//! Members as the bucket `members` keeps them: JSON in exactly the form that Go writes.

use serde_json::Value;

use crate::error::{Defect, Error, Result};

/// A member of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Its name; empty until it was started for the first time.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it, once it has told.
    pub client_urls: Vec<String>,
    /// Whether it has no vote.
    pub is_learner: bool,
}

impl Member {
    /// Parses the value of an entry of the bucket `members`.
    ///
    /// ```
    /// use etcdkit_datadir::schema::Member;
    ///
    /// let json = r#"{"id":7,"peerURLs":["http://a:2380"],"name":"a"}"#;
    /// let member = Member::decode(json.as_bytes())?;
    /// assert_eq!((member.id, member.name.as_str()), (7, "a"));
    /// assert!(!member.is_learner);
    /// # Ok::<(), etcdkit_datadir::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is no member.
    pub fn decode(json: &[u8]) -> Result<Self> {
        let invalid = |what: &str| Error::corrupt(Defect::InvalidMessage, what.to_owned());
        let value: Value =
            serde_json::from_slice(json).map_err(|error| invalid("no member").caused_by(error))?;
        let strings = |name: &str| match &value[name] {
            Value::Null => Ok(Vec::new()),
            Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| invalid("a member's URL is no text")),
            _ => Err(invalid("a member's URLs are no list")),
        };
        Ok(Self {
            id: value["id"].as_u64().ok_or_else(|| invalid("a member without id"))?,
            name: value["name"].as_str().unwrap_or_default().to_owned(),
            peer_urls: strings("peerURLs")?,
            client_urls: strings("clientURLs")?,
            is_learner: value["isLearner"].as_bool().unwrap_or_default(),
        })
    }

    /// The value of its entry in the bucket `members`, byte for byte as Go writes it.
    ///
    /// ```
    /// use etcdkit_datadir::schema::Member;
    ///
    /// let json = r#"{"id":7,"peerURLs":["http://a:2380"],"name":"a","clientURLs":["http://a:2379"]}"#;
    /// assert_eq!(Member::decode(json.as_bytes())?.encode(), json);
    /// # Ok::<(), etcdkit_datadir::Error>(())
    /// ```
    #[must_use]
    pub fn encode(&self) -> String {
        let strings =
            |urls: &[String]| urls.iter().map(|url| json_string(url)).collect::<Vec<_>>().join(",");
        let mut json = format!("{{\"id\":{},\"peerURLs\":[{}]", self.id, strings(&self.peer_urls));
        if self.is_learner {
            json.push_str(",\"isLearner\":true");
        }
        if !self.name.is_empty() {
            json.push_str(&format!(",\"name\":{}", json_string(&self.name)));
        }
        if !self.client_urls.is_empty() {
            json.push_str(&format!(",\"clientURLs\":[{}]", strings(&self.client_urls)));
        }
        json.push('}');
        json
    }
}

/// A member as restore writes it: the client URLs are not known yet.
pub(crate) fn encode_json(id: u64, name: &str, peer_urls: &[String]) -> String {
    let urls: Vec<String> = peer_urls.iter().map(|url| json_string(url)).collect();
    let mut json = format!("{{\"id\":{id},\"peerURLs\":[{}]", urls.join(","));
    if !name.is_empty() {
        json.push_str(",\"name\":");
        json.push_str(&json_string(name));
    }
    json.push('}');
    json
}

/// A text as Go writes it: HTML's special characters and two line separators are escaped too.
pub(crate) fn json_string(text: &str) -> String {
    use std::fmt::Write;

    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(json, "\\u{:04x}", u32::from(character));
            }
            _ => json.push(character),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_written_as_go_writes_them() {
        let check = |name: &str, url: &str, expected: &str| {
            let json = encode_json(7, name, &[url.to_owned()]);
            assert_eq!(json, expected);
            let member = Member::decode(json.as_bytes()).expect("valid");
            assert_eq!((member.name.as_str(), member.peer_urls), (name, vec![url.to_owned()]));
        };
        check("a", "http://a", r#"{"id":7,"peerURLs":["http://a"],"name":"a"}"#);
        check("", "http://a?b&c", r#"{"id":7,"peerURLs":["http://a?b\u0026c"]}"#);
        check("<\"\\\n\u{1}ä", "x", r#"{"id":7,"peerURLs":["x"],"name":"\u003c\"\\\n\u0001ä"}"#);
    }
}
