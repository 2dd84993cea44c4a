//! One region, several engines: mapped twice in one process, and by processes that are killed.

#[path = "common/scratch.rs"]
mod scratch;

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use scratch::Scratch;
use tollgate::{
    ApplyError, Capacity, Changes, Clock, Date, Engine, Limits, ManualClock, Nanos, Plan, Quota, Region,
    RegionError, Request, Snapshot, Throttle, Verdict,
};

const T0: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn capacity() -> Capacity {
    Capacity::new().cells(1_000).lines(200)
}

fn attach(path: &Path, changes: Changes) -> Result<Engine, ApplyError> {
    let region = Region::file(path, capacity().region_bytes())?;
    let clock = Clock::Manual(ManualClock::at(Nanos::new(T0)));
    Engine::attach(region).capacity(capacity()).changes(changes).clock(clock).build()
}

fn copy_of(path: &Path, changes: Changes) -> Result<Engine, ApplyError> {
    Engine::attach(Region::copy_of(path)?).capacity(capacity()).changes(changes).build()
}

fn toml(text: &str) -> Changes {
    Changes::from_toml(text).unwrap()
}

fn verdict(engine: &Engine, request: &Request<'_>, now: u64) -> Verdict {
    engine.check_at(request, Nanos::new(now)).verdict()
}

const PLANS: &str = "[plans.free]\nthrottle = { rate = \"1/s\", burst = 5 }\n\
    [plans.gold]\nquotas = [{ limit = 3, per = \"day\" }]\npool.quotas = [{ limit = 4, per = \"week\" }]\n\
    [subjects.acme]\nplans = [\"gold\"]\nkeys = [{ id = \"k\", value = \"a key\" }]\n\
    [subjects.other]\nplans = [\"gold\"]\nkeys = [{ id = \"o\", value = \"another\" }]\n";

#[test]
fn engines_of_one_region_share_every_kind_of_state() {
    let file = Scratch::new("kinds");
    let one = attach(&file.0, toml(PLANS)).unwrap();
    let two = attach(&file.0, toml(PLANS)).unwrap();
    let visitor = Request::anonymous("free", "visitor");
    for n in 0..5 {
        let engine = if n % 2 == 0 { &one } else { &two };
        assert_eq!(verdict(engine, &visitor, T0), Verdict::Ok);
    }
    assert_eq!(verdict(&one, &visitor, T0), Verdict::Throttled);
    assert_eq!(verdict(&two, &visitor, T0), Verdict::Throttled);
    for engine in [&one, &two, &one] {
        assert_eq!(verdict(engine, &Request::new("a key"), T0), Verdict::Ok);
    }
    assert_eq!(verdict(&two, &Request::new("a key"), T0), Verdict::QuotaExceeded);
    assert_eq!(verdict(&two, &Request::new("another"), T0), Verdict::Ok);
    assert_eq!(verdict(&one, &Request::new("another"), T0), Verdict::QuotaExceeded, "the pool");
    assert_eq!(one.cells(), two.cells());
}

#[test]
fn a_key_that_one_engine_switches_off_is_off_for_all() {
    let file = Scratch::new("keys");
    let one = attach(&file.0, toml(PLANS)).unwrap();
    let two = attach(&file.0, toml(PLANS)).unwrap();
    let key = Request::new("a key").cost(0);
    one.disable("k").unwrap();
    assert_eq!(verdict(&two, &key, T0), Verdict::KeyDisabled);
    two.enable("k").unwrap();
    assert_eq!(verdict(&one, &key, T0), Verdict::Ok);
    two.expire("k").unwrap();
    assert_eq!(verdict(&one, &key, T0), Verdict::KeyExpired);
    one.revoke("k").unwrap();
    assert_eq!(verdict(&two, &key, T0), Verdict::KeyRevoked);
    // One that comes later finds it so.
    let three = attach(&file.0, toml(PLANS)).unwrap();
    assert_eq!(verdict(&three, &key, T0), Verdict::KeyRevoked);
    assert_eq!(verdict(&three, &Request::new("another").cost(0), T0), Verdict::Ok);
}

