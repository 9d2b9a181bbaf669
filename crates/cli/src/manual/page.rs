//! One page, in roff.

use std::fmt::Write;

use crate::command::{Action, Command, Flag, Kind, flags_of, help, spelled};
use crate::serve;

/// The page of the last command of `path`.
pub(super) fn page(path: &[&'static Command]) -> String {
    let command = path[path.len() - 1];
    let name = spelled(path);
    let title = name.replace(' ', "-");
    let mut out = format!(
        ".TH \"{}\" 1 \"\" \"etcdkit {}\" \"etcd\"\n.SH NAME\n{} \\- {}\n",
        escaped(&title.to_uppercase()),
        env!("CARGO_PKG_VERSION"),
        escaped(&title),
        escaped(command.short)
    );
    out.push_str(".SH SYNOPSIS\n");
    if !matches!(command.action, Action::Group) {
        let behind = command.usage.strip_prefix(command.name()).unwrap_or_default();
        let _ = writeln!(out, ".B {}\n{}", escaped(&name), escaped(behind.trim()));
    }
    let below = command.listed();
    if !below.is_empty() {
        let _ = writeln!(out, ".br\n.B {}\n.I command", escaped(&name));
    }
    let about = if command.long.is_empty() { command.short } else { command.long };
    section(&mut out, "DESCRIPTION", about);
    if !below.is_empty() {
        out.push_str(".SH COMMANDS\n");
        for below in below {
            let _ = writeln!(out, ".TP\n.B {}\n{}", escaped(below.name()), escaped(below.short));
        }
    }
    if matches!(command.action, Action::Words(_)) {
        // The one command that reads its flags by itself.
        let _ = writeln!(out, ".SH FLAGS\n.nf\n{}\n.fi", escaped(serve::flags_text().trim()));
        return out;
    }
    let (own, above): (Vec<&Flag>, Vec<&Flag>) =
        flags_of(path).into_iter().partition(|flag| is_own(command, flag));
    options(&mut out, "OPTIONS", &own, command);
    options(&mut out, "OPTIONS OF ALL COMMANDS", &above, command);
    if !command.example.is_empty() {
        let _ = writeln!(out, ".SH EXAMPLES\n.nf\n{}\n.fi", escaped(command.example));
    }
    if path.len() > 1 {
        let above = spelled(&path[..path.len() - 1]).replace(' ', "-");
        let _ = writeln!(out, ".SH SEE ALSO\n.BR {} (1)", escaped(&above));
    }
    out
}

fn is_own(command: &Command, flag: &Flag) -> bool {
    let own = command.flags.iter().chain(command.persistent);
    flag.name == "help" || own.into_iter().any(|own| own.name == flag.name)
}

/// A section of plain text. What is indented stays as it stands.
fn section(out: &mut String, title: &str, text: &str) {
    let _ = writeln!(out, ".SH {title}");
    let mut literal = false;
    for line in text.trim_end().lines() {
        let indented = line.starts_with(' ');
        if indented != literal && !line.is_empty() {
            out.push_str(if indented { ".nf\n" } else { ".fi\n" });
            literal = indented;
        }
        if line.is_empty() && !literal {
            out.push_str(".PP\n");
        } else {
            let _ = writeln!(out, "{}", escaped(line));
        }
    }
    if literal {
        out.push_str(".fi\n");
    }
}

fn options(out: &mut String, title: &str, flags: &[&Flag], command: &Command) {
    if flags.is_empty() {
        return;
    }
    let _ = writeln!(out, ".SH {title}");
    let mut flags = flags.to_vec();
    flags.sort_by_key(|flag| flag.name);
    for flag in flags {
        let short =
            flag.short.map_or_else(String::new, |letter| format!("-{}, ", char::from(letter)));
        let value = match flag.kind {
            Kind::Bool => "",
            Kind::Duration => "=duration",
            Kind::Text => "=text",
            Kind::List => "=text,...",
            _ => "=number",
        };
        let about = if flag.name == "help" {
            format!("Help for {}.", command.name())
        } else {
            format!("{}{}", flag.usage, help::shown_default(flag))
        };
        let _ = writeln!(
            out,
            ".TP\n.B {}\n{}",
            escaped(&format!("{short}--{}{value}", flag.name)),
            escaped(&about)
        );
    }
}

/// Text that roff prints as it stands.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, line) in text.lines().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        // A line that begins with a dot or a quote is a request.
        if line.starts_with(['.', '\'']) {
            out.push_str("\\&");
        }
        for character in line.chars() {
            match character {
                '\\' => out.push_str("\\e"),
                '-' => out.push_str("\\-"),
                other => out.push(other),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::locate;
    use crate::tool;

    fn of(tool: &str, words: &[&str]) -> String {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        page(&locate(tool::with_name(tool), &words).0)
    }

    #[test]
    fn a_page_says_what_the_help_says() {
        let page = of("etcdutl", &["snapshot", "restore"]);
        for part in [
            ".TH \"ETCDUTL\\-SNAPSHOT\\-RESTORE\" 1",
            ".B etcdutl snapshot restore\n<filename> \\-\\-data\\-dir {output dir} [options]\n",
            ".TP\n.B \\-\\-mark\\-compacted\nMark the latest revision",
            ".B \\-\\-name=text\nHuman\\-readable name for this member (default \"default\")",
            ".SH OPTIONS OF ALL COMMANDS\n",
            ".B \\-w, \\-\\-write\\-out=text",
            ".SH SEE ALSO\n.BR etcdutl\\-snapshot (1)",
        ] {
            assert!(page.contains(part), "{part:?} in\n{page}");
        }
        assert!(of("etcd", &[]).contains("\\-\\-listen\\-client\\-urls 'http"));
        assert!(of("etcdutl", &["snapshot"]).contains(".SH COMMANDS\n.TP\n.B restore\n"));
    }

    #[test]
    fn no_text_becomes_a_request() {
        assert_eq!(escaped(".so x\n'br\\n-"), "\\&.so x\n\\&'br\\en\\-");
    }
}
