//! Snapshots' files, so that bytes get past the checksums: see `src/snapshot/container.rs`.

/// Bytes of the header, of a block's frame, and of a checksum.
const HEADER: usize = 20;
const FRAME: usize = 8;
const SUM: usize = 4;

/// Makes a whole file of any bytes: header, frames and checksums are set right where they stand, the end is put behind.
pub(crate) fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut file = b"\x89TGS\r\n\x1a\n\x01\0\0\0\0\0\0\0".to_vec();
    let sum = crc32fast::hash(&file);
    file.extend(sum.to_le_bytes());
    let mut rest = bytes.get(HEADER..).unwrap_or_default();
    let mut blocks = 0u64;
    while let Some((&[kind, _, _, _, a, b, c, d], body)) = rest.split_first_chunk::<FRAME>() {
        if kind == 0 || body.len() <= SUM {
            break;
        }
        let length = (u32::from_le_bytes([a, b, c, d]) as usize).min(body.len() - SUM);
        push(&mut file, kind, blocks, &body[..length]);
        blocks += 1;
        rest = &body[length + SUM..];
    }
    let end = [blocks.to_le_bytes(), (file.len() as u64).to_le_bytes()].concat();
    push(&mut file, 0, blocks, &end);
    file
}

fn push(file: &mut Vec<u8>, kind: u8, ordinal: u64, payload: &[u8]) {
    let [a, b, c, d] = (payload.len() as u32).to_le_bytes();
    let frame = [kind, 0, 0, 0, a, b, c, d];
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame);
    hasher.update(&ordinal.to_le_bytes());
    hasher.update(payload);
    file.extend(frame);
    file.extend(payload);
    file.extend(hasher.finalize().to_le_bytes());
}

/// What the blocks of each kind hold together, for files that were written by the library.
pub(crate) fn content(file: &[u8]) -> [Vec<u8>; 7] {
    let mut content: [Vec<u8>; 7] = Default::default();
    let mut rest = &file[HEADER..];
    while let Some((&[kind, _, _, _, a, b, c, d], body)) = rest.split_first_chunk::<FRAME>() {
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if kind > 0 {
            content[usize::from(kind)].extend(&body[..length]);
        }
        rest = &body[length + SUM..];
    }
    content
}
