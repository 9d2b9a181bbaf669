//! The RFC's examples, each way in which a block can be wrong, and blocks of generated fields. `peer.rs` has the fields go
//! through another implementation.

mod peer;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;

type Pair = (Vec<u8>, Vec<u8>);
type Owned = (Bytes, Bytes, Indexing);

fn pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: impl IntoIterator<Item = (N, V)>) -> Vec<Pair> {
    fields
        .into_iter()
        .map(|(name, value)| (name.as_ref().to_vec(), value.as_ref().to_vec()))
        .collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<(Vec<Pair>, Decoded), DecodeError> {
    let mut fields = Vec::new();
    let decoded =
        decoder.decode(block, |name, value| fields.push((name.to_vec(), value.to_vec())))?;
    Ok((fields, decoded))
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

const REQUESTS: [&[(&str, &str)]; 3] = [
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
        ("cache-control", "no-cache"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ],
];

const REQUEST_BLOCKS: [&str; 3] = [
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
];

const RESPONSES: [&[(&str, &str)]; 3] = [
    &[
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ],
    &[
        (":status", "307"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ],
    &[
        (":status", "200"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
        ("location", "https://www.example.com"),
        ("content-encoding", "gzip"),
        ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
    ],
];

#[track_caller]
fn decodes(table: usize, blocks: [&str; 3], lists: [&[(&str, &str)]; 3]) {
    let mut decoder = Decoder::new(4096, 4096);
    let mut resize = BytesMut::new();
    integer::write(table, 5, 0x20, &mut resize);
    assert_eq!(decode(&mut decoder, &resize), Ok((vec![], Decoded::Whole)));
    for (block, list) in blocks.into_iter().zip(lists) {
        let expected = pairs(list.iter().copied());
        assert_eq!(decode(&mut decoder, &from_hex(block)), Ok((expected, Decoded::Whole)));
    }
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    for (block, name, value) in [
        // Appendix C.2.
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", "custom-key", "custom-header"),
        ("040c2f73616d706c652f70617468", ":path", "/sample/path"),
        ("100870617373776f726406736563726574", "password", "secret"),
        ("82", ":method", "GET"),
    ] {
        let decoded = decode(&mut Decoder::new(4096, 4096), &from_hex(block));
        assert_eq!(decoded, Ok((pairs([(name, value)]), Decoded::Whole)));
    }
    // C.3 and C.4: requests, plain and in Huffman's code.
    decodes(4096, REQUEST_BLOCKS, REQUESTS);
    decodes(
        4096,
        [
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            "828684be5886a8eb10649cbf",
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        ],
        REQUESTS,
    );
    // C.5 and C.6: responses, for which the table is so small that entries have to go.
    decodes(
        256,
        [
            "4803333032580770726976617465611d4d6f6e2c203231204f63742032303133\
             2032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d70\
             6c652e636f6d",
            "4803333037c1c0bf",
            "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d\
             54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f5049\
             5541585157454f49553b206d61782d6167653d333630303b2076657273696f6e\
             3d31",
        ],
        RESPONSES,
    );
    decodes(
        256,
        [
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a6\
             2d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
            "4883640effc1c0bf",
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab\
             77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f\
             9587316065c003ed4ee5b1063d5007",
        ],
        RESPONSES,
    );
}

fn encode(encoder: &mut Encoder, fields: &[(&str, &str, Indexing)]) -> BytesMut {
    let mut block = BytesMut::new();
    for (name, value, indexing) in fields {
        let (name, value, indexing) = (name.as_bytes(), value.as_bytes(), *indexing);
        encoder.encode(Field { name, value, indexing }, &mut block);
    }
    block
}

#[test]
fn the_examples_of_the_rfc_are_written() {
    let mut encoder = Encoder::new();
    for (block, list) in REQUEST_BLOCKS.into_iter().zip(REQUESTS) {
        let list: Vec<_> =
            list.iter().map(|(name, value)| (*name, *value, Indexing::Repeats)).collect();
        assert_eq!(encode(&mut encoder, &list), from_hex(block));
    }
}

#[test]
fn integers_are_those_of_the_rfc() {
    for (value, prefix, bytes) in [
        (0, 5, &[0][..]),
        (10, 5, &[10]),
        (30, 5, &[30]),
        (31, 5, &[31, 0]),
        (1337, 5, &[31, 154, 10]),
        (42, 7, &[42]),
        (127, 7, &[127, 0]),
        (127 + 127, 7, &[127, 127]),
        (127 + 128, 7, &[127, 128, 1]),
        (15 + (1 << 28) - 1, 4, &[15, 0xff, 0xff, 0xff, 0x7f]),
    ] {
        let mut out = BytesMut::new();
        integer::write(value, prefix, 0, &mut out);
        assert_eq!(out, bytes);
        let mut rest = bytes;
        assert_eq!(integer::read(&mut rest, prefix), Ok(value));
        assert!(rest.is_empty());
    }
}

#[test]
fn what_varies_is_taken_in_for_its_name_only_and_a_secret_never() {
    let mut encoder = Encoder::new();
    for (field, block) in [
        (("grpc-timeout", "1S", Indexing::Varies), &b"\x40\x0cgrpc-timeout\x021S"[..]),
        (("grpc-timeout", "2S", Indexing::Varies), b"\x0f\x2f\x022S"),
        (("grpc-timeout", "1S", Indexing::Varies), b"\xbe"),
        (("token", "a", Indexing::Secret), b"\x10\x05token\x01a"),
        (("token", "a", Indexing::Secret), b"\x10\x05token\x01a"),
        (("token", "a", Indexing::Repeats), b"\x40\x05token\x01a"),
        (("token", "a", Indexing::Repeats), b"\xbe"),
        (("token", "a", Indexing::Secret), b"\x1f\x2f\x01a"),
        (("token", "b", Indexing::Repeats), b"\x7e\x01b"),
    ] {
        assert_eq!(
            encode(&mut encoder, &[field]).escape_ascii().to_string(),
            block.escape_ascii().to_string(),
            "{field:?}"
        );
    }
}

#[test]
fn a_field_that_would_fill_the_table_is_not_taken_in() {
    let mut encoder = Encoder::new();
    let (fits, too_long) = ("v".repeat(3072 - 32 - 1), "v".repeat(3072 - 32));
    encode(&mut encoder, &[("n", &too_long, Indexing::Repeats)]);
    assert!(encode(&mut encoder, &[("n", &too_long, Indexing::Repeats)]).len() > too_long.len());
    encode(&mut encoder, &[("n", &fits, Indexing::Repeats)]);
    assert_eq!(encode(&mut encoder, &[("n", &fits, Indexing::Repeats)])[..], *b"\xbe");
}

#[test]
fn a_prepared_block_of_one_connection_is_not_taken_for_that_of_another() {
    let field =
        |name, value| (Bytes::from_static(name), Bytes::from_static(value), Indexing::Repeats);
    let mut prepared = Prepared::new([field(b"name", b"value")]);
    for _ in 0..2 {
        let mut encoder = Encoder::new();
        for expected in [&b"\x40\x04name\x05value"[..], b"\xbe", b"\xbe"] {
            let mut block = BytesMut::new();
            encoder.encode_prepared(&mut prepared, &mut block);
            assert_eq!(block, expected);
        }
    }
}

#[test]
fn the_peer_is_told_the_lowest_size_and_the_last() {
    let (small, large, field) = (b"\x3f\x21", b"\x3f\xe1\x1f", b"\x83");
    for (sizes, expected) in [
        (&[][..], vec![&field[..]]),
        (&[4096], vec![field]),
        (&[1 << 30], vec![field]),
        (&[64], vec![small, field]),
        (&[0], vec![b"\x20", field]),
        (&[64, 4096], vec![small, large, field]),
        (&[0, 4096, 64], vec![b"\x20", small, field]),
    ] {
        let mut encoder = Encoder::new();
        for &size in sizes {
            encoder.set_max_table(size);
        }
        let post = (":method", "POST", Indexing::Repeats);
        assert_eq!(encode(&mut encoder, &[post])[..], expected.concat(), "{sizes:?}");
        assert_eq!(encode(&mut encoder, &[post])[..], field[..], "it is told once");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    for (block, expected) in [
        // Ends within an index, a length, a name, a value, before a value.
        ("ff", DecodeError::UnexpectedEnd),
        ("ffff", DecodeError::UnexpectedEnd),
        ("40", DecodeError::UnexpectedEnd),
        ("4002", DecodeError::UnexpectedEnd),
        ("400261", DecodeError::UnexpectedEnd),
        ("40026161", DecodeError::UnexpectedEnd),
        ("4002616103", DecodeError::UnexpectedEnd),
        ("0002616103", DecodeError::UnexpectedEnd),
        ("407fffffff7f", DecodeError::UnexpectedEnd),
        ("ffffffffffff", DecodeError::IntegerTooLarge),
        ("ff8080808000", DecodeError::IntegerTooLarge),
        ("80", DecodeError::NoSuchEntry(0)),
        ("40026161016280", DecodeError::NoSuchEntry(0)),
        ("be", DecodeError::NoSuchEntry(62)),
        ("7e0161", DecodeError::NoSuchEntry(62)),
        ("0f2f0161", DecodeError::NoSuchEntry(62)),
        // A field was taken in, so there is an entry 62, but no 63.
        ("4001610162bebf", DecodeError::NoSuchEntry(63)),
        // Huffman's code: eight bits of padding, padding with a zero in it, the end itself.
        ("008161ff00", DecodeError::UnexpectedEnd),
        ("000161821fff", DecodeError::InvalidHuffman),
        ("0001618118", DecodeError::InvalidHuffman),
        ("00016184ffffffff", DecodeError::InvalidHuffman),
        ("40016184ffffffff", DecodeError::InvalidHuffman),
        ("3fe21f", DecodeError::TableTooLarge(4097)),
        ("8220", DecodeError::MisplacedResize),
    ] {
        let block = from_hex(block);
        let decoded = decode(&mut Decoder::new(4096, 4096), &block);
        assert_eq!(decoded, Err(expected), "{}", block.escape_ascii());
    }
}

#[test]
fn a_table_that_was_to_be_reduced_and_is_not_ends_the_connection() {
    let mut decoder = Decoder::new(100, 4096);
    assert!(decode(&mut decoder, b"\x82").is_ok(), "the peer does not know the settings yet");
    decoder.settings_acknowledged();
    assert_eq!(decode(&mut decoder, b""), Ok((vec![], Decoded::Whole)));
    assert_eq!(decode(&mut decoder, b"\x3f\x46\x82"), Err(DecodeError::TableTooLarge(101)));
    assert_eq!(decode(&mut decoder, b"\x82"), Err(DecodeError::TableNotReduced));
    assert!(decode(&mut decoder, b"\x3f\x45\x82").is_ok());
    assert!(decode(&mut decoder, b"\x82").is_ok());
}

#[test]
fn a_list_that_is_too_long_leaves_the_table_in_step() {
    let fits = b"\x40\x01a\x01b";
    // The limit is that of two such fields, 34 bytes each.
    let mut decoder = Decoder::new(4096, 68);
    let (fields, decoded) = decode(&mut decoder, &fits.repeat(2)).expect("readable");
    assert_eq!((fields.len(), decoded), (2, Decoded::Whole));
    let (fields, decoded) = decode(&mut decoder, b"\xbe\xbe\x40\x01c\x01d\xbe").expect("readable");
    assert_eq!((fields, decoded), (pairs([("a", "b"); 2]), Decoded::TooLong));
    assert_eq!(
        decode(&mut decoder, b"\xbe\xbf"),
        Ok((pairs([("c", "d"), ("a", "b")]), Decoded::Whole))
    );
    // What was told has no gap in it, though the last field would have fitted in.
    let long = [&b"\x40\x01e\x46"[..], &[b'f'; 70], b"\xbf"].concat();
    assert_eq!(decode(&mut decoder, &long), Ok((vec![], Decoded::TooLong)));
    assert_eq!(decode(&mut decoder, b"\xbf"), Ok((pairs([("c", "d")]), Decoded::Whole)));
}

#[test]
fn a_small_block_of_endless_fields_is_given_up() {
    // A name that fills most of the table, and then two bytes each for a new entry of that name.
    let mut first = BytesMut::from(&b"\x40"[..]);
    integer::write(4000, 7, 0, &mut first);
    first.extend_from_slice(&[b'n'; 4000]);
    first.extend_from_slice(b"\0");
    for (entries, expected) in [
        (1 << 19, Err(DecodeError::ListFarTooLong)),
        (((1 << 20) / 4032), Ok((vec![], Decoded::TooLong))),
    ] {
        let mut decoder = Decoder::new(4096, 4000);
        assert_eq!(decode(&mut decoder, &first), Ok((vec![], Decoded::TooLong)));
        assert_eq!(decode(&mut decoder, &b"\x7e\0".repeat(entries)), expected);
    }
}

#[test]
fn a_field_larger_than_the_table_is_told_and_empties_it() {
    let mut decoder = Decoder::new(4096, 1 << 20);
    assert!(decode(&mut decoder, b"\x40\x01a\x01b").is_ok());
    let value = vec![b'v'; 5000];
    // Its name is that of an entry that goes for it.
    let mut block = BytesMut::from(&b"\x7e"[..]);
    integer::write(value.len(), 7, 0, &mut block);
    block.extend_from_slice(&value);
    assert_eq!(decode(&mut decoder, &block), Ok((pairs([(b"a", &value)]), Decoded::Whole)));
    assert_eq!(decode(&mut decoder, b"\xbe"), Err(DecodeError::NoSuchEntry(62)));
    assert_eq!(decoder.capacity(), 0, "nor does it hold on to the bytes");
}

/// Text in Huffman's code, made from the lengths in the slow way.
fn huffman_code(text: &[u8]) -> Vec<u8> {
    let mut symbols: Vec<usize> = (0..huffman::LENGTHS.len()).collect();
    symbols.sort_by_key(|&symbol| (huffman::LENGTHS[symbol], symbol));
    let mut codes = vec![String::new(); symbols.len()];
    let (mut code, mut last) = (0_u64, 0);
    for symbol in symbols {
        let length = huffman::LENGTHS[symbol];
        code <<= length - last;
        last = length;
        codes[symbol] = format!("{code:0width$b}", width = usize::from(length));
        code += 1;
    }
    let mut bits: String = text.iter().map(|&byte| codes[usize::from(byte)].as_str()).collect();
    while !bits.len().is_multiple_of(8) {
        bits.push('1');
    }
    let byte = |bits: &[u8]| bits.iter().fold(0, |byte, &bit| byte << 1 | (bit - b'0'));
    bits.as_bytes().chunks(8).map(byte).collect()
}

#[test]
fn codes_are_those_of_the_rfc() {
    // Appendix B: some codes of each length, filled up with ones.
    for (text, code) in [
        (&b"0"[..], "07"),
        (b"t", "4f"),
        (b" ", "53"),
        (b":", "b9"),
        (b"X", "fc"),
        (b"!", "fe3f"),
        (b"'", "ff5f"),
        (b"#", "ffaf"),
        (b"\0", "ffc7"),
        (b"^", "fff3"),
        (b"<", "fff9"),
        (b"\\", "fffe1f"),
        (&[128], "fffe6f"),
        (&[153], "fffee7"),
        (&[129], "ffff4b"),
        (&[1], "ffffb1"),
        (&[9], "ffffea"),
        (&[199], "fffff67f"),
        (&[192], "fffff83f"),
        (&[203], "fffffbdf"),
        (&[2], "fffffe2f"),
        (&[249], "ffffffef"),
        (b"\n", "fffffff3"),
        (&[22], "fffffffb"),
    ] {
        assert_eq!(huffman_code(text), from_hex(code), "{text:?}");
    }
}

fn indexing() -> impl Strategy<Value = Indexing> {
    prop_oneof![Just(Indexing::Repeats), Just(Indexing::Varies), Just(Indexing::Secret)]
}

/// Names and values of which some come again, some are long, and some have whatever bytes.
fn field() -> impl Strategy<Value = Owned> {
    let name = prop_oneof![
        4 => prop::sample::select(vec![":path", "content-type", "x-a", "x-b", "grpc-timeout", "te"])
            .prop_map(Bytes::from),
        1 => "[a-z-]{1,40}".prop_map(Bytes::from),
    ];
    let value = prop_oneof![
        4 => prop::sample::select(vec!["", "/", "application/grpc", "a", "trailers"]).prop_map(Bytes::from),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Bytes::from),
        1 => (0_usize..4200).prop_map(|length| Bytes::from(vec![b'v'; length])),
    ];
    (name, value, indexing())
}

#[derive(Clone, Debug)]
enum Step {
    Resize(u32),
    /// A head that was prepared, and fields behind it.
    Block(usize, Vec<Owned>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => prop_oneof![0_u32..200, Just(4096), Just(u32::MAX)].prop_map(Step::Resize),
        8 => (0_usize..3, prop::collection::vec(field(), 0..6))
            .prop_map(|(head, fields)| Step::Block(head, fields)),
    ]
}

/// Three heads: two whose fields repeat, one of arbitrary fields.
fn heads(any: Vec<Owned>) -> [Prepared; 3] {
    let field =
        |name, value| (Bytes::from_static(name), Bytes::from_static(value), Indexing::Repeats);
    [
        Prepared::new([
            field(b":method", b"POST"),
            field(b":path", b"/a"),
            field(b"te", b"trailers"),
        ]),
        Prepared::new([
            field(b":method", b"POST"),
            field(b":path", b"/b"),
            field(b"te", b"trailers"),
        ]),
        Prepared::new(any),
    ]
}

proptest! {
    #[test]
    fn fields_come_out_as_they_went_in(
        any in prop::collection::vec(field(), 0..4),
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let mut heads = heads(any.clone());
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096, usize::MAX));
        for step in steps {
            let (head, fields) = match step {
                Step::Resize(size) => {
                    encoder.set_max_table(size);
                    continue;
                }
                Step::Block(head, fields) => (head, fields),
            };
            let mut block = BytesMut::new();
            encoder.encode_prepared(&mut heads[head], &mut block);
            for (name, value, indexing) in &fields {
                encoder.encode(Field { name, value, indexing: *indexing }, &mut block);
            }
            let path = ["/a", "/b"].get(head);
            let expected = match path {
                Some(path) => pairs([(":method", "POST"), (":path", *path), ("te", "trailers")]),
                None => pairs(any.iter().map(|(name, value, _)| (name, value))),
            };
            let fields = pairs(fields.iter().map(|(name, value, _)| (name, value)));
            prop_assert_eq!(
                decode(&mut decoder, &block),
                Ok(([expected, fields].concat(), Decoded::Whole))
            );
        }
    }

    #[test]
    fn text_comes_out_of_its_code(text: Vec<u8>) {
        let mut decoded = b"before".to_vec();
        prop_assert_eq!(huffman::decode(&huffman_code(&text), &mut decoded), Ok(()));
        prop_assert_eq!(&decoded[6..], &text);
    }

    #[test]
    fn any_block_is_read_within_bounds(
        // Bytes that begin instructions are more likely than others.
        blocks in prop::collection::vec(
            prop::collection::vec(
                prop_oneof![any::<u8>(), prop::sample::select(vec![0x40, 0x7e, 0xbe, 0x01, 0x81, 0x20, 0x00])],
                0..200,
            ),
            1..40,
        ),
        max_list in 0_usize..300,
    ) {
        let mut decoder = Decoder::new(4096, max_list);
        for block in blocks {
            let mut told = 0;
            let decoded = decoder.decode(&block, |name, value| told += name.len() + value.len() + 32);
            prop_assert!(told <= max_list);
            // Twice what the table may hold, and once more for a vector that doubles.
            prop_assert!(decoder.capacity() <= 4 * 4096 + 4096);
            if decoded.is_err() {
                break;
            }
        }
    }
}
