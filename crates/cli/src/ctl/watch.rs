//! `watch`: prints what happens to keys, and runs a command for each event.

mod input;
mod request;

use std::cell::RefCell;

use etcdkit::proto::mvccpb;
use etcdkit::service::Streaming;
use etcdkit::{Event, EventKind, ServerError, WatchControl, WatchResponse};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use prost::Message;
use tokio::sync::mpsc;

use self::request::Request;
use super::print::fields::Writer;
use super::print::json::{self, Json, Object};
use super::print::{self, Display, Format, unsupported, wire_header};
use super::session::Session;
use super::{heading, refusal};
use crate::child;
use crate::command::{Action, Call, Command, Flag};
use crate::console::Console;
use crate::failure::{Failure, Result, exit};
use crate::notation::quote::quote;

pub(super) static WATCH: Command = Command {
    usage: "watch [options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]",
    short: "Watches events stream on keys or prefixes",
    heading: heading::KEY_VALUE,
    flags: &[
        Flag::bool("interactive", "Interactive mode").short(b'i'),
        Flag::bool("prefix", "Watch on a prefix if prefix is set"),
        Flag::bool("prev-kv", "get the previous key-value pair before the event happens"),
        Flag::bool("progress-notify", "get periodic watch progress notification from server"),
        Flag::int("rev", "0", "Revision to start watching"),
    ],
    action: Action::Run(watch),
    ..Command::BASE
};

fn watch(call: &mut Call<'_>) -> Result<()> {
    request::check_variables(call.console)?;
    if call.flags.bool("interactive") {
        return interactive(call);
    }
    let request = Request::read(call.console, &call.flags, &call.arguments, call.before_dashes)?
        .map_err(Failure::bad_arguments)?;
    let session = Session::open(call)?;
    if request.is_before_history() {
        say_canceled(call.console, COMPACTED);
        return Err(ended());
    }
    let console = RefCell::new(&mut *call.console);
    session.block_on(async {
        let watching = Watching::open(&session, request).await?;
        Err(watching.follow(&console).await?)
    })
}

/// Reads lines, each of which adds a watch or asks for progress, and has each watch print its events meanwhile.
fn interactive(call: &mut Call<'_>) -> Result<()> {
    let session = Session::open(call)?;
    let mut lines = input::lines(call.console.take_input())?;
    let console = RefCell::new(&mut *call.console);
    let (begun, mut begin) = mpsc::channel(1);
    let reading = async {
        // Each watch tells its own progress.
        let mut controls: Vec<WatchControl> = Vec::new();
        loop {
            let Some(line) = lines.recv().await else {
                let why = "error reading watch request line: EOF";
                return Err(Failure::new(exit::INVALID_INPUT, why));
            };
            let line = request::read_line(&mut console.borrow_mut(), &line)?;
            match line {
                Some(request::Line::Watch(request)) if request.is_before_history() => {
                    say_canceled(&mut console.borrow_mut(), COMPACTED);
                }
                Some(request::Line::Watch(request)) => {
                    let watching = Watching::open(&session, request).await?;
                    controls.push(watching.stream.control().clone());
                    // It is taken for as long as lines are read.
                    let _ = begun.send(watching).await;
                }
                Some(request::Line::Progress) => {
                    for control in &controls {
                        control.request_progress();
                    }
                }
                None => {}
            }
        }
    };
    let following = async {
        let mut watches = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(watching) = begin.recv() => watches.push(watching.follow(&console)),
                // The others go on.
                Some(canceled) = watches.next() => {
                    if let Some(hint) = canceled?.hint {
                        console.borrow_mut().hint(&hint);
                    }
                }
            }
        }
    };
    session.block_on(async {
        tokio::select! {
            ended = reading => ended,
            failed = following => failed,
        }
    })
}

/// A watch that runs, and what runs after its events.
struct Watching {
    display: Display,
    stream: Streaming<WatchResponse, WatchControl>,
    command: Vec<Vec<u8>>,
}

impl Watching {
    async fn open(session: &Session, request: Request) -> Result<Self> {
        let opening = session.patient().watch(request.watch.require_leader(true)).await;
        let stream = opening.map_err(|error| {
            refusal::with_hint(Failure::new(exit::ERROR, refusal::words(&error)), &error)
        })?;
        Ok(Self { display: session.display, stream, command: request.command })
    }

