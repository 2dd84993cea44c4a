//! Keys that collide: of somebody who knows the seed of the hashes, which is as bad as it gets, and of somebody who does not.
//!
//! How far a look-up probes is not measured in time. All of the table but the one window that a hash's cell can stand in
//! is taken away from the process: a look-up that goes beyond ends it.

use std::num::NonZeroUsize;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect};
use siphasher::sip::SipHasher13;
use tollgate::{
    Capacity, Changes, Clock, Engine, ManualClock, Nanos, Plan, Region, Request, Throttle, Verdict,
};

use super::{T0, check};

const PAGE: usize = 4096;
const WORD: usize = 16;
/// Bytes of a group: a control word and fifteen cells.
const GROUP: usize = 16 * WORD;
/// Groups that a hash's cell can stand in.
const WINDOW: usize = 15;
/// Cells of a window.
const ROOM: usize = WINDOW * 15;
/// Of a region of this capacity: groups that hashes are at home in, and where the first is.
const CELLS: u64 = 100_000;
const LINES: u64 = 10;
const HOMES: u64 = (CELLS * 100).div_ceil(60 * 15);
/// Groups are behind 24 words, a record for 8,192 cells and lines (as a power of two) and an event for 64 (`src/store/size.rs`).
const TABLE: usize = (24 + 8 * 769 + (CELLS as usize + LINES as usize) / 64 * 6).next_multiple_of(16) * WORD;
/// Where a region has its seed.
const SEED_AT: usize = 3;
const SEED: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;

fn capacity() -> Capacity {
    Capacity::new().cells(CELLS).lines(LINES)
}

/// Zeros, from the beginning of a page on.
fn memory() -> (NonNull<u8>, usize) {
    let bytes = capacity().region_bytes() as usize;
    let (access, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE);
    // SAFETY: new memory, which stays mapped.
    let start = unsafe { mmap_anonymous(None, NonZeroUsize::new(bytes).unwrap(), access, flags) }.unwrap();
    (start.cast(), bytes)
}

fn changes() -> Changes {
    Changes::new().plan("free", Plan::new().throttle(Throttle::new("1/d", 2)))
}

fn attach((start, bytes): (NonNull<u8>, usize)) -> Engine {
    // SAFETY: mapped for good, and this engine's.
    let region = unsafe { Region::from_raw(start, bytes) }.unwrap();
    let clock = Clock::Manual(ManualClock::at(Nanos::new(T0)));
    Engine::attach(region).capacity(capacity()).changes(changes()).clock(clock).build().unwrap()
}

/// A region whose seed the attacker knows.
fn known_seed() -> (NonNull<u8>, usize) {
    let memory = memory();
    // SAFETY: a word of it, before any engine is attached.
    unsafe { memory.0.cast::<u128>().add(SEED_AT).write(SEED) };
    memory
}

/// The group at which a visitor of the plan is at home, as `src/engine/owners.rs` has it.
fn home(name: &[u8]) -> u64 {
    let key = |n: u64| SipHasher13::new_with_keys(SEED as u64, (SEED >> 64) as u64).hash(&n.to_le_bytes());
    // The plan's throttle is the first line of the region.
    let line = key(100) ^ LINE.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let owner = SipHasher13::new_with_keys(key(2), key(3)).hash(name);
    let product = u128::from(owner ^ line) * u128::from(line | 1);
    let hash = (product as u64 ^ (product >> 64) as u64) >> 1;
    ((hash >> 31) * HOMES) >> 32
}

const LINE: u64 = 1;

/// Names that are all at home in one group, whose window lies across the border of two pages.
fn colliding(count: usize) -> (u64, Vec<[u8; 8]>) {
    let target =
        (HOMES / 2..).find(|&home| (TABLE + home as usize * GROUP) % PAGE == PAGE - 4 * GROUP).unwrap();
    let names = (0u64..).map(u64::to_le_bytes).filter(|name| home(name) == target);
    (target, names.take(count).collect())
}

fn verdicts(engine: &Engine, names: &[[u8; 8]]) -> Vec<Verdict> {
    names.iter().map(|name| check(engine, &Request::anonymous("free", name))).collect()
}

#[test]
fn names_that_collide_fill_a_window_for_who_knows_the_seed_and_spread_for_who_does_not() {
    let (_, names) = colliding(2 * ROOM);
    let flooded = attach(known_seed());
    let admitted = verdicts(&flooded, &names).iter().filter(|&&verdict| verdict == Verdict::Ok).count();
    assert_eq!(admitted, ROOM, "the layout is not the one that this test knows, or names do not collide");
    assert_eq!(flooded.full_counts().refused, ROOM as u64);
    // Nobody else is hurt.
    assert_eq!(check(&flooded, &Request::anonymous("free", "somebody else")), Verdict::Ok);

    let own = Engine::builder().capacity(capacity()).changes(changes()).build().unwrap();
    for engine in [attach(memory()), own] {
        assert!(verdicts(&engine, &names).iter().all(|&verdict| verdict == Verdict::Ok));
        assert_eq!(engine.full_counts().refused, 0);
    }
}

fn child(case: &str) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "flooding::look_ups_in_a_flooded_window"])
        .env("TOLLGATE_CASE", case);
    command.output().unwrap().status
}

#[test]
fn a_look_up_probes_no_further_than_its_window() {
    assert!(child("window").success());
    // Without the second half of the window it is seen that look-ups go there.
    assert_eq!(child("half").signal(), Some(nix::libc::SIGSEGV));
}

/// Not a test of its own: what a child process does.
#[test]
#[ignore = "started by others"]
fn look_ups_in_a_flooded_window() {
    let (target, names) = colliding(2 * ROOM);
    let region = known_seed();
    let engine = attach(region);
    verdicts(&engine, &names);

    let window = TABLE + target as usize * GROUP;
    let (first, last) = (window / PAGE * PAGE, (window + WINDOW * GROUP).next_multiple_of(PAGE));
    assert_eq!(last - first, 2 * PAGE);
    let last = if std::env::var("TOLLGATE_CASE").unwrap() == "half" { last - PAGE } else { last };
    let end = TABLE + (HOMES as usize + WINDOW - 1) * GROUP;
    for (from, to) in [(TABLE.next_multiple_of(PAGE), first), (last, end / PAGE * PAGE)] {
        // SAFETY: pages of the table, which nobody but the look-ups below would touch.
        unsafe { mprotect(region.0.add(from).cast(), to - from, ProtFlags::PROT_NONE) }.unwrap();
    }
    // Those that have a cell, and those for which all of the window is looked through.
    let again = verdicts(&engine, &names);
    assert!(again[..ROOM].iter().all(|&verdict| verdict == Verdict::Ok));
    assert!(again[ROOM..].iter().all(|&verdict| verdict == Verdict::StoreFull));
    assert!(verdicts(&engine, &names)[..ROOM].iter().all(|&verdict| verdict == Verdict::Throttled));
}
