//! A process that is stepped through an operation and killed on every step of it.
//!
//! A process can only be killed once. So before it is, it is made to fork where it stands: it dies there, and its double
//! goes on, so that a point costs two forks, however far into the operation it is. What the doubles mark bears the number
//! of the first process that was killed: of an owner that is dead, as it should be.
//!
//! What another process makes of what was left is found out in a fork of the one that survives, which keeps its changes
//! to itself: the double goes on from what the dead one left.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::libc::{self, c_long, user_regs_struct};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, alarm, fork};

use super::memory::Shared;

/// Where a process is killed.
#[derive(Clone, Copy)]
pub enum Pace {
    /// After every so many instructions, counted from `phase` on, and after each that changes the memory.
    Instructions { stride: u64, phase: u64 },
    /// After each instruction that writes to the memory: for operations of which the rest takes too long to step through.
    Writes,
}

/// A place where it was.
#[derive(Clone, Copy)]
pub struct Point {
    /// Number of the step.
    pub n: u64,
    /// It had come to the end of the operation.
    pub ended: bool,
    /// The step changed the memory.
    pub changed: bool,
    /// In which of [`WAYS`] the survivor is to look at it.
    pub way: u64,
}

/// Ways to look: the first to come changes what it meets, or reads it; it was there before the kill, or comes after.
const WAYS: u64 = 4;

impl Point {
    fn at(n: u64, ended: bool, changed: bool) -> Point {
        Point { n, ended, changed, way: n % WAYS }
    }

    /// Whether the memory may be as it never was before.
    fn is_new(self) -> bool {
        self.changed || self.ended || self.n == 0
    }

    /// Whether everything is to be looked at: where the memory is as it was at the point before, there is mostly less.
    pub fn is_thorough(self) -> bool {
        self.is_new() || self.n.is_multiple_of(16)
    }

    /// The first of several looks.
    pub fn is_first_look(self) -> bool {
        self.way == self.n % WAYS
    }

    pub fn reads_first(self) -> bool {
        self.way.is_multiple_of(2)
    }

    pub fn is_newcomers(self) -> bool {
        self.way >= 2
    }
}

/// What came of it.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    pub steps: u64,
    /// Steps that changed the memory.
    pub changes: u64,
    /// Kills.
    pub points: u64,
    /// Kills after which something of the operation was found done.
    pub after: u64,
    /// How far it was found to be before its first step, and after its last.
    pub first: u8,
    pub last: u8,
}

/// Makes a process ready for its operation, which it hands on to be done.
pub type Come<'a> = &'a dyn Fn(&Shared, &dyn Fn(&dyn Fn()));

/// Finds out, in a process of its own, how far the operation was.
pub type Survive<'a> = &'a dyn Fn(&Shared, Point) -> u8;

/// Exit status of a survivor that found something wrong; below: how far it found the operation.
const WRONG: i32 = 100;

/// A survivor that takes so many seconds is stuck.
const PATIENCE: u32 = 5;

/// Kills the process that `come` makes ready, and lets `survive` find out how far the operation was: never
/// less than at an earlier point.
pub fn walk(name: &str, memory: &mut Shared, pace: Pace, come: Come<'_>, survive: Survive<'_>) -> Tally {
    let mut tally = Tally::default();
    let mut walker = start(memory, come);
    memory.changed();
    if matches!(pace, Pace::Writes) {
        protect(walker, memory, libc::PROT_READ);
    }
    let mut point = Point::at(0, false, false);
    loop {
        let due = match pace {
            Pace::Instructions { stride, phase } => point.n % stride == phase % stride,
            Pace::Writes => true,
        };
        if due || point.is_new() {
            let double = if point.ended { walker } else { doubled(walker) };
            end(walker);
            walker = double;
            let place = || format!("{name}, killed at step {}", point.n);
            let stage = survived(memory, point, &place, survive);
            assert!(stage >= tally.last, "{}: undone again: {stage} < {}", place(), tally.last);
            for way in (0..WAYS).filter(|&way| way != point.way && point.is_new()) {
                let other = survived(memory, Point { way, ..point }, &place, survive);
                assert_eq!(other, stage, "{}: two ways to look at it", place());
            }
            if point.n == 0 {
                tally.first = stage;
            }
            tally.points += 1;
            tally.after += u64::from(stage > tally.first);
            tally.last = stage;
        }
        if point.ended {
            return tally;
        }
        let ended = match pace {
            Pace::Instructions { .. } => step(walker),
            Pace::Writes => leap(walker, memory),
        };
        point = Point::at(point.n + 1, ended, memory.changed());
        tally.steps = point.n;
        tally.changes += u64::from(point.changed);
    }
}

/// Starts a process that is ready for its operation.
pub fn start(memory: &Shared, come: Come<'_>) -> Pid {
    let walker = forked(|| {
        ptrace::traceme().unwrap();
        come(memory, &|operation| {
            raise(Signal::SIGSTOP).unwrap();
            operation();
            // SAFETY: an instruction that stops the process, whichever of the doubles it is.
            unsafe { core::arch::asm!("ud2", options(noreturn)) }
        });
        WRONG
    });
    assert_eq!(waitpid(walker, None).unwrap(), WaitStatus::Stopped(walker, Signal::SIGSTOP));
    ptrace::setoptions(walker, Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_EXITKILL).unwrap();
    walker
}