#[test]
fn old_and_new_plans_debit_the_same_bucket_in_the_same_units() {
    let file = Scratch::new("plans");
    let old = attach(&file.0, toml("[plans.free]\nthrottle = { rate = \"1/3s\", burst = 5 }")).unwrap();
    let visitor = Request::anonymous("free", "visitor");
    assert_eq!(verdict(&old, &visitor.cost(5), T0), Verdict::Ok);
    // A newer process brings another rate along, for which its clock says when.
    let new = attach(&file.0, toml("[plans.free]\nthrottle = { rate = \"7/11s\", burst = 5 }")).unwrap();
    for engine in [&new, &old] {
        assert_eq!(verdict(engine, &visitor, T0), Verdict::Throttled);
        let wait = engine.check_at(&visitor, Nanos::new(T0)).retry_after();
        assert_eq!(wait, Some(Nanos::new((11 * SECOND).div_ceil(7))));
    }
    assert_eq!(verdict(&old, &visitor, T0 + 2 * SECOND), Verdict::Ok);
    assert_eq!(verdict(&new, &visitor, T0 + 3 * SECOND), Verdict::Throttled);
    assert_eq!(verdict(&new, &visitor, T0 + 4 * SECOND), Verdict::Ok);
    // A change that the one applies holds for the other at once.
    new.apply_at(
        &toml("[plans.free]\nthrottle = { rate = \"0/s\", burst = 5 }"),
        Nanos::new(T0 + 5 * SECOND),
    )
    .unwrap();
    assert_eq!(verdict(&old, &visitor, T0 + 50 * SECOND), Verdict::Throttled);
    // A change that is refused changes nothing, for nobody.
    let bad =
        toml("[plans.free]\nthrottle = { rate = \"9/s\", burst = 5 }\n[subjects.x]\nplans = [\"none\"]");
    assert!(new.apply_at(&bad, Nanos::new(T0 + 51 * SECOND)).is_err());
    assert_eq!(verdict(&old, &visitor, T0 + 60 * SECOND), Verdict::Throttled);
}

#[test]
fn state_outlives_the_engines() {
    let file = Scratch::new("outlives");
    let visitor = Request::anonymous("free", "visitor");
    assert_eq!(verdict(&attach(&file.0, toml(PLANS)).unwrap(), &visitor.cost(5), T0), Verdict::Ok);
    let engine = attach(&file.0, toml(PLANS)).unwrap();
    assert_eq!(verdict(&engine, &visitor, T0 + SECOND / 2), Verdict::Throttled);
    assert_eq!(verdict(&engine, &visitor, T0 + SECOND), Verdict::Ok);
}

