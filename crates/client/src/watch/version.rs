//! What is known of the versions of etcd with respect to watches.

use super::machine::Server;

/// What a member of this version can be trusted with; one that does not tell is trusted with nothing.
pub(super) fn trust(version: Option<&str>) -> Server {
    let Some((major, minor, patch)) = version.and_then(parse) else {
        return Server { progress: false, denial_is_ambiguous: true, repeats: true };
    };
    // The first releases of each line with the fix; before 3.4 there is none.
    let since = |in_3_4: u32, in_3_5: u32| match (major, minor) {
        (0..=2, _) | (3, 0..=3) => false,
        (3, 4) => patch >= in_3_4,
        (3, 5) => patch >= in_3_5,
        _ => true,
    };
    Server {
        // etcd-io/etcd#15220: notifications that overtook events.
        progress: since(25, 8),
        // etcd-io/etcd#14296: the reason of a refusal.
        denial_is_ambiguous: !since(20, 5),
        // etcd-io/etcd#17247 and its kin: events sent again.
        repeats: !since(30, 12),
    }
}

fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let release = version.split(['-', '+']).next()?;
    let mut parts = release.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_release_line() {
        for (version, progress, ambiguous, repeats) in [
            (None, false, true, true),
            (Some("unknown"), false, true, true),
            (Some("3.3.27"), false, true, true),
            (Some("3.4.23"), false, false, true),
            (Some("3.4.25"), true, false, true),
            (Some("3.5.1"), false, true, true),
            (Some("3.5.8"), true, false, true),
            (Some("3.5.12"), true, false, false),
            (Some("3.6.0-rc.1"), true, false, false),
            (Some("3.7.1"), true, false, false),
            (Some("4.0.0"), true, false, false),
        ] {
            let expected = Server { progress, denial_is_ambiguous: ambiguous, repeats };
            assert_eq!(trust(version), expected, "{version:?}");
        }
    }
}
