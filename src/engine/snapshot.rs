//! What requests have left behind, written down: the content of a snapshot, and how it is read.
//!
//! | block | holds |
//! | --- | --- |
//! | engine | kind and seed of the hashes, groups of the table at level 0, instant |
//! | events | what the directory was made of: the histories of all limits |
//! | cells | a throttle that is alone: hash, segment, level |
//! | lines | everything else but the states of keys: hash, four words |
//! | book | ids that are known, with what their requests debited |
//! | keys | digests, states, and which of them rotations made |
//!
//! It is written while decisions go on. What is kept of a registered subject's or a pool's limits of a place and unit is that
//! of one instant; so is each limit of anybody else. No key is in it, and of anonymous subjects nothing but a keyed hash: with
//! the seed, which it holds, somebody can find out whether a name that he guesses is among them.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::beside::{Companion, KEPT};
use super::book::{Debit, Entry, Part, What};
use super::decide::ATTEMPTS;
use super::kinds::{Kind, date_number, date_of};
use super::rows::Row;
use super::slots::Taken;
use super::state::head_tag;
use super::world::World;
use super::{Capacity, Engine};
use crate::calendar::Date;
use crate::error::SnapshotError;
use crate::key::KeyState;
use crate::plan::{EVENT_WORDS, LineUse, QUOTAS};
use crate::snapshot::{Block, Decoder, Encoder, Periodic, Writer, load, read, replace};
use crate::store::{Head, Stored};
use crate::sync::spin_loop;
use crate::time::Nanos;

const ENGINE: u8 = 1;
const EVENTS: u8 = 2;
const CELLS: u8 = 3;
const LINES: u8 = 4;
const BOOK: u8 = 5;
const KEYS: u8 = 6;

/// A block is written when it has so many bytes.
const MUCH: usize = 256 << 10;

/// A key's state.
#[derive(Debug)]
pub(super) struct StoredKey {
    /// The pepper's name; empty for a plain SHA-256.
    pub pepper: String,
    pub bytes: [u8; 32],
    /// What only a listed key has: its id, its subject, whether it is on, its expiry, whether a rotation made it.
    pub listed: Option<(Arc<str>, Arc<str>, KeyState, bool)>,
    pub revoked: Option<u64>,
}

/// What an engine's requests have left behind, as it was written down at some instant: the state of every limit, the usage
/// log, alerts that have fired, ids that are known, and the states of keys. Plans and subjects are not in it.
///
/// ```
/// use tollgate::{Changes, Engine, Plan, Quota, Request, Snapshot};
/// # let path = std::env::temp_dir().join(format!("tollgate-snapshot-doc-{}", std::process::id()));
/// let changes = Changes::new().plan("free", Plan::new().quota(Quota::new(1, "day")));
/// let engine = Engine::builder().changes(changes.clone()).build()?;
/// let visitor = Request::anonymous("free", "192.0.2.1");
/// assert!(engine.check(&visitor).is_allowed());
/// engine.save(&path)?;
///
/// let later = Engine::builder().changes(changes).snapshot(Snapshot::load(&path)?).build()?;
/// assert!(!later.check(&visitor).is_allowed());
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Snapshot {
    pub(super) hash: HashId,
    /// Groups of the table at level 0: with them a cell's hash is known well enough.
    pub(super) base: u32,
    at: u64,
    pub(super) events: Vec<[u128; EVENT_WORDS]>,
    pub(super) cells: Vec<(u64, u32, u64)>,
    /// By the hash that they are found by.
    pub(super) lines: Vec<(u64, [u128; 4])>,
    pub(super) book: Vec<(u128, Entry)>,
    pub(super) keys: Vec<StoredKey>,
}

/// Which hashes name state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct HashId {
    /// Whether they are those of memory that is shared.
    pub specified: bool,
    pub seed: u128,
}

impl Snapshot {
    /// Reads a snapshot's file.
    ///
    /// # Errors
    /// A file that cannot be read; one that is no snapshot, that another version wrote, or that is damaged: it is refused
    /// whole, and the error says at which byte.
    pub fn load(path: impl AsRef<Path>) -> Result<Snapshot, SnapshotError> {
        Snapshot::read(&load(path.as_ref())?)
    }

