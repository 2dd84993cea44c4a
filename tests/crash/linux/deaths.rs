//! Several that are killed: who helps another, and more of them than there are records.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use nix::unistd::{Pid, alarm};
use tollgate::{Changes, Engine, Limits, Nanos, Plan, Quota, Verdict};

use super::memory::Shared;
use super::scene::{CASE, Case, KEPT, POOL, T0, anonymous, check, debits, left};
use super::walk::{Come, Pace, Point, Tally, end, run, start, step, walk};

/// The debit of an own quota and a pool.
const DEBIT: Case = Case {
    name: "two are killed",
    before: |engine| assert_eq!(check(engine, &anonymous("pool", "x"), T0), Verdict::Ok),
    run: |engine| assert_eq!(check(engine, &anonymous("pool", "x"), T0), Verdict::Ok),
    after: |engine, point| debits(engine, &anonymous("pool", "x"), T0, point, &[3, POOL - 1], 2) as u8,
    ..CASE
};

/// One is killed at each instruction that changes the memory, and then, wherever that was, one that comes upon what it
/// left: `pace` is that of the second.
pub fn helpers(pace: Pace) -> Tally {
    let mut memory = DEBIT.memory();
    let engine = DEBIT.attach(&memory);
    (DEBIT.before)(&engine);
    let tallies = File::from(memfd_create(c"tallies", MFdFlags::empty()).unwrap());
    let survive = |memory: &Shared, point: Point| {
        if !point.is_first_look() {
            return (DEBIT.after)(&engine, point);
        }
        alarm::set(600);
        let tally = DEBIT.walk_on(&mut memory.copied(), &engine, pace);
        let numbers = [tally.steps, tally.changes, tally.points, tally.after];
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        tallies.write_all_at(&bytes, tallies.metadata().unwrap().len()).unwrap();
        // Its own debit is one, the rest is that of the first.
        assert!(point.n == 0 || tally.points > 1);
        tally.last - 1
    };
    let outer = walk(DEBIT.name, &mut memory, Pace::Writes, &|memory, go| DEBIT.come(memory, go), &survive);
    let mut sum = Tally { last: outer.last, ..Tally::default() };
    let mut bytes = [0; 32];
    for n in 0..outer.points {
        tallies.read_exact_at(&mut bytes, n * 32).unwrap();
        let number = |n: usize| u64::from_le_bytes(bytes[n * 8..n * 8 + 8].try_into().unwrap());
        sum.steps += number(0);
        sum.changes += number(1);
        sum.points += number(2);
        sum.after += number(3);
    }
    sum
}

/// A plan whose limits are never reached.
fn large(engine: &Engine) {
    let quota = || Quota::new(POOL, "forever");
    let plan = Plan::new().quota(quota()).pool(Limits::new().quota(quota()));
    engine.apply_at(&Changes::new().plan("large", plan), Nanos::new(T0)).unwrap();
}

/// Stops `walker` before the instruction at `address`.
fn run_to(walker: Pid, address: u64) {
    let at = address as ptrace::AddressType;
    let code = ptrace::read(walker, at).unwrap();
    ptrace::write(walker, at, code & !0xff | 0xcc).unwrap();
    assert_eq!(run(walker), WaitStatus::Stopped(walker, Signal::SIGTRAP));
    ptrace::write(walker, at, code).unwrap();
    let mut place = ptrace::getregs(walker).unwrap();
    assert_eq!(place.rip, address + 1);
    place.rip = address;
    ptrace::setregs(walker, place).unwrap();
}

/// So many are killed in the midst of a commit, each of which leaves a record behind; there are 256. They attached
/// themselves or, as `children`, were forked from one that is attached and goes on.
pub fn more_than_records(kills: u64, children: bool) -> Tally {
    let case = Case {
        before: large,
        joined: large,
        run: |engine| assert_eq!(check(engine, &anonymous("large", "x"), T0), Verdict::Ok),
        kept: KEPT + 3,
        ..CASE
    };
    let request = anonymous("large", "x");
    let mut memory = case.memory();
    let engine = case.attach(&memory);
    (case.before)(&engine);
    assert_eq!(check(&engine, &request, T0), Verdict::Ok);

    let come: Come<'_> = &|memory, go| match children {
        true => go(&|| (case.run)(&engine)),
        false => case.come(memory, go),
    };

    // The first change of the memory takes a record, the last gives it back.
    let walker = start(&memory, come);
    memory.changed();
    let (mut first, mut last, mut n, mut before) = (None, 0, 0u64, 0);
    while !step(walker) {
        if memory.changed() {
            first.get_or_insert((n, before));
            last = n;
        }
        n += 1;
        before = ptrace::getregs(walker).unwrap().rip;
    }
    end(walker);
    let (first, address) = first.unwrap();

    let mut tally = Tally::default();
    let mut used = 2;
    for kill in 0..kills {
        let walker = start(&memory, come);
        run_to(walker, address);
        let steps = 1 + kill * 7 % (last - first);
        (0..steps).for_each(|_| assert!(!step(walker)));
        end(walker);
        tally.steps += steps;
        tally.points += 1;

        let found = left(&engine, &request, T0);
        assert_eq!(found[0], found[1], "torn");
        let debits = POOL - used - found[0];
        assert!(debits <= 1, "{debits} debits");
        tally.after += debits;
        assert_eq!(check(&engine, &request, T0), Verdict::Ok, "after {} kills", kill + 1);
        used += debits + 1;
        assert_eq!(left(&engine, &request, T0), [POOL - used; 2], "torn");
    }
    case.goes_on(&engine);
    tally
}
