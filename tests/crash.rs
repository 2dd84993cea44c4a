//! A process killed after every single instruction of an operation, while another goes on.
//!
//! Each round starts a child that attaches to a region, comes to the operation and is then single-stepped so many
//! instructions, and killed there. The survivor must find nothing stuck, nothing torn, and at most one debit more.
//! `TOLLGATE_STRIDE` is the number of instructions between two rounds: 499 by default, 1 for every instruction.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod linux {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use nix::sys::ptrace;
    use nix::sys::signal::{Signal, raise};
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;
    use tollgate::{
        Capacity, Changes, Engine, Key, Limits, Mode, Nanos, Plan, Quota, Region, Request, SecretKey,
        Subject, Verdict,
    };

    const T0: u64 = 1_700_000_000_000_000_000;
    const DAY: u64 = 86_400_000_000_000;
    const LIMIT: u64 = 1_000_000;

    fn engine(path: &Path) -> Engine {
        let quota = |per| Quota::new(LIMIT, per);
        let plan = Plan::new().quota(quota("day")).pool(Limits::new().quota(quota("forever")));
        let throttle = Plan::new().throttle(tollgate::Throttle::new("1/d", 2));
        let key = Key::new("k", SecretKey::new("a key").unwrap());
        let changes =
            Changes::new().plan("p", plan).plan("alone", throttle).subject("s", Subject::new(["p"]).key(key));
        let capacity = Capacity::new().cells(50_000).lines(50_000);
        let region = Region::file(path, capacity.region_bytes()).unwrap();
        Engine::attach(region).capacity(capacity).changes(changes).build().unwrap()
    }

    fn request(name: &str) -> Request<'_> {
        Request::anonymous("p", name)
    }

    fn check(engine: &Engine, request: &Request<'_>, now: u64) -> Verdict {
        engine.check_at(request, Nanos::new(now)).verdict()
    }

    /// What is left of own and pool quota.
    fn left(engine: &Engine, name: &str, now: u64) -> (u64, u64) {
        let report = engine.report_at(&request(name).cost(0), Nanos::new(now), Mode::Peek);
        (report.limits()[0].remaining(), report.limits()[1].remaining())
    }

    /// The operation itself, in the child.
    fn operate(engine: &Engine, operation: &str, name: &str) {
        match operation {
            "update" | "insert" => assert_eq!(check(engine, &request(name), T0), Verdict::Ok),
            "rollover" => assert_eq!(check(engine, &request(name), T0 + DAY), Verdict::Ok),
            "cell" => assert_eq!(check(engine, &Request::anonymous("alone", name), T0), Verdict::Ok),
            "disable" => engine.disable("k").unwrap(),
            other => panic!("{other}"),
        }
    }

    /// The child: everything but the operation's own steps is done before the first signal.
    pub fn child(operation: &str) {
        let variable = |name: &str| std::env::var(name).unwrap();
        ptrace::traceme().unwrap();
        let engine = engine(&PathBuf::from(variable("TOLLGATE_REGION")));
        let name = variable("TOLLGATE_NAME");
        engine.peek_at(&request(&name), Nanos::new(T0));
        raise(Signal::SIGUSR1).unwrap();
        operate(&engine, operation, &name);
        raise(Signal::SIGUSR2).unwrap();
    }

    /// Starts a child, lets it take so many instructions of the operation and kills it; whether it came to the end.
    fn killed_after(region: &Path, operation: &str, name: &str, instructions: u64) -> bool {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env("TOLLGATE_STEP", operation)
            .env("TOLLGATE_REGION", region)
            .env("TOLLGATE_NAME", name)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        let status = waitpid(pid, None).unwrap();
        assert!(matches!(status, WaitStatus::Stopped(_, Signal::SIGUSR1)), "{status:?}");
        let mut ended = false;
        for _ in 0..instructions {
            ptrace::step(pid, None).unwrap();
            match waitpid(pid, None).unwrap() {
                WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
                WaitStatus::Stopped(_, Signal::SIGUSR2) => {
                    ended = true;
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        ptrace::kill(pid).unwrap();
        child.wait().unwrap();
        ended
    }

    /// Rounds of one operation: (rounds, of which the kill came after the debit).
    fn rounds(operation: &str, stride: u64, phase: u64) -> (u64, u64) {
        let region = std::env::temp_dir().join(format!("tollgate-crash-{operation}-{}", std::process::id()));
        let _ = fs::remove_file(&region);
        let survivor = engine(&region);
        let (mut rounds, mut debited) = (0, 0);
        let mut instructions = phase;
        loop {
            let name = format!("{operation}-{instructions}");
            if matches!(operation, "update" | "rollover") {
                assert_eq!(check(&survivor, &request(&name), T0), Verdict::Ok);
            }
            let now = if operation == "rollover" { T0 + DAY } else { T0 };
            let before = left(&survivor, &name, now);
            let ended = killed_after(&region, operation, &name, instructions);
            let start = Instant::now();
            match operation {
                "disable" => {
                    let key = Request::new("a key").cost(0);
                    let verdict = check(&survivor, &key, T0);
                    assert!(matches!(verdict, Verdict::Ok | Verdict::KeyDisabled), "{verdict:?}");
                    debited += u64::from(verdict == Verdict::KeyDisabled);
                    survivor.enable("k").unwrap();
                    assert_eq!(check(&survivor, &key, T0), Verdict::Ok);
                }
                "cell" => {
                    let visitor = Request::anonymous("alone", &name);
                    let admitted = (0..3).filter(|_| check(&survivor, &visitor, T0) == Verdict::Ok).count();
                    assert!(admitted == 1 || admitted == 2, "{admitted}");
                    debited += u64::from(admitted == 1);
                }
                _ => {
                    let after = left(&survivor, &name, now);
                    let (own, pool) = (before.0 - after.0, before.1 - after.1);
                    assert_eq!(own, pool, "torn after {instructions} instructions of {operation}");
                    assert!(own <= 1, "{own} debits after {instructions} instructions of {operation}");
                    assert!(!ended || own == 1);
                    debited += own;
                    // It goes on.
                    assert_eq!(check(&survivor, &request(&name), now), Verdict::Ok);
                    assert_eq!(left(&survivor, &name, now), (after.0 - 1, after.1 - 1));
                }
            }
            assert!(start.elapsed() < Duration::from_secs(5), "stuck after {instructions} instructions");
            rounds += 1;
            if ended {
                break;
            }
            instructions += stride;
        }
        fs::remove_file(&region).unwrap();
        (rounds, debited)
    }

    pub fn parent() {
        let stride = std::env::var("TOLLGATE_STRIDE").map_or(499, |stride| stride.parse().unwrap());
        for (operation, phase) in
            [("update", 3), ("insert", 5), ("rollover", 7), ("cell", 11), ("disable", 13)]
        {
            let (rounds, debited) = rounds(operation, stride, phase.min(stride));
            println!("{operation}: killed at {rounds} points, {debited} after the debit, 0 stuck, 0 torn");
            assert!(rounds > 3 && debited > 0, "the kills came at the operation");
        }
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() {
    match std::env::var("TOLLGATE_STEP") {
        Ok(operation) => linux::child(&operation),
        Err(_) => linux::parent(),
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {}
