use proptest::prelude::*;

use super::*;
use crate::snapshot::codec::Encoder;

/// A snapshot of these blocks.
fn snapshot(blocks: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    for (kind, payload) in blocks {
        writer.block(*kind, payload).unwrap();
    }
    writer.finish().unwrap()
}

/// A few KiB: blocks of many lengths, none among them, and every byte in one of them.
fn sample() -> Vec<u8> {
    let lengths = [0, 1, 16, 3, 700, 0, 256, 1500, 64];
    let blocks = lengths.iter().enumerate().map(|(n, &length)| {
        (n as u8 + 1, (0..length).map(|at: usize| (at as u8).wrapping_mul(n as u8 + 1)).collect())
    });
    snapshot(&blocks.collect::<Vec<_>>())
}

/// Where the parts of a whole snapshot begin: header, blocks, end, and the file's length.
fn parts(bytes: &[u8]) -> Vec<usize> {
    let mut parts = vec![0, HEADER];
    parts.extend(read(bytes).unwrap().iter().map(|block| block.offset as usize + block.payload.len() + SUM));
    parts.push(bytes.len());
    parts
}

/// The part that a byte belongs to.
fn part(parts: &[usize], at: usize) -> usize {
    parts.partition_point(|&begin| begin <= at)
}

/// A block with a right checksum, whatever else it says.
fn raw(frame: [u8; FRAME], ordinal: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&checksum(&frame, ordinal, payload).to_le_bytes());
    bytes
}

#[track_caller]
fn assert_damaged(bytes: &[u8], at: usize, says: &str) {
    match read(bytes) {
        Err(SnapshotError::Damaged { offset, what }) => {
            assert_eq!(offset, at as u64, "{what}");
            assert!(what.contains(says), "{what}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_bytes_of_a_snapshot() {
    // By hand, the checksums with another implementation of CRC-32.
    let expected = b"\x89TGS\r\n\x1a\n\x01\0\0\0\0\0\0\0\xeb\xed\xe4\xec\
        \x07\0\0\0\x03\0\0\0abc\x8d\xb0\x2e\x4b\
        \0\0\0\0\x10\0\0\0\x01\0\0\0\0\0\0\0\x23\0\0\0\0\0\0\0\x7e\x15\xe1\x5a";
    let bytes = snapshot(&[(7, b"abc".to_vec())]);
    assert_eq!(bytes, expected);
    let block = Block { kind: 7, payload: b"abc", offset: 28 };
    assert_eq!(read(&bytes).unwrap(), [block]);
}

#[test]
fn an_empty_snapshot_and_the_longest_block() {
    assert_eq!(read(&snapshot(&[])).unwrap(), []);
    let long = vec![5; MAX_PAYLOAD];
    let bytes = snapshot(&[(255, long.clone())]);
    assert_eq!(read(&bytes).unwrap()[0].payload, long);
}

#[test]
fn blocks_that_a_reader_would_refuse_are_not_written() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    for (kind, payload) in [(0, vec![]), (1, vec![0; MAX_PAYLOAD + 1])] {
        let error = writer.block(kind, &payload).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    }
    writer.block(1, b"x").unwrap();
    assert_eq!(read(&writer.finish().unwrap()).unwrap().len(), 1);
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        blocks in prop::collection::vec((1..=255u8, prop::collection::vec(any::<u8>(), 0..300)), 0..40)
    ) {
        let bytes = snapshot(&blocks);
        let found = read(&bytes).unwrap();
        let found: Vec<_> = found.iter().map(|block| {
            let at = block.offset as usize;
            assert_eq!(&bytes[at..at + block.payload.len()], block.payload);
            (block.kind, block.payload.to_vec())
        }).collect();
        prop_assert_eq!(found, blocks);
    }

    #[test]
    fn any_bytes_are_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..200), headed in any::<bool>(), cut in any::<prop::sample::Index>()
    ) {
        let mut all = if headed { header(VERSION).to_vec() } else { Vec::new() };
        all.extend_from_slice(&bytes);
        prop_assert!(read(&all).is_err());
        // The same bytes between the parts of a whole one.
        let whole = sample();
        let (before, after) = whole.split_at(cut.index(whole.len()));
        let spliced = [before, &bytes, after].concat();
        prop_assert_eq!(read(&spliced).is_ok(), bytes.is_empty());
    }
}

