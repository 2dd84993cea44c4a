//! Lines that hold something else than limits.
//!
//! Their segment is 0, and the high part of the level in their head says what they are: kind in bits 0..4, slot of a quota in
//! 4..8, the limit's line in 8..24, a date in 24..44 (days since 1970-01-01, and 2 more).

use super::debit::Draft;
use super::decide::{ATTEMPTS, Held};
use super::state::{self, Raw, head_tag};
use super::world::World;
use super::{Engine, beside, keys, rows, slots};
use crate::calendar::Date;
use crate::store::{Claim, Content, Head, Line, NoRoom, Txn};
use crate::sync::spin_loop;

/// What a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// The state of a key, in memory that is shared: [`keys`](super::keys).
    Key,
    /// What is kept beside a quota: [`beside`].
    Beside { line: u32, slot: usize },
    /// A day of a usage log: [`rows`].
    Row { line: u32, slot: usize, date: Date },
    /// Slots of a concurrency limit: [`slots`]. Number 0 is the one that knows of the others.
    Slots { line: u32, number: u32 },
}

const KEY: u64 = 0;
const BESIDE: u64 = 1;
const ROW: u64 = 2;
const SLOTS: u64 = 3;
const FIRST_SLOTS: u64 = 4;

/// Dates before 1969-12-30 are none that anything is debited on.
pub(super) fn date_number(date: Date) -> u64 {
    u64::try_from(date.days() + 2).unwrap_or(0) & DATES
}

pub(super) fn date_of(number: u64) -> Date {
    Date::from_days((number & DATES) as i32 - 2)
}

/// Numbers of dates take 18 bits: 64-bit instants end in 2554.
pub(super) const DATES: u64 = (1 << 18) - 1;

impl Kind {
    /// The high part of the head.
    pub(super) fn high(self) -> u64 {
        match self {
            Kind::Key => KEY,
            Kind::Beside { line, slot } => BESIDE | (slot as u64) << 4 | u64::from(line) << 8,
            Kind::Row { line, slot, date } => {
                ROW | (slot as u64) << 4 | u64::from(line) << 8 | date_number(date) << 24
            }
            Kind::Slots { line, number: 0 } => FIRST_SLOTS | u64::from(line) << 8,
            Kind::Slots { line, .. } => SLOTS | u64::from(line) << 8,
        }
    }

    /// What a head without a segment says, the number of slots apart; `None` for what no head says.
    pub(super) fn of(head: Head) -> Option<Kind> {
        let (line, slot) = ((head.high >> 8) as u32 & 0xffff, (head.high >> 4) as usize & 1);
        Some(match head.high & 15 {
            KEY => Kind::Key,
            BESIDE => Kind::Beside { line, slot },
            ROW => Kind::Row { line, slot, date: date_of(head.high >> 24) },
            SLOTS => Kind::Slots { line, number: 1 },
            FIRST_SLOTS => Kind::Slots { line, number: 0 },
            _ => return None,
        })
    }

    /// What tells hashes of one owner and line apart; 0 is that of the limits themselves.
    pub(super) fn salt(self) -> u64 {
        match self {
            Kind::Key => 0,
            Kind::Beside { slot, .. } => BESIDE << 60 | slot as u64,
            Kind::Row { slot, date, .. } => ROW << 60 | (slot as u64) << 32 | date_number(date),
            Kind::Slots { number, .. } => SLOTS << 60 | u64::from(number),
        }
    }

    /// The state of a new line of this kind.
    pub(super) fn fresh(self) -> Raw {
        Raw::of_high(self.high())
    }

    /// In how many nanoseconds after `now` a line of this kind will be of no use; `None`: never.
    pub(super) fn age(self, world: &World, words: &[u128; 4], now: u64) -> Option<u64> {
        match self {
            Kind::Key => keys::age(words),
            Kind::Beside { line, slot } => {
                let schedule = &world.directory.shape(line)?.quotas[slot].as_ref()?.schedule;
                beside::Companion::of(words).age(schedule, now)
            }
            Kind::Row { date, .. } => Some(rows::age(date, now)),
            Kind::Slots { number, .. } => Some(slots::age(number, words, now)),
        }
    }
}

/// A line, and its words as they are to be replaced.
pub(super) type Spot = (Line, [u128; 4]);

impl Engine {
    /// What is stored in an owner's line of a kind.
    pub(super) fn look_at(&self, owner: u64, line: u32, kind: Kind) -> Option<Spot> {
        match self.look(self.owners.hash_of(owner, line, kind)).0 {
            Held::Line { line, words } => Some((line, words)),
            _ => None,
        }
    }

    /// An owner's line of a kind, made if there is none; `None` if there is no room for it. Whoever changes one of its words changes its count.
    pub(super) fn spot(&self, draft: &Draft<'_>, owner: u64, line: u32, kind: Kind) -> Option<Spot> {
        let hash = self.owners.hash_of(owner, line, kind);
        let mut patience = PATIENCE;
        for _ in 0..ATTEMPTS {
            if let Held::Line { line, .. } = self.look(hash).0 {
                // This may have planned something for it already.
                let words = draft.txn.read_line(line);
                if Head::of(words[0]).tag == head_tag(hash) {
                    return Some((line, words));
                }
                patience = patience.checked_sub(1)?;
                continue;
            }
            // By itself, as one decision can only change so many words.
            let mut making = self.store.transaction();
            let age = |txn: &Txn<'_>, content: Content| state::age(draft.world, txn, content, draft.now);
            match making.claim(hash, Claim::Line { pinned: false }, false, &age) {
                Ok((line, _)) => {
                    let line = line?;
                    kind.fresh().settle(&mut making, line, head_tag(hash), |raw| raw.counted(1));
                    let _ = making.commit();
                }
                Err(NoRoom::Taken) => {
                    patience = patience.checked_sub(1)?;
                    spin_loop();
                }
                Err(NoRoom::Full) => return None,
            }
        }
        None
    }
}

/// How often a line may be there and yet not be found, or be another's. Once or twice another thread is at it; in damaged
/// memory it stays so, and decisions try again themselves.
const PATIENCE: u32 = 100;

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_what_a_line_is() {
        let date: Date = "2554-07-21".parse().unwrap();
        for kind in [
            Kind::Key,
            Kind::Beside { line: 65_535, slot: 1 },
            Kind::Row { line: 65_535, slot: 1, date },
            Kind::Row { line: 1, slot: 0, date: "1969-12-31".parse().unwrap() },
            Kind::Slots { line: 7, number: 0 },
            Kind::Slots { line: 65_535, number: 1 },
        ] {
            assert!(kind.high() < 1 << 48);
            assert_eq!(Kind::of(Head { tag: 1, segment: 0, high: kind.high() }), Some(kind));
        }
        assert_eq!(Kind::of(Head { tag: 1, segment: 0, high: 15 }), None);
    }
}