    /// Prints events and runs the command after each. Returns when the watch is canceled, which is said, with how the
    /// command fails if there is no other watch.
    async fn follow(mut self, console: &RefCell<&mut Console>) -> Result<Failure> {
        while let Some(response) = self.stream.next().await {
            let response = match response {
                Ok(response) => response,
                Err(error) => {
                    say_canceled(&mut console.borrow_mut(), &refusal::words(&error));
                    return Ok(refusal::with_hint(ended(), &error));
                }
            };
            self.print(&mut console.borrow_mut(), &response)?;
            for event in response.events() {
                self.run(&response, event).await.map_err(|why| {
                    let words: Vec<String> = self.command.iter().map(|word| quote(word)).collect();
                    let words = words.join(" ");
                    let mut console = console.borrow_mut();
                    console.error_line(format_args!("command [{words}] error ({why})"));
                    Failure::silent(exit::ERROR)
                })?;
            }
        }
        Ok(ended())
    }

    fn print(&self, console: &mut Console, response: &WatchResponse) -> Result<()> {
        if response.is_progress() {
            console.line(format!("progress notify: {}", response.header().revision))?;
        }
        show(self.display, console, response)?;
        Ok(console.flush()?)
    }

    /// Runs the command after an event; what it comes to, if that is nothing good.
    async fn run(
        &self,
        response: &WatchResponse,
        event: &Event,
    ) -> std::result::Result<(), String> {
        let kind = if event.kind() == EventKind::Put { "PUT" } else { "DELETE" };
        let variables = [
            ("ETCD_WATCH_REVISION", response.header().revision.to_string().into()),
            ("ETCD_WATCH_EVENT_TYPE", quote(kind.as_bytes()).into()),
            ("ETCD_WATCH_KEY", quote(event.key()).into()),
            ("ETCD_WATCH_VALUE", quote(event.kv().value()).into()),
        ];
        child::run(&self.command, &variables).await.map_err(|(_, why)| why)
    }
}

/// What a cluster says of revisions that it has no history of.
const COMPACTED: &str = ServerError::Compacted.message();

fn say_canceled(console: &mut Console, why: &str) {
    console.error_line(format_args!("watch was canceled ({why})"));
}

fn ended() -> Failure {
    Failure::new(exit::INTERRUPTED, "watch is canceled by the server")
}

fn show(display: Display, console: &mut Console, response: &WatchResponse) -> Result<()> {
    let events: Vec<mvccpb::Event> = response.events().iter().map(wire_event).collect();
    match display.format {
        Format::Simple => {
            let mut text = Vec::new();
            for event in &events {
                print::line(&mut text, event.r#type().as_str_name());
                for kv in event.prev_kv.iter().chain(&event.kv) {
                    print::key_value(&mut text, display.hex, kv);
                }
            }
            console.print(text)?;
        }
        Format::Json => console.line(json::text(&Response { response, events: &events }))?,
        Format::Protobuf => {
            let wire = etcdkit::proto::etcdserverpb::WatchResponse {
                header: Some(wire_header(*response.header())),
                events,
                ..Default::default()
            };
            console.print(wire.encode_to_vec())?;
        }
        Format::Fields => {
            let mut writer = Writer::new(display.hex);
            writer.header(Some(&wire_header(*response.header())));
            for event in &events {
                writer.field("Type", event.r#type().as_str_name());
                for (prefix, kv) in [("Prev", &event.prev_kv), ("", &event.kv)] {
                    if let Some(kv) = kv {
                        writer.key_value(prefix, kv);
                    }
                }
            }
            console.print(writer.finish())?;
        }
        Format::Table => return Err(unsupported(display.format)),
    }
    Ok(())
}

fn wire_event(event: &Event) -> mvccpb::Event {
    let mut wire = mvccpb::Event {
        kv: Some(event.kv().clone().into()),
        prev_kv: event.previous().cloned().map(Into::into),
        ..Default::default()
    };
    if event.is_delete() {
        wire.set_type(mvccpb::event::EventType::Delete);
    }
    wire
}

/// A response in JSON, where it has the names of Go's client.
struct Response<'a> {
    response: &'a WatchResponse,
    events: &'a [mvccpb::Event],
}

impl Json for Response<'_> {
    fn is_empty(&self) -> bool {
        false
    }

    fn write(&self, into: &mut String) {
        Object::begin(into)
            .always("Header", &wire_header(*self.response.header()))
            .always("Events", self.events)
            .always("CompactRevision", &0_i64)
            .always("Canceled", &false)
            .always("Created", &false)
            .always("CancelReason", "")
            .end();
    }
}