#[test]
fn every_other_value_of_every_byte_is_seen_and_said_where() {
    let good = sample();
    let parts = parts(&good);
    let mut bytes = good.clone();
    for at in 0..good.len() {
        for change in 1..=255u8 {
            bytes[at] = good[at] ^ change;
            match read(&bytes) {
                Err(SnapshotError::NotASnapshot) => assert!(at < MAGIC.len(), "byte {at}"),
                Err(SnapshotError::Damaged { offset, .. }) => {
                    assert_eq!(part(&parts, offset as usize), part(&parts, at), "byte {at}, said {offset}");
                    assert!(at >= MAGIC.len());
                }
                other => panic!("byte {at} with {change:#x}: {other:?}"),
            }
        }
        bytes[at] = good[at];
    }
    assert!(read(&bytes).is_ok());
}

#[test]
fn every_truncation_is_seen_and_said_where() {
    let good = sample();
    for length in 0..good.len() {
        match read(&good[..length]) {
            Err(SnapshotError::CutOff { offset }) => assert_eq!(offset, length as u64),
            other => panic!("{length}: {other:?}"),
        }
    }
}

#[test]
fn what_never_was_a_snapshot_is_told_apart() {
    for bytes in [&b"[plans.free]"[..], b"\x89PNG\r\n\x1a\n and more", b"x", &[0; 4096]] {
        assert!(matches!(read(bytes), Err(SnapshotError::NotASnapshot)));
    }
    // Sent as text: line ends changed, or bit 7 gone.
    for (from, to) in [(&b"\r\n"[..], &b"\n"[..]), (b"\x89", b"\x09")] {
        let good = sample();
        let at = good.windows(from.len()).position(|found| found == from).unwrap();
        let changed = [&good[..at], to, &good[at + from.len()..]].concat();
        assert!(matches!(read(&changed), Err(SnapshotError::NotASnapshot)));
    }
}

#[test]
fn a_newer_version_is_named() {
    for version in [0, 2, 77, u32::MAX] {
        let mut bytes = sample();
        bytes[..HEADER].copy_from_slice(&header(version));
        match read(&bytes) {
            Err(error @ SnapshotError::Version { found, known: 1 }) => {
                assert_eq!(found, version);
                assert!(error.to_string().contains(&version.to_string()), "{error}");
            }
            other => panic!("{other:?}"),
        }
        // Of which nothing but the header is known.
        assert!(matches!(read(&bytes[..HEADER]), Err(SnapshotError::Version { .. })));
    }
}

#[test]
fn bytes_behind_the_end_are_not_ignored() {
    let good = sample();
    for more in [&b"\0"[..], b"more", &good, &good[HEADER..]] {
        let bytes = [&good[..], more].concat();
        assert_damaged(&bytes, good.len(), &format!("{} bytes after the end", more.len()));
    }
}

#[test]
fn lost_repeated_and_swapped_blocks_are_seen() {
    let good = snapshot(&[(1, b"one".to_vec()), (1, b"two".to_vec()), (1, b"six".to_vec())]);
    let [_, one, two, three, end, _] = parts(&good)[..] else { panic!() };
    let lost = [&good[..one], &good[two..]].concat();
    assert_damaged(&lost, one, "block 0");
    let lost_last = [&good[..three], &good[end..]].concat();
    assert_damaged(&lost_last, three, "block 2");
    let repeated = [&good[..two], &good[one..]].concat();
    assert_damaged(&repeated, two, "block 1");
    let swapped = [&good[..two], &good[three..end], &good[two..three], &good[end..]].concat();
    assert_damaged(&swapped, two, "block 1");
}

#[test]
fn blocks_with_right_checksums_are_held_to_the_form() {
    let begin = header(VERSION);
    let end = |blocks: u64, bytes: u64| [blocks.to_le_bytes(), bytes.to_le_bytes()].concat();
    let good = [&begin[..], &raw(frame(END, 16), 0, &end(0, 20))].concat();
    assert!(read(&good).is_ok());
    let wrong = |block: Vec<u8>| [&begin[..], &block].concat();
    assert_damaged(&wrong(raw(frame(END, 16), 0, &end(1, 20))), 28, "counts 1 blocks, there are 0");
    assert_damaged(&wrong(raw(frame(END, 16), 0, &end(0, 21))), 36, "counts 21 bytes");
    assert_damaged(&wrong(raw(frame(END, 15), 0, &[0; 15])), 36, "a number of 8 bytes, of which 7");
    assert_damaged(&wrong(raw(frame(END, 17), 0, &[0; 17])), 24, "17 bytes");
    assert_damaged(&wrong(raw([END, 0, 1, 0, 16, 0, 0, 0], 0, &end(0, 20))), 22, "reserved");
    let length = MAX_PAYLOAD as u32 + 1;
    assert_damaged(&wrong(raw(frame(1, length), 0, &vec![0; length as usize])), 24, "at most 1048576");
    // No such length is believed: what follows is 4 bytes.
    assert_damaged(&wrong(raw(frame(1, u32::MAX), 0, &[])), 24, "at most 1048576");
    let mut header = begin;
    header[14] = 1;
    let sum = crc32fast::hash(&header[..16]);
    header[16..].copy_from_slice(&sum.to_le_bytes());
    assert_damaged(&[&header[..], &good[HEADER..]].concat(), 14, "reserved");
}