    /// Reads a snapshot's bytes.
    ///
    /// # Errors
    /// As [`load`](Snapshot::load).
    pub fn read(bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
        let mut blocks = read(bytes)?.into_iter();
        let first = blocks.next().filter(|block| block.kind == ENGINE);
        let first = first.ok_or(SnapshotError::Damaged { offset: 0, what: "no first block".into() })?;
        let mut snapshot = first.decode(|from| {
            let specified = from.u8()? != 0;
            let hash = HashId { specified, seed: from.u128()? };
            let (base, at) = (from.u32()?, from.u64()?);
            if base == 0 {
                return Err(from.refuse("a table of no groups"));
            }
            let (events, cells, lines, book, keys) = Default::default();
            Ok(Snapshot { hash, base, at, events, cells, lines, book, keys })
        })?;
        for block in blocks {
            block.decode(|from| snapshot.take(&block, from))?;
        }
        Ok(snapshot)
    }

    fn take(&mut self, block: &Block<'_>, from: &mut Decoder<'_>) -> Result<(), SnapshotError> {
        while !from.is_empty() {
            match block.kind {
                EVENTS => {
                    let mut event = [0; EVENT_WORDS];
                    for word in &mut event {
                        *word = from.u128()?;
                    }
                    self.events.push(event);
                }
                CELLS => self.cells.push((from.u64()?, from.u32()?, from.u64()?)),
                LINES => {
                    let hash = from.u64()?;
                    let words = [from.u128()?, from.u128()?, from.u128()?, from.u128()?];
                    if words.iter().any(|word| word >> 127 != 0) || hash >> 63 != 0 {
                        return Err(from.refuse("a word that no line holds"));
                    }
                    self.lines.push((hash, words));
                }
                BOOK => self.book.push(decode_entry(from)?),
                KEYS => self.keys.push(decode_key(from)?),
                other => return Err(from.refuse(format!("a block of the unknown kind {other}"))),
            }
        }
        Ok(())
    }

    /// Room for all that it holds, and for no more.
    pub fn capacity(&self) -> Capacity {
        let (cells, lines) = (self.cells.len() as u64, self.lines.len() as u64);
        Capacity::new().cells(cells + lines).lines(lines)
    }

    /// When it was taken, by the engine's clock.
    pub fn taken_at(&self) -> Nanos {
        Nanos::new(self.at)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Snapshot { at, cells, lines, book, keys, .. } = self;
        f.debug_struct("Snapshot")
            .field("taken_at", at)
            .field("cells", &cells.len())
            .field("lines", &lines.len())
            .field("ids", &book.len())
            .field("keys", &keys.len())
            .finish_non_exhaustive()
    }
}

/// Blocks of one kind, written as they fill.
struct Blocks<'w, W> {
    writer: &'w mut Writer<W>,
    kind: u8,
    encoder: Encoder,
}

impl<'w, W: Write> Blocks<'w, W> {
    fn new(writer: &'w mut Writer<W>, kind: u8) -> Blocks<'w, W> {
        Blocks { writer, kind, encoder: Encoder::new() }
    }

    /// Where the next record goes.
    fn next(&mut self) -> io::Result<&mut Encoder> {
        if self.encoder.payload().len() >= MUCH {
            self.flush()?;
        }
        Ok(&mut self.encoder)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.block(self.kind, self.encoder.payload())?;
        self.encoder.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        if self.encoder.payload().is_empty() { Ok(()) } else { self.flush() }
    }
}

/// Rows of usage logs that were written.
#[derive(Default)]
struct Written {
    /// Their counts as they were then, by hash.
    rows: HashMap<u64, u128>,
    /// Those that went on with a counter, and have not been looked at again.
    open: HashSet<u64>,
    /// What is written later, and its counts before any row was read: no row has begun where they are the same.
    owned: HashMap<u64, u128>,
}

/// The lines of limits that registered subjects and pools have.
fn owned_by(world: &World) -> impl Iterator<Item = (u64, &LineUse)> {
    let subjects = world.subjects.values().flat_map(|subject| {
        let plans = subject.plans.iter().filter_map(|&number| world.plan(number));
        plans.flat_map(|plan| plan.subject_lines()).map(|used| (subject.owner, used))
    });
    let pools = world.plans.iter().flatten();
    subjects.chain(pools.flat_map(|plan| plan.pool.lines.iter().map(|used| (plan.pool_owner, used))))
}

impl Engine {
    /// Writes a snapshot to a file: beside it first, and in its place when all of it is on the disk. Whatever happens on the
    /// way, the file is the whole old or the whole new one. Decisions go on meanwhile.
    ///
    /// # Errors
    /// What the system says of the file; it is as it was.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), SnapshotError> {
        let _saving = self.saving.lock();
        replace(path.as_ref(), |out| self.write_content(out))
    }

