//! Snapshots whose checksums are right and whose content is not: an error, or an engine that works.

use super::*;
use crate::calendar::Date;
use crate::engine::book::Refused;
use crate::engine::{Capacity, Cost, Request, Verdict};
use crate::key::SecretKey;
use crate::plan::{Changes, Concurrency, Event, Key, Limits, Plan, Quota, Subject, Throttle};

const T0: u64 = 1_700_000_000_000_000_000;
const DAY: u64 = 86_400_000_000_000;

fn changes() -> Changes {
    let plan = Plan::new()
        .throttle(Throttle::new("10/m", 50))
        .quota(Quota::new(100, "day"))
        .quota(Quota::new(1_000, "month").zone("Asia/Tokyo").initial_debit(5))
        .concurrency(Concurrency::new(3))
        .pool(Limits::new().quota(Quota::new(10_000, "forever")).concurrency(Concurrency::new(9)));
    let key = Key::new("k", SecretKey::new("a key").unwrap());
    Changes::new()
        .plan("p", plan)
        .plan("free", Plan::new().throttle(Throttle::new("1/7s", 9)))
        .subject("s", Subject::new(["p"]).key(key))
}

fn capacity() -> Capacity {
    Capacity::new().cells(300).lines(300)
}

/// What an engine holds that has lived for some days.
fn good() -> Vec<u8> {
    let engine = Engine::builder().capacity(capacity()).changes(changes()).build().unwrap();
    for day in 0..3 {
        let now = Nanos::new(T0 + day * DAY);
        for n in 0..4u8 {
            let id = [day as u8, n];
            let _ = engine.check_as_at(&Request::new("a key").cost(3), &id, now);
            let _ = engine.release(&id);
            engine.check_at(&Request::anonymous("free", &id), now);
            engine.check_at(&Request::anonymous("p", &id), now);
        }
        assert!(!engine.check_at(&Request::new("a key").cost(101), now).is_allowed());
        engine.reserve_at(&Request::new("a key"), &[day as u8], Nanos::new(DAY), now).unwrap();
    }
    engine.grant_at("s", "p", "day", 7, Nanos::new(T0 + 2 * DAY)).unwrap();
    engine.rotate_at("k", "new", Nanos::new(DAY), Nanos::new(T0)).unwrap();
    let mut bytes = Vec::new();
    engine.write_snapshot(&mut bytes).unwrap();
    bytes
}

/// Numbers that are often near a bound.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn number(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => self.next() % 8,
            3 => 1 << self.below(64),
            4 => (1u64 << self.below(64)).wrapping_sub(1),
            5 => T0.wrapping_add(self.next() % DAY),
            6 => self.next() % (1 << 17),
            _ => self.next(),
        }
    }

    /// Of 127 bits.
    fn word(&mut self) -> u128 {
        (u128::from(self.number()) << 64 | u128::from(self.number())) & !(1 << 127)
    }

    /// Changes a word, mostly a little.
    fn change(&mut self, word: &mut u128) {
        *word = match self.below(4) {
            0 => self.word(),
            1 => *word ^ 1 << self.below(127),
            2 => *word >> 64 << 64 | u128::from(self.number()),
            _ => (u128::from(self.number()) << 64 | *word & u128::from(u64::MAX)) & !(1 << 127),
        };
    }
}

fn forge_part(random: &mut Random, part: &mut Part) {
    match random.below(8) {
        0 => part.owner = random.number(),
        1 => part.line = random.number() as u32,
        2 => part.cost = random.number(),
        3 => part.subject = Some("nobody".into()),
        4 => part.plan = "none".into(),
        5 => part.pool = !part.pool,
        6 => part.what = What::Throttle,
        _ => {
            let row = Some(date_of(random.number()));
            let debit = Debit { stamp: random.number(), generation: random.number() as u32, row };
            part.what = What::Quota { slot: random.below(2), debit: Some(debit) };
        }
    }
}

