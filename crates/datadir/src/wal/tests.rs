//! Logs that end well, logs that a crash cut off, and damaged ones.

use etcdkit_proto::raftpb::{Entry, HardState};
use etcdkit_proto::walpb;
use proptest::prelude::*;

use super::{Reader, Record, Tail, Writer};
use crate::error::{Defect, ErrorKind};

fn entry(index: u64, data: Vec<u8>) -> Record {
    let (term, index) = (Some(1), Some(index));
    Record::Entry(Entry { term, index, r#type: Some(0), data: Some(data.into()) })
}

fn segment(crc: u32, records: &[Record]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), crc).expect("memory");
    for record in records {
        writer.append(record).expect("memory");
    }
    writer.into_inner()
}

fn read(bytes: &[u8]) -> Result<(Vec<Record>, Tail), crate::Error> {
    let mut reader = Reader::new(bytes);
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(record);
    }
    Ok((records, reader.tail().expect("the end was reached")))
}

fn sample() -> Vec<Record> {
    vec![
        Record::Metadata("member".into()),
        Record::Snapshot(walpb::Snapshot { index: Some(0), term: Some(0), conf_state: None }),
        entry(1, vec![1; 100]),
        entry(2, vec![2; 2000]),
        Record::State(HardState { term: Some(1), vote: Some(7), commit: Some(2) }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        data in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..20),
        crc in any::<u32>(),
        zeros in 0_usize..100,
    ) {
        let entries = data.into_iter().zip(1..).map(|(data, index)| entry(index, data));
        let records: Vec<Record> = entries.collect();
        let mut bytes = segment(crc, &records);
        bytes.resize(bytes.len() + 8 * zeros, 0);
        let (read, tail) = read(&bytes).expect("sound");
        prop_assert_eq!(&read[0], &Record::Crc(crc));
        prop_assert_eq!(&read[1..], &records[..]);
        prop_assert_eq!(tail, Tail::Clean);
    }
}

#[test]
fn a_log_may_end_anywhere() {
    let bytes = segment(0, &sample());
    let (whole, _) = read(&bytes).expect("sound");
    for length in 0..bytes.len() {
        let (records, tail) = read(&bytes[..length]).expect("a torn tail is no error");
        assert_eq!(records, whole[..records.len()], "{length}");
        match tail {
            Tail::Clean => assert_eq!(
                segment(0, &sample()[..records.len().saturating_sub(1)]).len()
                    * usize::from(!records.is_empty()),
                length
            ),
            Tail::Torn { offset } => assert!(offset < length as u64, "{length}"),
        }
    }
}

#[test]
fn a_torn_sector_is_cut_and_other_damage_is_told() {
    let bytes = segment(0, &sample());
    // The large entry spans whole sectors: one that was never written is zero.
    let mut torn = bytes.clone();
    let sector = 1024;
    torn[sector..sector + 512].fill(0);
    let (records, tail) = read(&torn).expect("a crash explains it");
    assert_eq!(records.len(), 4);
    assert!(matches!(tail, Tail::Torn { .. }));

    let mut damaged = bytes;
    damaged[sector] ^= 1;
    let error = read(&damaged).expect_err("damaged");
    assert_eq!((error.kind(), error.defect()), (ErrorKind::Corrupt, Some(Defect::WalChecksum)));
    assert!(error.offset().is_some());
}

#[test]
fn a_segment_must_go_on_from_the_one_before() {
    let mut bytes = segment(0, &sample());
    bytes.extend(segment(1, &[]));
    let error = read(&bytes).expect_err("another checksum");
    assert_eq!(error.defect(), Some(Defect::WalChecksum));
}