    /// Writes a snapshot to `out`, and flushes it.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_snapshot(&self, mut out: impl Write) -> io::Result<()> {
        self.write_content(&mut out)?;
        out.flush()
    }

    /// Saves a snapshot in a thread of its own, every `interval` and a last time when the handle is stopped or dropped.
    ///
    /// # Errors
    /// An interval of less than a millisecond; a system that gives no thread.
    pub fn save_every(
        self: &Arc<Engine>,
        path: impl AsRef<Path>,
        interval: Duration,
    ) -> Result<Periodic, SnapshotError> {
        let (engine, path) = (Arc::clone(self), path.as_ref().to_owned());
        Periodic::start(interval, move || engine.save(&path))
    }

    fn write_content(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut writer = Writer::new(out)?;
        let world = self.world.get();
        let HashId { specified, seed } = self.owners.id_of_hash();
        let mut about = Encoder::new();
        about.u8(specified.into()).u128(seed).u32(self.store.base()).u64(self.now().get());
        writer.block(ENGINE, about.payload())?;

        // What is stored is written under events that are known when it is read: they are written last. Cells come before
        // lines, as one may become a line meanwhile.
        self.write_cells(&mut writer)?;
        let mut lines = Blocks::new(&mut writer, LINES);
        let owned =
            owned_by(&world).flat_map(|(owner, used)| self.lines_of(owner, used).map(|(hash, _)| hash));
        let counts =
            owned.map(|hash| (hash, self.stored_line(hash).map_or(0, |(_, words)| words[1] >> 64))).collect();
        let mut written = self.write_others(&mut lines, counts)?;
        for (owner, used) in owned_by(&world) {
            self.write_line_of(owner, used, &mut lines, &mut written)?;
        }
        // What was closed before its owner's lines were read is as it was then, or as it was corrected later.
        for &hash in &written.open {
            if let Some((hash, words)) = self.stored_line(hash)
                && written.rows.get(&hash) != Some(&(words[1] >> 64))
            {
                encode_line(lines.next()?, hash, &words);
            }
        }
        lines.finish()?;
        let world = self.world.get();
        let mut events = Blocks::new(&mut writer, EVENTS);
        for event in world.directory.list() {
            let encoder = events.next()?;
            for &word in event {
                encoder.u128(word);
            }
        }
        events.finish()?;

        // Copied: no request waits for a disk.
        let known = self.book.list();
        let mut book = Blocks::new(&mut writer, BOOK);
        for (id, entry) in known {
            encode_entry(book.next()?, id, &entry);
        }
        book.finish()?;

        let mut keys = Blocks::new(&mut writer, KEYS);
        for record in world.keys.records() {
            let state = self.shared_key(&record.digest).unwrap_or(record.state);
            let pepper = self.peppers.name(record.digest.method).unwrap_or_default();
            let listed = Some((record.id.clone(), record.subject.name.clone(), state, record.rotated));
            let (bytes, pepper) = (record.digest.bytes, pepper.to_owned());
            let revoked = state.revoked;
            encode_key(keys.next()?, &StoredKey { pepper, bytes, listed, revoked });
        }
        for (digest, from) in world.keys.revoked() {
            if world.keys.by_digest(digest).is_none() {
                let pepper = self.peppers.name(digest.method).unwrap_or_default().to_owned();
                let key = StoredKey { pepper, bytes: digest.bytes, listed: None, revoked: Some(from) };
                encode_key(keys.next()?, &key);
            }
        }
        keys.finish()?;
        writer.finish()?;
        Ok(())
    }

    /// Everything that an owner has for the limits of a line, as it stood at one instant, after the rows that were written
    /// before: whoever changes any of it changes the count of its first line or of one beside it.
    fn write_line_of<W: Write>(
        &self,
        owner: u64,
        used: &LineUse,
        lines: &mut Blocks<'_, W>,
        written: &mut Written,
    ) -> io::Result<()> {
        let line = used.shape.line;
        let hashes: Vec<u64> = self.lines_of(owner, used).map(|(hash, _)| hash).collect();
        let row = |slot: usize, date: Date| self.owners.hash_of(owner, line, Kind::Row { line, slot, date });
        let mut found = Vec::new();
        let mut companions = [(Companion::default(), None); QUOTAS];
        for _ in 0..ATTEMPTS {
            found.clear();
            found.extend(hashes.iter().filter_map(|&hash| self.stored_line(hash)));
            // Of slots the first one answers for all.
            let guards = if used.cap.is_some() { found.len().min(1) } else { found.len() };
            for slot in (0..QUOTAS).filter(|&slot| used.quotas[slot]) {
                let beside = self.look_at(owner, line, Kind::Beside { line, slot });
                let companion = beside.map(|(_, words)| Companion::of(&words)).unwrap_or_default();
                companions[slot] = (companion, beside.map(|(_, words)| words[1] >> 64));
                // The one that goes on with the counter.
                let date = companion.row;
                found.extend(date.and_then(|date| self.stored_line(row(slot, date))));
            }
            let unchanged = |&(hash, words): &(u64, [u128; 4])| {
                self.stored_line(hash).is_some_and(|(_, again)| again[1] == words[1])
            };
            if found[..guards].iter().all(unchanged) {
                break;
            }
            spin_loop();
        }
        for (slot, &(companion, count)) in companions.iter().enumerate() {
            let Some(newest) = companion.newest else { continue };
            let beside = self.owners.hash_of(owner, line, Kind::Beside { line, slot });
            if written.owned.get(&beside).copied() == count {
                // No row has begun or ended since: all others were written as they are.
                continue;
            }
            let dates = (0..KEPT).map(|days| Date::from_days(newest.days() - days));
            let others = dates.filter(|&date| companion.row != Some(date));
            found.extend(others.filter_map(|date| self.stored_line(row(slot, date))));
        }
        for (hash, words) in &found {
            written.open.remove(hash);
            if written.rows.get(hash) != Some(&(words[1] >> 64)) {
                encode_line(lines.next()?, *hash, words);
            }
        }
        Ok(())
    }

    fn stored_line(&self, hash: u64) -> Option<(u64, [u128; 4])> {
        match self.look(hash).0 {
            super::decide::Held::Line { words, .. } => Some((hash, words)),
            _ => None,
        }
    }

    /// All lines but those of keys and of `owned` hashes. Gives the rows of usage logs among them.
    fn write_others<W: Write>(
        &self,
        lines: &mut Blocks<'_, W>,
        owned: HashMap<u64, u128>,
    ) -> io::Result<Written> {
        let mut written = Written { owned, ..Written::default() };
        for stored in self.store.stored() {
            let Stored::Line { words, .. } = stored else { continue };
            let head = Head::of(words[0]);
            let kind = (head.segment == 0).then(|| Kind::of(head)).flatten();
            if head.tag == 0 || kind == Some(Kind::Key) || written.owned.contains_key(&head.tag) {
                continue;
            }
            encode_line(lines.next()?, head.tag, &words);
            if matches!(kind, Some(Kind::Row { .. })) {
                written.rows.insert(head.tag, words[1] >> 64);
                if Row::of(&words).open {
                    written.open.insert(head.tag);
                }
            }
        }
        Ok(written)
    }

    fn write_cells<W: Write>(&self, writer: &mut Writer<W>) -> io::Result<()> {
        let mut cells = Blocks::new(writer, CELLS);
        for stored in self.store.stored() {
            if let Stored::Level { hash, segment, level } = stored {
                cells.next()?.u64(hash).u32(segment).u64(level);
            }
        }
        cells.finish()
    }
}

