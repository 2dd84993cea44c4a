//! Keys and costs beyond all measure.

use tollgate::{Cost, Mode, Nanos, ReleaseStatus, Request, SettleStatus, Verdict};

use super::{T0, check, engine};

const PLANS: &str = r#"
[plans.p]
throttle = [{ rate = "1/s", burst = 10 }, { name = "t", rate = "1/s", burst = 10, unit = "tokens" }]
quotas = [{ limit = 100, per = "day" }, { name = "most", limit = 9223372036854775807, per = "forever", unit = "tokens" }]
concurrency = { limit = 2 }
pool.quotas = [{ limit = 1000, per = "day" }]
[subjects.s]
plans = ["p"]
keys = [{ id = "k", value = "a key" }]
"#;

/// Page faults so far that no disk was needed for.
#[cfg(target_os = "linux")]
fn faults() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    // What follows the name, which may hold anything.
    let (_, fields) = text.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(7).unwrap().parse().unwrap()
}

/// Nobody has to hash a gigabyte because somebody sends one.
#[test]
#[cfg(target_os = "linux")]
fn a_giant_key_is_refused_without_being_read() {
    use std::num::NonZeroUsize;

    use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

    const BYTES: usize = 1 << 30;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
    // SAFETY: new memory, which stays mapped: zeros, whose pages are there once they are read.
    let giant = unsafe {
        let start =
            mmap_anonymous(None, NonZeroUsize::new(BYTES).unwrap(), ProtFlags::PROT_READ, flags).unwrap();
        std::slice::from_raw_parts(start.cast::<u8>().as_ptr(), BYTES)
    };
    let engine = engine(PLANS);
    let before = faults();
    for length in [4_097, 1 << 20, BYTES] {
        let key = &giant[..length];
        assert_eq!(check(&engine, &Request::new(key)), Verdict::KeyUnknown);
        assert_eq!(check(&engine, &Request::new(key).or_anonymous("p")), Verdict::KeyUnknown);
    }
    assert!(faults() - before < 100, "{} pages were read", faults() - before);
    // That a page that is read is counted.
    assert!((0..1_000).all(|page| std::hint::black_box(giant[page << 12]) == 0));
    assert!(faults() - before > 10, "reading is not seen");
}

fn remaining(request: &Request<'_>, engine: &tollgate::Engine) -> Vec<u64> {
    let report = engine.report_at(request, Nanos::new(T0), Mode::Peek);
    report.limits().iter().map(|limit| limit.remaining()).collect()
}

#[test]
fn giant_costs_are_refused_and_debit_nothing() {
    let engine = engine(PLANS);
    let request = Request::new("a key");
    let fresh = remaining(&request, &engine);
    for giant in [11, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX] {
        assert_eq!(check(&engine, &request.cost(giant)), Verdict::CostExceedsLimit, "{giant}");
        let tokens = [("tokens", giant)];
        assert_eq!(check(&engine, &request.costs(&tokens)), Verdict::CostExceedsLimit, "{giant} tokens");
        // Two that would overflow together, and a unit that is named twice.
        let twice = [("requests", giant), ("requests", giant)];
        assert!(!engine.check_at(&request.costs(&twice), Nanos::new(T0)).is_allowed());
        let both = [request.cost(giant), request.cost(giant)];
        assert!(!engine.check_all_at(&both, Nanos::new(T0)).is_allowed());
        assert_eq!(remaining(&request, &engine), fresh, "after {giant}");
    }
    assert_eq!(check(&engine, &request.cost(10)), Verdict::Ok, "nothing was debited");
}

#[test]
fn a_giant_settlement_stays_a_debt_and_takes_nobody_else_down() {
    let engine = engine(PLANS);
    let request = Request::new("a key");
    let other = Request::anonymous("p", "somebody else");
    let now = Nanos::new(T0);
    assert!(engine.reserve_at(&request, "id", Nanos::new(1_000), now).unwrap().is_allowed());
    let settlement = engine.settle_at("id", Cost::Every(u64::MAX), now);
    assert_eq!(settlement.status(), SettleStatus::Settled);
    assert!(settlement.overdraft() >= (1 << 61), "{}", settlement.overdraft());
    // Never again in this window, whatever is added to the debt.
    for day in 0..3 {
        let now = Nanos::new(T0 + day * 3_600_000_000_000);
        assert!(!engine.check_at(&request, now).is_allowed());
        assert_eq!(engine.settle_at("id", Cost::Every(u64::MAX), now).status(), SettleStatus::AlreadySettled);
    }
    assert_eq!(engine.release("id"), ReleaseStatus::AlreadyReleased, "by its settlement");
    // The pool is in debt as well; a request of cost 0 is nobody's.
    assert_eq!(check(&engine, &other), Verdict::QuotaExceeded);
    assert_eq!(check(&engine, &other.cost(0)), Verdict::Ok);
}
