//! The world around a command: what it reads, where it writes, and the environment. In tests all of it is memory.

mod secret;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, BufRead, BufWriter, IsTerminal, Write};

/// Bytes written to stdout are gathered up to so many; they leave at the latest when the command ends, waits for
/// something, or writes to stderr.
const BUFFER: usize = 64 * 1024;

/// Input, output and environment of a command.
pub struct Console {
    environment: Vec<(OsString, OsString)>,
    input: Option<Box<dyn BufRead + Send>>,
    out: BufWriter<Box<dyn Write + Send>>,
    err: Box<dyn Write + Send>,
    err_is_terminal: bool,
}

impl Console {
    /// This process's own.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            environment: std::env::vars_os().collect(),
            input: Some(Box::new(io::BufReader::new(io::stdin()))),
            out: BufWriter::with_capacity(BUFFER, Box::new(RawStdout)),
            err: Box::new(io::stderr()),
            err_is_terminal: io::stderr().is_terminal(),
        }
    }

    /// One in memory, without a terminal.
    pub fn new(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        input: impl BufRead + Send + 'static,
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
    ) -> Self {
        Self {
            environment: environment.into_iter().collect(),
            input: Some(Box::new(input)),
            out: BufWriter::with_capacity(BUFFER, Box::new(out)),
            err: Box::new(err),
            err_is_terminal: false,
        }
    }

    /// The value of a variable.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        let is_it = |(key, _): &&(OsString, OsString)| key.as_os_str() == OsStr::new(name);
        self.environment.iter().find(is_it).map(|(_, value)| value.as_os_str())
    }

    /// All variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.environment.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// What the command reads. Whoever takes it keeps it: after that there is none.
    pub(crate) fn take_input(&mut self) -> Box<dyn BufRead + Send> {
        self.input.take().unwrap_or_else(|| Box::new(io::empty()))
    }

    /// A line of the input without its end; a later one reads on behind it.
    pub(crate) fn read_line(&mut self) -> String {
        let mut line = Vec::new();
        if let Some(input) = &mut self.input {
            // What can't be read is as good as nothing there.
            let _ = input.read_until(b'\n', &mut line);
        }
        let line = String::from_utf8_lossy(&line);
        line.trim_end_matches(['\n', '\r']).to_owned()
    }

    /// Asks on stdout for something that is not to be seen, and reads it.
    pub(crate) fn ask_secret(&mut self, prompt: &str) -> io::Result<String> {
        self.print(prompt)?;
        self.flush()?;
        let hidden = secret::Hidden::begin();
        let line = self.read_line();
        drop(hidden);
        self.print("\n")?;
        Ok(line)
    }

    /// Writes to stdout.
    pub(crate) fn print(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.out.write_all(bytes.as_ref())
    }

    /// Writes a line to stdout.
    pub(crate) fn line(&mut self, line: impl AsRef<[u8]>) -> io::Result<()> {
        self.print(line)?;
        self.print("\n")
    }

    /// Has everything leave that was written to stdout.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes to stderr. Where that is closed nobody can be told, so that a failure counts for nothing.
    pub(crate) fn print_error(&mut self, text: impl AsRef<[u8]>) {
        let _ = self.out.flush();
        let _ = self.err.write_all(text.as_ref());
        let _ = self.err.flush();
    }

    /// Writes a line to stderr, as [`print_error`](Self::print_error) does.
    pub(crate) fn error_line(&mut self, line: impl fmt::Display) {
        self.print_error(format!("{line}\n"));
    }

    /// Writes an error to stderr, in red if a person is to see it.
    pub(crate) fn error(&mut self, message: &str) {
        if self.has_colour() {
            self.error_line(format_args!("\x1b[31mError:\x1b[0m {message}"));
        } else {
            self.error_line(format_args!("Error: {message}"));
        }
    }

    /// Writes to stderr what may be done about an error, if a person is to see it.
    pub(crate) fn hint(&mut self, hint: &str) {
        if self.err_is_terminal {
            self.error_line(format_args!("Hint: {hint}"));
        }
    }

    /// Whether stderr is read by a person.
    pub(crate) const fn err_is_terminal(&self) -> bool {
        self.err_is_terminal
    }

    /// Whether to write colours to stderr: <https://no-color.org>.
    fn has_colour(&self) -> bool {
        let is_off = self.variable("NO_COLOR").is_some_and(|value| !value.is_empty())
            || self.variable("TERM").is_some_and(|value| value == "dumb");
        self.err_is_terminal && !is_off
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

/// Stdout without the standard library's own buffer by lines, on top of which ours would be a second one.
struct RawStdout;

impl Write for RawStdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