fn encode_line(encoder: &mut Encoder, hash: u64, words: &[u128; 4]) {
    debug_assert!(head_tag(hash) == Head::of(words[0]).tag);
    encoder.u64(hash);
    for &word in words {
        encoder.u128(word);
    }
}

fn encode_option(encoder: &mut Encoder, value: Option<u64>) {
    encoder.u8(value.is_some().into()).u64(value.unwrap_or(0));
}

fn decode_option(from: &mut Decoder<'_>) -> Result<Option<u64>, SnapshotError> {
    let some = from.u8()? != 0;
    let value = from.u64()?;
    Ok(some.then_some(value))
}

fn encode_entry(encoder: &mut Encoder, id: u128, entry: &Entry) {
    encoder.u128(id);
    encode_option(encoder, entry.late_from);
    encoder.u8(entry.closed.into()).u8(entry.released.into());
    encoder.u32(entry.parts.len() as u32);
    for part in &entry.parts {
        encoder.u8(part.subject.is_some().into()).str(part.subject.as_deref().unwrap_or(""));
        encoder.u8(part.pool.into()).str(&part.plan).u64(part.owner).u32(part.line).str(&part.unit);
        encoder.u64(part.cost);
        match part.what {
            What::Throttle => {
                encoder.u8(0);
            }
            What::Quota { slot, debit } => {
                encoder.u8(1 + slot as u8).u8(debit.is_some().into());
                if let Some(Debit { stamp, generation, row }) = debit {
                    encoder.u64(stamp).u32(generation);
                    encode_option(encoder, row.map(date_number));
                }
            }
        }
    }
    encoder.u32(entry.slots.len() as u32);
    for taken in &entry.slots {
        let (number, slot, word) = taken.parts();
        encoder.u64(taken.owner).u32(taken.line).u32(number).u8(slot as u8).u128(word);
    }
}