/// Lets a stopped process go on as `resume` says; what it is stopped by next, but for a stop that somebody sends who
/// wants to have a moment of peace on this machine.
fn resumed(walker: Pid, resume: impl Fn() -> nix::Result<()>) -> WaitStatus {
    loop {
        resume().unwrap();
        match waitpid(walker, None).unwrap() {
            WaitStatus::Stopped(_, Signal::SIGSTOP | Signal::SIGCONT) => {}
            status => return status,
        }
    }
}

/// One instruction more; whether that was the end.
pub fn step(walker: Pid) -> bool {
    match resumed(walker, || ptrace::step(walker, None)) {
        WaitStatus::Stopped(_, Signal::SIGTRAP) => false,
        WaitStatus::Stopped(_, Signal::SIGILL) => true,
        other => panic!("{other:?}"),
    }
}

/// On to where it stops by itself.
pub fn run(walker: Pid) -> WaitStatus {
    resumed(walker, || ptrace::cont(walker, None))
}

/// On to and over the next instruction that writes to memory, which is protected; whether the end came first.
fn leap(walker: Pid, memory: &Shared) -> bool {
    match run(walker) {
        WaitStatus::Stopped(_, Signal::SIGSEGV) => {}
        WaitStatus::Stopped(_, Signal::SIGILL) => return true,
        other => panic!("{other:?}"),
    }
    // SAFETY: a signal of this kind has an address.
    let address = unsafe { ptrace::getsiginfo(walker).unwrap().si_addr() };
    assert!(memory.holds(address as usize), "{address:?} is not in the memory");
    protect(walker, memory, libc::PROT_READ | libc::PROT_WRITE);
    let ended = step(walker);
    protect(walker, memory, libc::PROT_READ);
    ended
}

/// Kills a process that is stopped.
pub fn end(walker: Pid) {
    kill(walker, Signal::SIGKILL).unwrap();
    assert_eq!(waitpid(walker, None).unwrap(), WaitStatus::Signaled(walker, Signal::SIGKILL, false));
}

/// A system call and a stop, for a process that is sent here.
#[unsafe(naked)]
extern "C" fn call_and_stop() {
    core::arch::naked_asm!("syscall", "int3");
}

/// Sends a stopped process into a system call; where it was, and how it stops next.
fn send(walker: Pid, call: c_long, arguments: [u64; 3]) -> (user_regs_struct, WaitStatus) {
    // No system call that it is in is to be gone on with.
    let place = user_regs_struct { orig_rax: u64::MAX, ..ptrace::getregs(walker).unwrap() };
    let [rdi, rsi, rdx] = arguments;
    let rip = call_and_stop as *const () as u64;
    let there = user_regs_struct { rip, rax: call as u64, rdi, rsi, rdx, r10: 0, r8: 0, ..place };
    ptrace::setregs(walker, there).unwrap();
    (place, run(walker))
}

/// What `walker` may do with the memory.
fn protect(walker: Pid, memory: &Shared, access: i32) {
    let (start, bytes) = memory.place();
    let (place, status) = send(walker, libc::SYS_mprotect, [start as u64, bytes as u64, access as u64]);
    assert_eq!(status, WaitStatus::Stopped(walker, Signal::SIGTRAP));
    assert_eq!(ptrace::getregs(walker).unwrap().rax, 0);
    ptrace::setregs(walker, place).unwrap();
}

/// A child of this process that is in every register and byte where `walker` is, but for the memory that they share.
/// `walker` itself is good for nothing more.
fn doubled(walker: Pid) -> Pid {
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    let (place, status) = send(walker, libc::SYS_clone, [flags as u64, 0, 0]);
    assert!(matches!(status, WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_FORK)), "{status:?}");
    let double = Pid::from_raw(ptrace::getevent(walker).unwrap() as i32);
    assert_eq!(waitpid(double, None).unwrap(), WaitStatus::Stopped(double, Signal::SIGSTOP));
    ptrace::setregs(double, place).unwrap();
    double
}

/// How far a survivor finds the operation.
fn survived(memory: &Shared, point: Point, place: &dyn Fn() -> String, survive: Survive<'_>) -> u8 {
    // One that takes too long may have been stopped, with the whole machine: all depends on the second.
    for _ in 0..2 {
        let survivor = forked(|| {
            alarm::set(PATIENCE);
            memory.keep_to_oneself();
            survive(memory, point).into()
        });
        match waitpid(survivor, None).unwrap() {
            WaitStatus::Exited(_, stage) if stage < WRONG => return stage as u8,
            WaitStatus::Signaled(_, Signal::SIGALRM, _) => {}
            status => panic!("{}: {status:?}", place()),
        }
    }
    panic!("{}: stuck", place())
}

/// A forked process, whose exit status is what `act` gives.
fn forked(act: impl FnOnce() -> i32) -> Pid {
    // SAFETY: this process has one thread, so that the child may do whatever it could.
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let status = catch_unwind(AssertUnwindSafe(act)).unwrap_or(WRONG);
            // SAFETY: ends the process, without what only the parent is to do at its end.
            unsafe { libc::_exit(status) }
        }
    }
}
