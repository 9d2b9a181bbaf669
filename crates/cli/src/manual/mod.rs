//! Manual pages out of the tables of commands and flags.
//!
//! `page.rs` writes a page; here is the command that hands them out.

mod page;

use std::fs;
use std::path::Path;

use crate::command::{Action, Call, Command, Flag, locate, spelled};
use crate::failure::{Failure, Result, exit};
use crate::notation::os_error;
use crate::tool;

/// The command.
pub(crate) static MAN: Command = Command {
    usage: "man [command]",
    short: "Prints the manual page of a command, or writes all of them",
    long: "Prints the manual page of a command, such as 'etcdkit man snapshot restore | man -l -'; with --all, writes one for \
           each command into a folder.",
    heading: "Utility commands",
    flags: &[Flag::text("all", "", "write the pages of all commands into this folder")],
    action: Action::Run(man),
    ..Command::BASE
};

fn man(call: &mut Call<'_>) -> Result<()> {
    let tool = tool::with_name(call.tool().name());
    let folder = call.flags.text("all");
    if !folder.is_empty() {
        return write_all(tool, Path::new(&folder));
    }
    let (path, rest) = locate(tool, &call.arguments);
    if let Some(word) = rest.first() {
        return Err(Failure::bad_arguments(format!(
            "there is no command {:?}: {} help lists them",
            String::from_utf8_lossy(word),
            tool.name()
        )));
    }
    Ok(call.console.print(page::page(&path))?)
}

/// Writes the page of each command that is listed.
fn write_all(tool: &'static Command, folder: &Path) -> Result<()> {
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::new(
            exit::IO,
            format!("cannot write {}: {}", path.display(), os_error::text(error)),
        )
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let mut paths = vec![vec![tool]];
    while let Some(path) = paths.pop() {
        let file = folder.join(format!("{}.1", spelled(&path).replace(' ', "-")));
        fs::write(&file, page::page(&path)).map_err(|error| failed(&file, &error))?;
        for below in path[path.len() - 1].listed() {
            paths.push([&path[..], &[below]].concat());
        }
    }
    Ok(())
}