fn decode_entry(from: &mut Decoder<'_>) -> Result<(u128, Entry), SnapshotError> {
    let id = from.u128()?;
    let late_from = decode_option(from)?;
    let (closed, released) = (from.u8()? != 0, from.u8()? != 0);
    let mut entry = Entry { late_from, closed, released, ..Entry::default() };
    for _ in 0..from.u32()? {
        let has_subject = from.u8()? != 0;
        let subject: Arc<str> = from.str()?.into();
        let subject = has_subject.then_some(subject);
        let pool = from.u8()? != 0;
        let plan = from.str()?.into();
        let (owner, line) = (from.u64()?, from.u32()?);
        let unit = from.str()?.into();
        let cost = from.u64()?;
        let what = match from.u8()? {
            0 => What::Throttle,
            slot @ 1..=2 => {
                let debit = match from.u8()? {
                    0 => None,
                    _ => {
                        let (stamp, generation) = (from.u64()?, from.u32()?);
                        Some(Debit { stamp, generation, row: decode_option(from)?.map(date_of) })
                    }
                };
                What::Quota { slot: usize::from(slot) - 1, debit }
            }
            other => return Err(from.refuse(format!("a limit of the unknown kind {other}"))),
        };
        entry.parts.push(Part { subject, pool, plan, owner, line, unit, cost, what });
    }
    for _ in 0..from.u32()? {
        let (owner, line, number) = (from.u64()?, from.u32()?, from.u32()?);
        let (slot, word) = (from.u8()?, from.u128()?);
        entry.slots.push(Taken::of(owner, line, number, usize::from(slot & 1), word));
    }
    Ok((id, entry))
}

fn encode_key(encoder: &mut Encoder, key: &StoredKey) {
    encoder.str(&key.pepper).bytes(&key.bytes);
    encode_option(encoder, key.revoked);
    encoder.u8(key.listed.is_some().into());
    if let Some((id, subject, state, rotated)) = &key.listed {
        encoder.str(id).str(subject).u8(state.enabled.into()).u8((*rotated).into());
        encode_option(encoder, state.expires);
    }
}

fn decode_key(from: &mut Decoder<'_>) -> Result<StoredKey, SnapshotError> {
    let pepper = from.str()?.to_owned();
    let bytes = from.bytes()?.try_into().map_err(|_| from.refuse("a digest of another length"))?;
    let revoked = decode_option(from)?;
    let listed = match from.u8()? {
        0 => None,
        _ => {
            let (id, subject) = (from.str()?.into(), from.str()?.into());
            let (enabled, rotated) = (from.u8()? != 0, from.u8()? != 0);
            Some((id, subject, KeyState { enabled, revoked, expires: decode_option(from)? }, rotated))
        }
    };
    Ok(StoredKey { pepper, bytes, listed, revoked })
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod forged;
