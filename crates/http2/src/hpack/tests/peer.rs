//! Fields that go through the `h2` crate: it writes what is read here, and reads what is written here.

use std::future::Future;

use h2::{client, server};
use http::{HeaderName, HeaderValue, Request, Response, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::frame::{self, Head, Kind, PREFACE, Setting, StreamId, flag};

/// Wide enough for all that is on its way at once: nobody waits for room.
const WIDE: usize = 1 << 22;

fn run(test: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts").block_on(test)
}

async fn next_frame(io: &mut DuplexStream) -> (Head, Vec<u8>) {
    let mut head = [0; Head::LENGTH];
    io.read_exact(&mut head).await.expect("a head");
    let head = Head::parse(&head);
    let mut payload = vec![0; head.length];
    io.read_exact(&mut payload).await.expect("a payload");
    (head, payload)
}

/// Fields that `http` allows: no control bytes in values.
fn allowed_field() -> impl Strategy<Value = Owned> {
    field().prop_map(|(name, value, indexing)| {
        let name = if name[0] == b':' || &name[..] == b"te" { Bytes::from("x-path") } else { name };
        let value: Vec<u8> =
            value.iter().copied().filter(|byte| *byte >= 0x20 && *byte != 0x7f).collect();
        (name, value.into(), indexing)
    })
}

fn requests() -> impl Strategy<Value = Vec<(bool, Vec<Owned>)>> {
    prop::collection::vec((any::<bool>(), prop::collection::vec(allowed_field(), 0..6)), 1..20)
}

fn sorted(mut fields: Vec<Pair>) -> Vec<Pair> {
    fields.sort();
    fields
}

/// Has `h2` make the requests, and reads what it writes with a table of that size.
async fn reads(table: u32, requests: Vec<(bool, Vec<Owned>)>) -> Result<(), TestCaseError> {
    let (mut io, theirs) = duplex(WIDE);
    let (mut send, connection) = client::handshake(theirs).await.expect("a connection");
    let script = async {
        let mut preface = [0; PREFACE.len()];
        io.read_exact(&mut preface).await.expect("a preface");
        assert_eq!(preface, *PREFACE);
        let mut out = BytesMut::new();
        frame::write_settings(&mut out, &[Setting::HeaderTable(table)]);
        frame::write_settings_ack(&mut out);
        io.write_all(&out).await.expect("it reads");
        let mut decoder = Decoder::new(table as usize, usize::MAX);
        for (other_path, fields) in requests {
            let path = if other_path { "/b" } else { "/a" };
            let mut request = Request::post(format!("http://etcd{path}"))
                .version(Version::HTTP_2)
                .body(())
                .expect("a request");
            let mut expected = pairs([
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "etcd"),
                (":path", path),
            ]);
            for (name, value, indexing) in fields {
                let name = HeaderName::from_bytes(&name).expect("a name");
                let mut allowed = HeaderValue::from_bytes(&value).expect("a value");
                allowed.set_sensitive(indexing == Indexing::Secret);
                expected.extend(pairs([(name.as_str(), &value)]));
                request.headers_mut().append(name, allowed);
            }
            send = send.ready().await.expect("there is room");
            let (_response, _) = send.send_request(request, true).expect("a request");
            let (mut head, mut payload) = loop {
                let (head, payload) = next_frame(&mut io).await;
                match head.kind {
                    Kind::Headers => break (head, payload),
                    Kind::Settings if head.has(flag::ACK) => decoder.settings_acknowledged(),
                    _ => {}
                }
            };
            let (id, mut block) = (head.stream, Vec::new());
            loop {
                let content = frame::content(head, &payload).expect("well formed");
                block.extend_from_slice(&payload[content]);
                if head.has(flag::END_HEADERS) {
                    break;
                }
                (head, payload) = next_frame(&mut io).await;
                assert_eq!(head.kind, Kind::Continuation);
            }
            let (fields, decoded) = decode(&mut decoder, &block).expect("readable");
            prop_assert_eq!((sorted(fields), decoded), (sorted(expected), Decoded::Whole));
            let mut out = BytesMut::new();
            frame::write_headers(&mut out, id, true, 1 << 14, |out| out.extend_from_slice(b"\x88"));
            io.write_all(&out).await.expect("it reads");
        }
        Ok(())
    };
    tokio::select! {
        biased;
        passed = script => passed,
        ended = connection => panic!("the connection ended: {ended:?}"),
    }
}

/// Writes requests to `h2`, which wants a table of that size, and has it say what it read.
async fn writes(table: u32, requests: Vec<(bool, Vec<Owned>)>) -> Result<(), TestCaseError> {
    let (mut io, theirs) = duplex(WIDE);
    let mut out = BytesMut::from(&PREFACE[..]);
    frame::write_settings(&mut out, &[]);
    io.write_all(&out).await.expect("there is room");
    let mut connection: server::Connection<_, Bytes> = server::Builder::new()
        .header_table_size(table)
        .max_header_list_size(1 << 20)
        .handshake(theirs)
        .await
        .expect("a connection");
    let (head, payload) = next_frame(&mut io).await;
    assert_eq!(head.kind, Kind::Settings);
    let mut encoder = Encoder::new();
    let settings = frame::settings(head, &payload).expect("settings");
    for setting in settings.map(|setting| setting.expect("a setting")) {
        if let Setting::HeaderTable(size) = setting {
            encoder.set_max_table(size);
        }
    }
    let head = |path| {
        let field = |name, value| (Bytes::from(name), Bytes::from(value), Indexing::Repeats);
        Prepared::new([
            field(":method", "POST"),
            field(":scheme", "http"),
            field(":path", path),
            field(":authority", "etcd"),
        ])
    };
    let (mut a, mut b) = (head("/a"), head("/b"));
    let mut out = BytesMut::new();
    frame::write_settings_ack(&mut out);
    for (nth, (other_path, fields)) in (0..).zip(requests) {
        let (prepared, path) = if other_path { (&mut b, "/b") } else { (&mut a, "/a") };
        frame::write_headers(&mut out, StreamId::new(2 * nth + 1), true, 1 << 14, |out| {
            encoder.encode_prepared(prepared, out);
            for (name, value, indexing) in &fields {
                encoder.encode(Field { name, value, indexing: *indexing }, out);
            }
        });
        io.write_all(&out.split()).await.expect("there is room");
        let (request, mut respond) =
            connection.accept().await.expect("a request").expect("a connection");
        prop_assert_eq!(request.uri(), &*format!("http://etcd{path}"));
        let got = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let expected = fields.iter().map(|(name, value, _)| (name, value));
        prop_assert_eq!(sorted(pairs(got)), sorted(pairs(expected)));
        respond.send_response(Response::new(()), true).expect("it goes out");
    }
    Ok(())
}

fn table() -> impl Strategy<Value = u32> {
    prop::sample::select(vec![0, 40, 100, 300, 4096, 1 << 16])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_h2_writes_is_read(table in table(), requests in requests()) {
        run(reads(table, requests))?;
    }

    #[test]
    fn what_is_written_h2_reads(table in table(), requests in requests()) {
        run(writes(table, requests))?;
    }
}