#[test]
fn what_is_not_such_a_region_is_refused() {
    let file = Scratch::new("refused");
    let refused = |capacity: Capacity| {
        let region = Region::file(&file.0, capacity.region_bytes()).unwrap();
        match Engine::attach(region).capacity(capacity).build() {
            Err(ApplyError::Region(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    fs::write(&file.0, vec![b'x'; 1 << 20]).unwrap();
    assert_eq!(refused(capacity()), RegionError::Foreign);
    fs::remove_file(&file.0).unwrap();
    drop(attach(&file.0, toml(PLANS)).unwrap());
    let error = refused(capacity().lines(300));
    assert!(matches!(error, RegionError::Layout { .. }), "{error}");
    assert!(error.to_string().contains("200 lines") && error.to_string().contains("300 lines"), "{error}");
    let good = fs::read(&file.0).unwrap();
    let mut bytes = good.clone();
    bytes[0] ^= 7;
    fs::write(&file.0, &bytes).unwrap();
    assert!(matches!(refused(capacity()), RegionError::Version { .. }));
    fs::write(&file.0, &good[..4096]).unwrap();
    let region = Region::file(&file.0, 0).unwrap();
    let short = Engine::attach(region).capacity(capacity()).build();
    assert!(matches!(short, Err(ApplyError::Region(RegionError::TooSmall { .. }))), "{short:?}");
}

#[test]
fn any_damage_is_an_error_or_an_answer() {
    let file = Scratch::new("damage");
    let engine = attach(&file.0, toml(PLANS)).unwrap();
    for n in 0..50u32 {
        verdict(&engine, &Request::anonymous("free", &n.to_le_bytes()), T0);
        verdict(&engine, &Request::new("a key"), T0 + u64::from(n) * 86_400 * SECOND);
    }
    drop(engine);
    let good = fs::read(&file.0).unwrap();
    let mut seed = 7u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (mut attached, mut copied) = (0, 0);
    for round in 0..400 {
        let mut bytes = good.clone();
        for _ in 0..=round % 40 {
            // Half of the blows go to where there is something.
            let used: Vec<usize> = (0..32).map(|_| (random() % bytes.len() as u64) as usize).collect();
            let hit = used.iter().copied().find(|&at| bytes[at] != 0 || round % 2 == 0).unwrap_or(used[0]);
            bytes[hit] = random() as u8;
            let first = (random() % 400) as usize;
            bytes[first] = if round % 3 == 0 { random() as u8 } else { bytes[first] };
        }
        fs::write(&file.0, &bytes).unwrap();
        if let Ok(copy) = copy_of(&file.0, toml(PLANS)) {
            copied += 1;
            let date = |days| Date::from_days(19_675 + days);
            let _ = copy.usage_at("acme", "gold", date(0), date(60), Nanos::new(T0));
            copy.check_at(&Request::new("a key"), Nanos::new(T0));
        }
        let Ok(engine) = attach(&file.0, toml(PLANS)) else { continue };
        attached += 1;
        for n in 0..60u32 {
            engine.check_at(&Request::anonymous("free", &n.to_le_bytes()), Nanos::new(T0 + SECOND));
            engine.check_at(&Request::new("a key"), Nanos::new(T0 + u64::from(n) * SECOND));
            let _ = engine.disable("o");
        }
        engine.maintain_at(100, Nanos::new(T0 + 10 * SECOND));
        let _ = engine.apply_at(&toml(PLANS), Nanos::new(T0 + 20 * SECOND));
    }
    assert!(attached > 50 && copied > 50, "{attached} {copied}");
}

#[test]
fn a_copy_goes_on_by_itself() {
    let file = Scratch::new("copy");
    assert!(matches!(Region::copy_of(&file.0), Err(RegionError::Io { .. })), "it makes no region");
    let live = attach(&file.0, toml(PLANS)).unwrap();
    let visitor = Request::anonymous("free", "visitor");
    assert_eq!(verdict(&live, &visitor.cost(4), T0), Verdict::Ok);
    assert_eq!(verdict(&live, &Request::new("a key").cost(2), T0), Verdict::Ok);
    live.revoke("o").unwrap();
    let before = fs::read(&file.0).unwrap();
    // Limits, a subject and a key that the region does not have.
    let other = PLANS
        .replace("burst = 5", "burst = 6")
        .replace("limit = 3", "limit = 5")
        .replace("\"a key\"", "\"its key\"");
    let copy = copy_of(&file.0, toml(&(other + "[subjects.new]\nplans = [\"gold\"]\n"))).unwrap();
    let date = Date::from_days((T0 / 86_400 / SECOND) as i32);
    for (subject, used) in [("acme", 2), ("other", 0), ("new", 0)] {
        let rows = copy.usage_at(subject, "gold", date, date, Nanos::new(T0)).unwrap();
        assert_eq!((rows[0].used(), rows[0].remaining()), (used, 5 - used), "{subject}");
    }
    assert_eq!(verdict(&copy, &Request::new("a key"), T0), Verdict::KeyUnknown);
    assert_eq!(verdict(&copy, &Request::new("another"), T0), Verdict::KeyRevoked);
    assert_eq!(verdict(&copy, &Request::new("its key").cost(2), T0), Verdict::Ok);
    assert_eq!(verdict(&copy, &Request::new("its key"), T0), Verdict::QuotaExceeded, "the pool");
    copy.disable("k").unwrap();
    assert!(before == fs::read(&file.0).unwrap(), "the region's bytes have changed");
    assert_eq!(verdict(&live, &Request::new("a key"), T0), Verdict::Ok);
    assert_eq!(verdict(&live, &visitor, T0), Verdict::Ok);
    assert_eq!(verdict(&live, &visitor, T0), Verdict::Throttled);
    // A snapshot besides is one too many.
    let path = Scratch::new("copy-snapshot");
    live.save(&path.0).unwrap();
    let snapshot = Snapshot::load(&path.0).unwrap();
    let both = Engine::attach(Region::copy_of(&file.0).unwrap()).snapshot(snapshot).build();
    assert!(matches!(both, Err(ApplyError::Snapshot(_))), "{both:?}");
}

#[test]
fn what_a_copy_has_of_a_subject_is_of_one_instant() {
    let file = Scratch::new("copy-whole");
    let (subjects, days, checks) = (100, 80, 6);
    let mut plans = "[plans.gold]\nquotas = [{ limit = 1000000, per = \"forever\" }]\n".to_owned();
    for n in 0..subjects {
        plans += &format!(
            "[subjects.s{n}]\nplans = [\"gold\"]\nkeys = [{{ id = \"k{n}\", value = \"key {n}\" }}]\n"
        );
    }
    let capacity = Capacity::new().cells(20_000).lines(10_000);
    let region = Region::file(&file.0, capacity.region_bytes()).unwrap();
    let live = Engine::attach(region).capacity(capacity).changes(toml(&plans)).build().unwrap();
    let now = |day: u64| Nanos::new(T0 + day * 86_400 * SECOND);
    let traffic = || {
        for day in 0..days {
            for n in (0..checks).flat_map(|_| 0..subjects) {
                assert!(live.check_at(&Request::new(format!("key {n}").as_bytes()), now(day)).is_allowed());
            }
        }
    };
    let used = |engine: &Engine, n: u64| -> u64 {
        let (from, last) = (Date::from_days(19_675), Date::from_days(19_675 + days as i32));
        let rows = engine.usage_at(&format!("s{n}"), "gold", from, last, now(days)).unwrap();
        let sum = rows.iter().map(|row| row.used()).sum();
        assert_eq!(sum, 1_000_000 - rows[days as usize].remaining(), "the days of s{n} and its quota");
        sum
    };
    std::thread::scope(|scope| {
        let traffic = scope.spawn(traffic);
        let mut copies = 0;
        while !traffic.is_finished() || copies == 0 {
            let copy = copy_of(&file.0, toml(&plans)).unwrap();
            for n in 0..subjects {
                used(&copy, n);
            }
            copies += 1;
        }
    });
    let copy = copy_of(&file.0, toml(&plans)).unwrap();
    (0..subjects).for_each(|n| assert_eq!(used(&copy, n), days * checks));
}

// --- processes ---------------------------------------------------------------------------------------------------

const LIMIT: u64 = 1_000_000;
/// More than the processes of a storm ever use up.
const STORM: u64 = 1 << 40;

/// A quota of a million beside a throttle, a route and a pool that hold as much or more.
fn busy(limit: u64) -> Changes {
    let quota = |per| Quota::new(limit, per);
    let plan = Plan::new()
        .quota(quota("forever"))
        .throttle(Throttle::new("1000000/s", 1 << 42))
        .route("GET /", Limits::new().quota(quota("forever")))
        .pool(Limits::new().quota(quota("forever")));
    Changes::new().plan("busy", plan)
}

fn busy_engine(path: &Path, limit: u64) -> Engine {
    let region = Region::file(path, capacity().region_bytes()).unwrap();
    Engine::attach(region).capacity(capacity()).changes(busy(limit)).build().unwrap()
}

/// Not a test of its own: what a child process does. Its count of admissions stands in a file after each.
#[test]
#[ignore = "started by others"]
fn child() {
    let path = |name: &str| PathBuf::from(std::env::var_os(name).unwrap());
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let engine = busy_engine(&path("TOLLGATE_REGION"), number("TOLLGATE_LIMIT"));
    let counts = OpenOptions::new().write(true).open(path("TOLLGATE_COUNTS")).unwrap();
    let (slot, report) = (number("TOLLGATE_SLOT"), number("TOLLGATE_REPORT") == 1);
    let mut admitted = 0u64;
    for n in 0..number("TOLLGATE_CHECKS") {
        let request = Request::anonymous("busy", "everybody");
        let request = if n % 2 == 0 { request.route("GET /") } else { request };
        if engine.check_at(&request, Nanos::new(T0)).is_allowed() {
            admitted += 1;
            if report {
                counts.write_all_at(&admitted.to_le_bytes(), slot * 8).unwrap();
            }
        }
    }
    counts.write_all_at(&admitted.to_le_bytes(), slot * 8).unwrap();
}

fn start(region: &Path, counts: &Path, slot: u64, checks: u64, report: bool) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child", "--test-threads", "1"])
        .env("TOLLGATE_REGION", region)
        .env("TOLLGATE_COUNTS", counts)
        .env("TOLLGATE_SLOT", slot.to_string())
        .env("TOLLGATE_CHECKS", checks.to_string())
        .env("TOLLGATE_LIMIT", if report { STORM } else { LIMIT }.to_string())
        .env("TOLLGATE_REPORT", if report { "1" } else { "0" })
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn sum(counts: &Path) -> u64 {
    let mut bytes = Vec::new();
    File::open(counts).unwrap().read_to_end(&mut bytes).unwrap();
    bytes.chunks_exact(8).map(|count| u64::from_le_bytes(count.try_into().unwrap())).sum()
}

fn left(engine: &Engine) -> u64 {
    let report = engine.report_at(
        &Request::anonymous("busy", "everybody").cost(0),
        Nanos::new(T0),
        tollgate::Mode::Peek,
    );
    let remaining: Vec<u64> = report
        .limits()
        .iter()
        .filter(|limit| limit.kind() == tollgate::LimitKind::Quota)
        .map(|limit| limit.remaining())
        .collect();
    assert!(remaining.iter().all(|&other| other == remaining[0]), "torn: {remaining:?}");
    remaining[0]
}

#[test]
fn eight_processes_admit_exactly_the_quota() {
    let (region, counts) = (Scratch::new("eight"), Scratch::new("eight-counts"));
    fs::write(&counts.0, [0; 64]).unwrap();
    let engine = busy_engine(&region.0, LIMIT);
    let children: Vec<Child> = (0..8).map(|slot| start(&region.0, &counts.0, slot, 140_000, false)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(sum(&counts.0), LIMIT);
    assert_eq!(left(&engine), 0);
}

/// `TOLLGATE_KILLS` processes are killed at any moment, 40 by default.
#[test]
fn killed_processes_leave_nothing_stuck_and_cost_at_most_one_debit_each() {
    let kills: u64 = std::env::var("TOLLGATE_KILLS").map_or(40, |kills| kills.parse().unwrap());
    let (region, counts) = (Scratch::new("storm"), Scratch::new("storm-counts"));
    fs::write(&counts.0, vec![0; (kills + 2) as usize * 8]).unwrap();
    let engine = busy_engine(&region.0, STORM);
    let before = left(&engine);
    for kill in 0..kills {
        let mut child = start(&region.0, &counts.0, kill, u64::MAX, true);
        // At work, and then at some moment of it.
        let started = sum(&counts.0);
        while sum(&counts.0) == started {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros(kill * 7_919 % 3_000));
        child.kill().unwrap();
        child.wait().unwrap();
        // Nothing is stuck, and nothing is torn.
        assert!(engine.check_at(&Request::anonymous("busy", "everybody"), Nanos::new(T0)).is_allowed());
        left(&engine);
    }
    let (debits, admissions) = (before - left(&engine), sum(&counts.0) + kills);
    assert!(
        debits <= admissions + kills,
        "{debits} debits, at most {admissions} admissions and {kills} kills"
    );
    assert!(debits + kills >= sum(&counts.0), "more admissions than debits");
}
