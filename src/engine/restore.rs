//! A snapshot put in place: into the engine that goes on, or into a new one.

use std::collections::HashMap;
use std::sync::Arc;

use super::Engine;
use super::decide::ATTEMPTS;
use super::kinds::Kind;
use super::snapshot::{Snapshot, StoredKey};
use super::state::{self, Raw, head_tag};
use super::world::World;
use crate::error::SnapshotError;
use crate::key::{Digest, KeyState, Method};
use crate::plan::{Directory, Event};
use crate::store::{Appended, Claim, Content, Head, Line, NoRoom, Stored, Txn, raised_with};
use crate::sync::spin_loop;
use crate::time::Nanos;

fn mismatch(what: impl Into<String>) -> SnapshotError {
    SnapshotError::Mismatch { what: what.into() }
}

impl Engine {
    /// Puts back what was left behind by the requests up to a snapshot of this engine; what came after it is forgotten.
    ///
    /// Changes of plans since then are not undone: it is as if what is restored had lived through them. Keys stay as they
    /// are, and so do alerts that wait to be read. It is for an engine that decides nothing meanwhile: a decision that is
    /// made during it may find some limits as they were and others as they will be.
    ///
    /// # Errors
    /// The snapshot is of another engine ([`EngineBuilder::snapshot`](crate::EngineBuilder::snapshot) takes it), or has more
    /// than there is room for. Nothing has changed then.
    pub fn restore(&self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        self.restore_at(snapshot, self.now())
    }

    /// [`restore`](Engine::restore) at the caller's instant, which only matters for what else is still of use.
    ///
    /// # Errors
    /// As [`restore`](Engine::restore).
    pub fn restore_at(&self, snapshot: &Snapshot, now: Nanos) -> Result<(), SnapshotError> {
        let _writer = self.writer.lock();
        if snapshot.hash != self.owners.id_of_hash() || snapshot.base != self.store.base() {
            return Err(mismatch("it is of another engine: build one from it"));
        }
        let world = self.world_at(now);
        let mut known = world.directory.list();
        if !snapshot.events.iter().all(|event| known.next() == Some(event)) {
            return Err(mismatch("limits have another history since: build an engine from it"));
        }
        if let Some(leases) = &self.leases {
            leases.forget();
            // Another world, so that no thread spends what it has.
            self.world.set(world.clone());
        }
        let put_back = self.put_back(&world, snapshot, now.get());
        if let Some(leases) = &self.leases {
            // Nor what was lent meanwhile.
            leases.forget();
            self.world.set(world.clone());
        }
        put_back
    }

    /// Everything but the states of keys.
    pub(super) fn put_back(&self, world: &World, snapshot: &Snapshot, now: u64) -> Result<(), SnapshotError> {
        let (cells, lines) = self.store.room();
        let (wanted_cells, wanted_lines) =
            (snapshot.cells.len() + snapshot.lines.len(), snapshot.lines.len());
        if wanted_cells as u64 > cells || wanted_lines as u64 > lines {
            return Err(mismatch(format!(
                "it has {wanted_cells} cells and {wanted_lines} lines, there is room for {cells} and {lines}: plan for more capacity"
            )));
        }
        // Of two of one hash the later was written later.
        let lines: HashMap<u64, &[u128; 4]> =
            snapshot.lines.iter().map(|(_, words)| (Head::of(words[0]).tag, words)).collect();
        let levels: HashMap<u64, (u32, u64)> =
            snapshot.cells.iter().map(|&(hash, segment, level)| (hash, (segment, level))).collect();
        for stored in self.store.stored().collect::<Vec<_>>() {
            match stored {
                Stored::Level { hash, .. } if !levels.contains_key(&hash) => self.forget(hash),
                Stored::Line { words, .. } if !lines.contains_key(&Head::of(words[0]).tag) => {
                    self.forget(Head::of(words[0]).tag);
                }
                _ => {}
            }
        }
        for (&hash, &(segment, level)) in &levels {
            let content = Put::Level { segment, level };
            self.put_back_at(world, hash, content, now).map_err(|_| no_room())?;
        }
        for (&hash, &words) in &lines {
            self.put_back_at(world, hash, Put::Line(words), now).map_err(|_| no_room())?;
        }
        let mut book = snapshot.book.clone();
        book.iter_mut().for_each(|(_, entry)| self.carry_debits_of(world, &mut entry.parts));
        self.book.replace(book);
        Ok(())
    }

    /// Makes state fresh that a snapshot does not know of.
    fn forget(&self, hash: u64) {
        for _ in 0..ATTEMPTS {
            let Some((at, word, content)) = self.store.find(hash) else { return };
            let mut txn = self.store.transaction();
            match content {
                Content::Line { line: number, pinned: true } => {
                    let Some(line) = self.store.line(number) else { return };
                    let head = Head::of(txn.read(line.head()));
                    let fresh = match Kind::of(head) {
                        Some(Kind::Key) if head.segment == 0 => return,
                        Some(kind) if head.segment == 0 => kind.fresh(),
                        _ => Raw::fresh(head.segment),
                    };
                    fresh.settle(&mut txn, line, head_tag(hash), |raw| raw.counted(1));
                }
                _ => txn.let_go_of(at, word),
            }
            if txn.commit() {
                return;
            }
            spin_loop();
        }
    }

