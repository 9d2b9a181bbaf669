//! The numbers that a member and its cluster are known by.

use sha1::{Digest, Sha1};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: u64,
    pub(crate) member: u64,
}

impl Identity {
    /// What etcd derives from a single member's peer URLs and its cluster's token.
    pub(crate) fn derive(peer_urls: &[String], token: &str) -> Self {
        let mut urls: Vec<&str> = peer_urls.iter().map(String::as_str).collect();
        urls.sort_unstable();
        let member = first_eight(format!("{}{token}", urls.concat()).as_bytes());
        Self { cluster: first_eight(&member.to_be_bytes()), member }
    }
}

fn first_eight(bytes: &[u8]) -> u64 {
    let digest = Sha1::digest(bytes);
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_that_of_etcd() {
        let identity = Identity::derive(&["http://localhost:2380".to_owned()], "etcd-cluster");
        assert_eq!(format!("{:x}", identity.member), "8e9e05c52164694d");
        assert_eq!(format!("{:x}", identity.cluster), "cdf818194e3a8c32");
    }
}
