//! `watch`: prints what happens to keys, and runs a command for each event.

mod input;
mod request;

use etcdkit::proto::mvccpb;
use etcdkit::{Error, EventKind, WatchControl, WatchResponse};
use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use prost::Message;

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
    if call.flags.bool("interactive") {
        return interactive(call);
    }
    let request = Request::read(call.console, &call.flags, &call.arguments, call.before_dashes)?;
    let session = Session::open(call)?;
    let console = &mut *call.console;
    session.block_on(async {
        let mut watches = Watches::new(session.display);
        watches.add(&session, request).await?;
        watches.follow(console).await
    })
}

/// Reads lines, each of which adds a watch or asks for progress, and prints the events of all watches meanwhile.
fn interactive(call: &mut Call<'_>) -> Result<()> {
    let session = Session::open(call)?;
    let console = &mut *call.console;
    let mut lines = input::lines(console.take_input())?;
    session.block_on(async {
        let mut watches = Watches::new(session.display);
        loop {
            tokio::select! {
                line = lines.recv() => {
                    let Some(line) = line else {
                        let why = "error reading watch request line: EOF";
                        return Err(Failure::new(exit::INVALID_INPUT, why));
                    };
                    match request::read_line(console, &line)? {
                        Some(request::Line::Watch(request)) => watches.add(&session, request).await?,
                        Some(request::Line::Progress) => watches.request_progress(),
                        None => {}
                    }
                }
                Some((index, response)) = watches.streams.next() => {
                    watches.print(console, index, response).await?;
                }
            }
        }
    })
}

/// The watches that run, and what runs after their events.
struct Watches {
    display: Display,
    streams: SelectAll<
        futures_util::stream::BoxStream<'static, (usize, etcdkit::Result<WatchResponse>)>,
    >,
    controls: Vec<WatchControl>,
    commands: Vec<Vec<Vec<u8>>>,
}

impl Watches {
    fn new(display: Display) -> Self {
        Self { display, streams: SelectAll::new(), controls: Vec::new(), commands: Vec::new() }
    }

    async fn add(&mut self, session: &Session, request: Request) -> Result<()> {
        let index = self.commands.len();
        let stream = session
            .client
            .watch(request.watch.require_leader(true))
            .await
            .map_err(|error| canceled_failure(&error))?;
        self.controls.push(stream.control().clone());
        self.commands.push(request.command);
        self.streams.push(StreamExt::map(stream, move |response| (index, response)).boxed());
        Ok(())
    }

    fn request_progress(&self) {
        // Each watch tells its own.
        for control in &self.controls {
            control.request_progress();
        }
    }

    /// Prints events until the watch ends.
    async fn follow(&mut self, console: &mut Console) -> Result<()> {
        while let Some((index, response)) = self.streams.next().await {
            self.print(console, index, response).await?;
        }
        Err(ended())
    }

    async fn print(
        &self,
        console: &mut Console,
        index: usize,
        response: etcdkit::Result<WatchResponse>,
    ) -> Result<()> {
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                let words = refusal::words(&error);
                console.error_line(format_args!("watch was canceled ({words})"));
                return Err(refusal::with_hint(ended(), &error));
            }
        };
        if response.is_progress() {
            console.line(format!("progress notify: {}", response.header().revision))?;
        }
        show(self.display, console, &response)?;
        console.flush()?;
        let command = &self.commands[index];
        if command.is_empty() {
            return Ok(());
        }
        for event in response.events() {
            let kind = if event.kind() == EventKind::Put { "PUT" } else { "DELETE" };
            let variables = [
                ("ETCD_WATCH_REVISION", response.header().revision.to_string()),
                ("ETCD_WATCH_EVENT_TYPE", quote(kind.as_bytes())),
                ("ETCD_WATCH_KEY", quote(event.key())),
                ("ETCD_WATCH_VALUE", quote(event.kv().value())),
            ];
            if let Err((_, why)) = child::run(command, &variables).await {
                let words: Vec<String> = command.iter().map(|word| quote(word)).collect();
                let words = words.join(" ");
                console.error_line(format_args!("command [{words}] error ({why})"));
                return Err(Failure::silent(exit::ERROR));
            }
        }
        Ok(())
    }
}

fn ended() -> Failure {
    Failure::new(exit::INTERRUPTED, "watch is canceled by the server")
}

fn canceled_failure(error: &Error) -> Failure {
    refusal::with_hint(Failure::new(exit::ERROR, refusal::words(error)), error)
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

fn wire_event(event: &etcdkit::Event) -> mvccpb::Event {
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