    fn put_back_at(&self, world: &World, hash: u64, put: Put<'_>, now: u64) -> Result<(), NoRoom> {
        let age = |txn: &Txn<'_>, content: Content| state::age(world, txn, content, now);
        for _ in 0..ATTEMPTS {
            let mut txn = self.store.transaction();
            match (self.store.find(hash), put) {
                (None, Put::Level { segment, level }) => {
                    match txn.claim(hash, Claim::Level { segment, level }, false, &age) {
                        Ok(_) => {}
                        Err(NoRoom::Taken) => continue,
                        Err(NoRoom::Full) => return Err(NoRoom::Full),
                    }
                }
                (None, Put::Line(words)) => {
                    match txn.claim(hash, Claim::Line { pinned: false }, false, &age) {
                        Ok((line, _)) => put_line(&mut txn, line.ok_or(NoRoom::Full)?, hash, words),
                        Err(NoRoom::Taken) => continue,
                        Err(NoRoom::Full) => return Err(NoRoom::Full),
                    }
                }
                (Some((at, word, Content::Level { .. })), Put::Level { segment, level }) => {
                    txn.put(at, word, Content::Level { segment, level });
                }
                (Some((at, word, Content::Level { .. })), Put::Line(words)) => {
                    let line = txn.widen(at, word).ok_or(NoRoom::Full)?;
                    put_line(&mut txn, line, hash, words);
                }
                (Some((_, _, Content::Line { line, .. })), put) => {
                    let line = self.store.line(line).ok_or(NoRoom::Full)?;
                    match put {
                        Put::Level { segment, level } => {
                            let tag = Head::of(txn.read(line.head())).tag;
                            Raw::of_cell(segment, level).settle(&mut txn, line, tag, |raw| raw.counted(1));
                        }
                        Put::Line(words) => put_line(&mut txn, line, hash, words),
                    }
                }
            }
            if txn.commit() {
                return Ok(());
            }
            spin_loop();
        }
        Err(NoRoom::Full)
    }

    /// The states of keys, the stricter one winning; and the keys that rotations made.
    pub(super) fn put_keys_back(&self, keys: &[StoredKey]) -> Result<(), SnapshotError> {
        let _writer = self.writer.lock();
        let mut world = World::clone(&self.world.get());
        for key in keys {
            // Under a pepper that this engine was not given no key can be presented.
            let method =
                if key.pepper.is_empty() { Some(Method::Sha256) } else { self.peppers.named(&key.pepper) };
            let Some(method) = method else { continue };
            let digest = Digest { method, bytes: key.bytes };
            match (world.keys.by_digest(&digest).cloned(), &key.listed) {
                (Some(known), listed) => {
                    let mut record = super::world::KeyRecord::clone(&known);
                    record.state.revoke(key.revoked);
                    if let Some((_, _, state, _)) = listed {
                        record.state.enabled &= state.enabled;
                        record.state.expires =
                            [record.state.expires, state.expires].into_iter().flatten().min();
                    }
                    self.share_state(&digest, record.state, &known.id)?;
                    world.keys.put(record);
                }
                (None, Some((id, subject, state, true)))
                    if world.subjects.contains_key(subject) && world.keys.by_id(id).is_none() =>
                {
                    self.share_state(&digest, *state, id)?;
                    world.add_key(subject, id.clone(), digest, *state);
                }
                (None, _) => {
                    if let Some(from) = key.revoked {
                        world.keys.note_revoked(digest, from);
                    }
                }
            }
        }
        self.world.set(Arc::new(world));
        Ok(())
    }

    fn share_state(&self, digest: &Digest, state: KeyState, id: &str) -> Result<(), SnapshotError> {
        if self.shared && self.share_key(digest, &|_| state).is_none() {
            return Err(mismatch(format!(
                "there is no room for the state of key {id:?}: plan for more lines"
            )));
        }
        Ok(())
    }

    /// What a new engine takes over from a snapshot before its plans and subjects are in place: the histories of limits.
    pub(super) fn begin_with(
        &self,
        snapshot: &Snapshot,
        directory: &mut Directory,
    ) -> Result<(), SnapshotError> {
        if snapshot.hash != self.owners.id_of_hash() || snapshot.base != self.store.base() {
            return Err(mismatch(
                "a region takes the snapshot of a region of the same capacity, before anything else is in it",
            ));
        }
        if self.shared && self.store.event_count() > 0 {
            return Err(mismatch("the region is in use already: what is in it goes on"));
        }
        for &words in &snapshot.events {
            let n = directory.events();
            if self.shared && self.store.append(n, words, true) != Appended::Done {
                return Err(mismatch("another process was at the region: try again with a new one"));
            }
            // What there was no room for changes nothing, now as then.
            let _ = directory.apply(Event::of(words).as_ref());
        }
        Ok(())
    }

    /// What a new engine takes over from a snapshot, once its plans and subjects are in place.
    pub(super) fn begin_from(&self, snapshot: &Snapshot, now: Nanos) -> Result<(), SnapshotError> {
        {
            let _writer = self.writer.lock();
            let world = self.world_at(now);
            self.put_back(&world, snapshot, now.get())?;
        }
        self.put_keys_back(&snapshot.keys)
    }
}

fn no_room() -> SnapshotError {
    mismatch("there is no room for all of it: plan for more capacity")
}

/// What is to stand at a hash.
#[derive(Clone, Copy)]
enum Put<'s> {
    Level { segment: u32, level: u64 },
    Line(&'s [u128; 4]),
}

/// Plans the content of `words` for a line, whose count goes on from what it is.
fn put_line(txn: &mut Txn<'_>, line: Line, hash: u64, words: &[u128; 4]) {
    let [head, count, first, second] = *words;
    if Head::of(head).segment != 0 {
        let raw = Raw::of_line(Head::of(head), count, [first, second]);
        raw.settle(txn, line, head_tag(hash), Raw::recounted);
        return;
    }
    let before = txn.read_line(line);
    txn.write_line(line, before, [head, raised_with(before[1], count as u64), first, second]);
}