#[test]
fn values_are_read_as_they_were_written() {
    let mut encoder = Encoder::new();
    encoder.u8(1).u32(0x203).u32(0x405_0607).u64(8).u128(1 << 100).bytes(b"").str("straße").bytes(&[9; 300]);
    assert_eq!(encoder.payload()[..9], [1, 3, 2, 0, 0, 7, 6, 5, 4]);
    let bytes = snapshot(&[(1, encoder.payload().to_vec())]);
    encoder.clear();
    assert!(encoder.payload().is_empty());
    let blocks = read(&bytes).unwrap();
    let read = blocks[0].decode(|values| {
        assert_eq!((values.u8()?, values.u32()?, values.u32()?), (1, 0x203, 0x405_0607));
        assert_eq!((values.u64()?, values.u128()?, values.bytes()?), (8, 1 << 100, &b""[..]));
        assert_eq!((values.str()?, values.is_empty()), ("straße", false));
        assert_eq!(values.bytes()?, [9; 300]);
        Ok(values.is_empty())
    });
    assert!(read.unwrap());
}

#[test]
fn what_a_payload_does_not_hold_is_said_where() {
    fn error<'a, T>(
        payload: &'a [u8],
        read: impl FnOnce(&mut Decoder<'a>) -> Result<T, SnapshotError>,
    ) -> (u64, String) {
        match (Block { kind: 1, payload, offset: 1000 }).decode(read) {
            Err(SnapshotError::Damaged { offset, what }) => (offset, what),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("was read"),
        }
    }
    let (at, what) = error(&[1, 2, 3], |values| values.u8().and_then(|_| values.u32()));
    assert_eq!((at, what.as_str()), (1001, "a number of 4 bytes, of which 2 are left"));
    for length in 0..16 {
        assert_eq!(error(&vec![0; length], Decoder::u128).0, 1000);
        assert_eq!(error(&vec![0; length.min(7)], Decoder::u64).0, 1000);
    }
    let (at, what) = error(&[7, 255, 255, 255, 255, 0], |values| values.u8().and_then(|_| values.bytes()));
    assert_eq!((at, what.as_str()), (1001, "4294967295 bytes are announced, 1 are left"));
    assert_eq!(error(&[3, 0, 0, 0, b'a', 0xff, b'b'], Decoder::str).0, 1005);
    assert_eq!(error(&[2, 0, 0, 0, 0xff, 0xff], Decoder::str).0, 1004);
    let (at, what) = error(&[1, 2, 3], Decoder::u8);
    assert_eq!((at, what.as_str()), (1001, "2 bytes more than the block's content takes"));
    let refused = |values: &mut Decoder<'_>| {
        values.u32()?;
        match values.u32()? {
            4 => Err::<(), _>(values.refuse("a rate of 4")),
            _ => Ok(()),
        }
    };
    assert_eq!(error(&[1, 0, 0, 0, 4, 0, 0, 0, 5], refused), (1004, "a rate of 4".to_owned()));
    // What `read` did wrong comes before what it left.
    let mismatch = |_: &mut Decoder<'_>| Err::<(), _>(SnapshotError::Mismatch { what: "plans".to_owned() });
    let block = Block { kind: 1, payload: b"left", offset: 0 };
    assert!(matches!(block.decode(mismatch), Err(SnapshotError::Mismatch { .. })));
}

#[test]
fn a_writer_that_is_not_finished_leaves_a_snapshot_that_is_cut_off() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes).unwrap();
    writer.block(1, b"x").unwrap();
    drop(writer);
    let length = bytes.len() as u64;
    assert!(matches!(read(&bytes), Err(SnapshotError::CutOff { offset }) if offset == length));
}
