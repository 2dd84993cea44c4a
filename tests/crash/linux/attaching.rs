//! Attaching: the first that formats a region, the next that joins it, and the file that it is.

use std::fs::{self, File};

use tollgate::{ApplyError, Capacity, Engine, Nanos, Region, RegionError, Request, Verdict, WhenFull};

use super::memory::Shared;
use super::scene::{CASE, T0, admitted, anonymous, attach, check, few_plans, plans};
use super::walk::{Come, Pace, Point, Tally, walk};

fn attached(memory: &Shared, capacity: Capacity) -> Result<Engine, ApplyError> {
    attach(memory, capacity, WhenFull::Refuse, few_plans())
}

/// A process that attaches to memory.
fn come(memory: &Shared, go: &dyn Fn(&dyn Fn())) {
    go(&|| drop(attached(memory, CASE.capacity()).unwrap()));
}

/// Whoever comes next formats what was not formatted, or joins; so does the one after.
fn works(memory: &Shared, point: Point) {
    let one = attached(memory, CASE.capacity()).unwrap();
    assert_eq!(admitted(&one, &anonymous("cell", "x"), T0), 3);
    assert_eq!(check(&one, &Request::new("a key"), T0), Verdict::Ok);
    if point.is_thorough() {
        let other = attached(memory, CASE.capacity()).unwrap();
        assert_eq!(admitted(&other, &anonymous("cell", "x"), T0), 0);
        assert_eq!(admitted(&other, &Request::new("a key"), T0), 3);
        other.disable("k").unwrap();
        assert_eq!(check(&one, &Request::new("a key"), T0), Verdict::KeyDisabled);
        one.apply_at(&plans(), Nanos::new(T0)).unwrap();
        CASE.goes_on(&one);
    }
}

/// The first to attach.
pub fn format(pace: Pace) -> Tally {
    let survive = |memory: &Shared, point: Point| {
        if point.is_thorough() {
            // One who wants other sizes comes first, or is refused.
            let copy = memory.copied();
            match attached(&copy, CASE.capacity().lines(20)) {
                Ok(_) => {
                    let error = attached(&copy, CASE.capacity()).unwrap_err();
                    assert!(matches!(error, ApplyError::Region(RegionError::Layout { .. })), "{error}");
                }
                Err(error) => assert!(matches!(error, ApplyError::Region(_)), "{error}"),
            }
            drop(copy);
            memory.keep_to_oneself();
        }
        works(memory, point);
        0
    };
    walk("attach: the first", &mut CASE.memory(), pace, &come, &survive)
}

/// One more.
pub fn join(pace: Pace) -> Tally {
    let mut memory = CASE.memory();
    drop(attached(&memory, CASE.capacity()).unwrap());
    let survive = |memory: &Shared, point: Point| {
        works(memory, point);
        0
    };
    walk("attach: one more", &mut memory, pace, &come, &survive)
}

/// The file of a region is made.
pub fn file(pace: Pace) -> Tally {
    let scratch =
        |name: &str| std::env::temp_dir().join(format!("tollgate-crash-{name}-{}", std::process::id()));
    let (made, copy) = (scratch("made"), scratch("copy"));
    let bytes = CASE.capacity().region_bytes();
    let _ = fs::remove_file(&made);
    let survive = |_: &Shared, _: Point| {
        let _ = fs::remove_file(&copy);
        let length = fs::metadata(&made).ok().map(|found| found.len());
        if let Some(length) = length {
            // The one that goes on has `made` as it is.
            File::create(&copy).unwrap().set_len(length).unwrap();
        }
        for _ in 0..2 {
            let region = Region::file(&copy, bytes).unwrap();
            let engine = Engine::attach(region).capacity(CASE.capacity()).changes(plans()).build().unwrap();
            assert_eq!(check(&engine, &anonymous("cell", "x"), T0), Verdict::Ok);
        }
        fs::remove_file(&copy).unwrap();
        match length {
            None => 0,
            Some(0) => 1,
            Some(length) => {
                assert_eq!(length, bytes);
                2
            }
        }
    };
    let come: Come<'_> = &|_, go| go(&|| drop(Region::file(&made, bytes).unwrap()));
    let tally = walk("attach: a file", &mut Shared::zeroed(4096), pace, come, &survive);
    fs::remove_file(&made).unwrap();
    assert_eq!(tally.last, 2);
    tally
}