fn forge(random: &mut Random, snapshot: &mut Snapshot) {
    let Snapshot { hash, base, events, cells, lines, book, keys, .. } = snapshot;
    match random.below(14) {
        0 if random.below(8) == 0 => hash.seed = random.word(),
        1 if random.below(8) == 0 => *base = [1, 2, 3, 5_000, 1 << 31, u32::MAX][random.below(6)],
        2 | 3 if !events.is_empty() => {
            let event = random.below(events.len());
            random.change(&mut events[event][random_index(event, EVENT_WORDS)]);
        }
        4 => {
            let event = core::array::from_fn(|_| random.word());
            events.insert(random.below(events.len() + 1), event);
        }
        5 => drop((!events.is_empty()).then(|| events.remove(random.below(events.len())))),
        6 => cells.push((random.number() >> 1, random.number() as u32, random.number())),
        7 if !cells.is_empty() => {
            let cell = random.below(cells.len());
            cells[cell] = (cells[cell].0, random.number() as u32, random.number());
        }
        8..=10 if !lines.is_empty() => {
            let line = random.below(lines.len());
            let word = random.below(4);
            random.change(&mut lines[line].1[word]);
        }
        11 => {
            let words = core::array::from_fn(|_| random.word());
            lines.push((random.number() >> 1, words));
        }
        12 if !book.is_empty() => {
            let entry = random.below(book.len());
            let entry = &mut book[entry].1;
            match random.below(6) {
                0 => (entry.closed, entry.released) = (false, false),
                1 => entry.late_from = Some(random.number()),
                2 => entry.slots.push(Taken::of(
                    random.number(),
                    random.number() as u32,
                    random.number() as u32,
                    random.below(2),
                    random.word(),
                )),
                3 if !entry.parts.is_empty() => {
                    let part = entry.parts[random.below(entry.parts.len())].clone();
                    entry.parts.extend(std::iter::repeat_n(part, random.below(300)));
                }
                _ if !entry.parts.is_empty() => {
                    let part = random.below(entry.parts.len());
                    forge_part(random, &mut entry.parts[part]);
                }
                _ => {}
            }
        }
        13 if !keys.is_empty() => {
            let key = random.below(keys.len());
            let key = &mut keys[key];
            match random.below(5) {
                0 => key.revoked = Some(random.number()),
                1 => key.pepper = "unknown".into(),
                2 => key.bytes = [random.below(256) as u8; 32],
                3 => key.listed = None,
                _ => {
                    let state = KeyState { enabled: false, revoked: None, expires: Some(random.number()) };
                    let id = ["k", "", "new", "x y"][random.below(4)];
                    key.listed = Some((id.into(), ["s", "nobody"][random.below(2)].into(), state, true));
                }
            }
        }
        _ => {}
    }
}

fn random_index(seed: usize, end: usize) -> usize {
    seed.wrapping_mul(7).wrapping_add(3) % end
}

/// Whatever it holds, it answers.
fn answers(engine: &Engine) {
    for now in [T0 + 2 * DAY, T0, T0 + 3 * DAY, T0 + 40 * DAY] {
        let now = Nanos::new(now);
        for n in 0..3u8 {
            engine.check_at(&Request::new("a key").cost(u64::from(n)), now);
            engine.check_at(&Request::anonymous("free", &[0, n]), now);
            engine.check_at(&Request::anonymous("p", &[0, n]), now);
            engine.report_at(&Request::new("a key"), now, crate::engine::Mode::Check);
            let _ = engine.check_as_at(&Request::new("a key"), &[7, n], now);
            engine.settle_at(&[n], Cost::Every(5), now);
            engine.refund_at(&[0, n], now);
            engine.release(&[0, n]);
        }
        let date = |n: i32| Date::from_days((T0 / DAY) as i32 + n);
        let _ = engine.usage_at("s", "p", date(-3), date(50), now);
        let _ = engine.grant_at("s", "p", "day", 3, now);
        engine.maintain_at(50, now);
        engine.alerts();
    }
    let _ = engine.rotate_at("k", "newer", Nanos::ZERO, Nanos::new(T0));
    let other =
        changes().plan("p", Plan::new().throttle(Throttle::new("7/3s", 9)).quota(Quota::new(5, "week")));
    let _ = engine.apply_at(&other, Nanos::new(T0 + 3 * DAY));
    engine.check_at(&Request::new("a key"), Nanos::new(T0 + 3 * DAY));
    let mut bytes = Vec::new();
    engine.write_snapshot(&mut bytes).unwrap();
    Snapshot::read(&bytes).unwrap();
}

/// And what is new to it is limited as ever, where nobody has forged histories.
fn works(engine: &Engine) {
    answers(engine);
    let visitor = Request::anonymous("free", "somebody else");
    let verdicts = (0..10).map(|_| engine.check_at(&visitor, Nanos::new(T0 + 3 * DAY)).verdict());
    assert_eq!(verdicts.filter(|&verdict| verdict == Verdict::Ok).count(), 9);
}

/// `TOLLGATE_FORGED` sets the number of snapshots.
#[test]
fn whatever_stands_in_it() {
    let good = good();
    let count = std::env::var("TOLLGATE_FORGED").map_or(200, |count| count.parse().unwrap());
    let mut built = 0;
    for seed in 1..=count {
        let mut random = Random(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let mut snapshot = Snapshot::read(&good).unwrap();
        for _ in 0..=random.below(6) {
            forge(&mut random, &mut snapshot);
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let clock = crate::time::Clock::Manual(crate::time::ManualClock::at(Nanos::new(T0 + 2 * DAY)));
            let builder = Engine::builder().capacity(capacity()).changes(changes()).clock(clock);
            match builder.snapshot(snapshot).build() {
                Ok(engine) => {
                    answers(&engine);
                    true
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    false
                }
            }
        }));
        assert!(outcome.is_ok(), "seed {seed}");
        built += u64::from(outcome.unwrap_or(false));
    }
    assert!(built > count / 4, "{built} of {count}");
    println!("{built} of {count} forged snapshots made an engine");
}

/// A block's kind, and what fills it.
type Filled<'f> = (u8, &'f dyn Fn(&mut Encoder));

/// A file of this block after a first one.
fn file(block: Option<Filled<'_>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes).unwrap();
    let mut about = Encoder::new();
    about.u8(0).u128(7).u32(20).u64(T0);
    writer.block(ENGINE, about.payload()).unwrap();
    if let Some((kind, fill)) = block {
        let mut encoder = Encoder::new();
        fill(&mut encoder);
        writer.block(kind, encoder.payload()).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

#[test]
fn counts_and_lengths_that_lie() {
    let entry = |encoder: &mut Encoder| {
        encoder.u128(5).u8(0).u64(0).u8(0).u8(0);
    };
    let refused = |kind: u8, fill: &dyn Fn(&mut Encoder)| {
        let error = Snapshot::read(&file(Some((kind, fill)))).unwrap_err();
        assert!(matches!(error, SnapshotError::Damaged { .. }), "{error}");
    };
    assert!(Snapshot::read(&file(None)).is_ok());
    // Parts, then slots, that are not there.
    refused(BOOK, &|encoder| {
        entry(encoder);
        encoder.u32(u32::MAX);
    });
    refused(BOOK, &|encoder| {
        entry(encoder);
        encoder.u32(0).u32(1_000_000);
    });
    // A limit of no kind, a string that is too long, and one that is none.
    refused(BOOK, &|encoder| {
        entry(encoder);
        encoder.u32(1).u8(1).str("s").u8(0).str("p").u64(1).u32(1).str("requests").u64(1).u8(9);
    });
    refused(BOOK, &|encoder| {
        entry(encoder);
        encoder.u32(1).u8(1).u32(u32::MAX);
    });
    refused(BOOK, &|encoder| {
        entry(encoder);
        encoder.u32(1).u8(1).bytes(&[0xff, 0xfe]);
    });
    refused(KEYS, &|encoder| {
        encoder.str("").bytes(&[1; 31]).u8(0).u64(0).u8(0);
    });
    refused(EVENTS, &|encoder| {
        encoder.u128(1);
    });
    refused(LINES, &|encoder| {
        encoder.u64(1).u128(1 << 127).u128(0).u128(0).u128(0);
    });
    refused(LINES, &|encoder| {
        encoder.u64(1 << 63).u128(0).u128(0).u128(0).u128(0);
    });
    refused(99, &|encoder| {
        encoder.u8(1);
    });
    // As many as there is room for in a block: no more is allocated than was read.
    let many = file(Some((BOOK, &|encoder: &mut Encoder| {
        entry(encoder);
        encoder.u32(20_000);
        for _ in 0..20_000 {
            encoder.u8(0).str("").u8(0).str("").u64(1).u32(1).str("").u64(1).u8(0);
        }
        encoder.u32(0);
    })));
    let snapshot = Snapshot::read(&many).unwrap();
    assert_eq!(snapshot.book[0].1.parts.len(), 20_000);
    let engine =
        Engine::builder().capacity(capacity()).changes(changes()).snapshot(snapshot).build().unwrap();
    works(&engine);
}

#[test]
fn tables_that_nobody_has() {
    let about = |base: u32| {
        let mut snapshot = Snapshot::read(&good()).unwrap();
        snapshot.base = base;
        Engine::builder().capacity(capacity()).changes(changes()).snapshot(snapshot).build()
    };
    for base in [1, 7, 100_000] {
        works(&about(base).unwrap());
    }
    for base in [1 << 28, u32::MAX] {
        assert!(about(base).is_err(), "{base}");
    }
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes).unwrap();
    let mut none = Encoder::new();
    none.u8(0).u128(7).u32(0).u64(T0);
    writer.block(ENGINE, none.payload()).unwrap();
    writer.finish().unwrap();
    assert!(Snapshot::read(&bytes).is_err());
}

#[test]
fn more_ids_than_the_book_holds() {
    let snapshot = Snapshot::read(&good()).unwrap();
    let ids = snapshot.book.len();
    assert!(ids > 5);
    let builder = Engine::builder().capacity(capacity()).changes(changes()).ids(2);
    let engine = builder.snapshot(snapshot).build().unwrap();
    let known: usize = engine.book.shards().iter().map(|shard| shard.lock().entries().count()).sum();
    assert_eq!(known, 2);
    // All that are kept are open reservations, or there is room for another.
    assert!(matches!(engine.book.take(1), Ok(()) | Err(Refused::Full)));
}

/// Each event twice, and bases that there cannot be.
#[test]
fn histories_that_nobody_has() {
    let mut snapshot = Snapshot::read(&good()).unwrap();
    let again = snapshot.events.clone();
    snapshot.events.extend(again);
    let events = [Event::Base { at: 0 }, Event::Base { at: u64::MAX }];
    snapshot.events.extend(events.iter().filter_map(Event::words));
    if let Ok(engine) = Engine::builder().capacity(capacity()).changes(changes()).snapshot(snapshot).build() {
        answers(&engine);
    }
}
