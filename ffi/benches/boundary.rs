//! What the boundary costs: the same checks through `libtollgate` and from Rust, turn by turn in one run.
//!
//! `cargo bench -p tollgate-ffi --bench boundary` prints nanoseconds per check: of the rounds of each, the quickest, the
//! tenth and the half.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::hint::black_box;
use std::process::Command;
use std::ptr::null_mut;
use std::time::Instant;

use tollgate::{Changes, Engine, Nanos, Request};

const PLANS: &str = r#"
[plans.gold]
throttle = { rate = "1000000000/s", burst = 1000000000 }
[plans.wide]
throttle = { rate = "1000000000/s", burst = 1000000000 }
quotas = [{ limit = 1000000000000000, per = "month" }]
[subjects.a]
plans = ["gold"]
keys = [{ id = "a-1", value = "an-api-key-of-24-letters" }]
[subjects.b]
plans = ["wide"]
keys = [{ id = "b-1", value = "another-key-of-24-signs!" }]
"#;
const KEYS: [&str; 2] = ["an-api-key-of-24-letters", "another-key-of-24-signs!"];
/// Of each: keys that take turns, and whether the engine reads its clock.
const CASES: [(&str, Keys, bool); 6] = [
    ("key, throttle", Keys::Registered(0), false),
    ("key, throttle and quota", Keys::Registered(1), false),
    ("anonymous, the same again", Keys::Anonymous(1), false),
    ("anonymous, 64 by turns", Keys::Anonymous(64), false),
    ("key, throttle; own clock", Keys::Registered(0), true),
    ("anonymous; own clock", Keys::Anonymous(1), true),
];
const NOW: u64 = 1_780_272_000_000_000_000;
/// So few that most rounds are over before something else wants the processor.
const CHECKS: u32 = 1_000;
const ROUNDS: usize = 10_001;
const ANONYMOUS: u32 = 4;

#[derive(Clone, Copy)]
enum Keys {
    Registered(usize),
    Anonymous(usize),
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Str(*const c_void, usize);

#[repr(C)]
struct CRequest {
    key: Str,
    others: [Str; 3],
    costs: (*const c_void, usize),
    numbers: [u64; 3],
    names: [u32; 4],
    reserved: [u64; 3],
}

#[repr(C)]
struct CChanges {
    size: u32,
    flags: u32,
    path: Str,
    toml: Str,
    json: Str,
    structs: [u64; 8],
}

type Create = unsafe extern "C" fn(*const c_void, *const CChanges, *mut *mut c_void, *mut c_void) -> i32;
type Check = unsafe extern "C" fn(*mut c_void, *const CRequest, *mut [u64; 8]) -> i32;
type Intern = unsafe extern "C" fn(*mut c_void, *const c_void, usize, *mut u32) -> i32;

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

fn library() -> CString {
    let build = ["build", "--package", "tollgate-ffi", "--release", "--locked", "--message-format=json"];
    let output = Command::new(env!("CARGO")).args(build).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let messages = String::from_utf8(output.expect("cargo").stdout).expect("UTF-8");
    let path =
        messages.split('"').find(|text| text.ends_with("libtollgate_ffi.so")).expect("a shared library");
    CString::new(path).expect("a path")
}

/// # Safety
/// `F` is the type of the function of this name.
unsafe fn function<F: Copy>(library: *mut c_void, name: &CStr) -> F {
    // SAFETY: a library that is loaded, and a name.
    let address = unsafe { dlsym(library, name.as_ptr()) };
    assert!(!address.is_null(), "{name:?}");
    // SAFETY: the caller's promise.
    unsafe { std::mem::transmute_copy(&address) }
}

fn nanos(mut step: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..CHECKS {
        step();
    }
    start.elapsed().as_nanos() as f64 / f64::from(CHECKS)
}

fn main() {
    let engine = Engine::builder().changes(Changes::from_toml(PLANS).unwrap()).build().unwrap();
    let plan = engine.plan_id("gold").unwrap();
    let path = library();
    // SAFETY: a path, RTLD_NOW; the types are those of tollgate.h.
    let (create, check, intern) = unsafe {
        let library = dlopen(path.as_ptr(), 2);
        assert!(!library.is_null(), "{path:?}");
        let create: Create = function(library, c"tollgate_create");
        let check: Check = function(library, c"tollgate_check");
        (create, check, function::<Intern>(library, c"tollgate_intern"))
    };
    let none = Str(std::ptr::null(), 0);
    let lent = |text: &str| Str(text.as_ptr().cast(), text.len());
    let changes =
        CChanges { size: 120, flags: 0, path: none, toml: lent(PLANS), json: none, structs: [0; 8] };
    let (mut handle, mut gold) = (null_mut(), 0);
    // SAFETY: as tollgate.h says.
    unsafe {
        assert_eq!(create(std::ptr::null(), &raw const changes, &raw mut handle, null_mut()), 0);
        assert_eq!(intern(handle, "gold".as_ptr().cast(), 4, &raw mut gold), 0);
    }
    let addresses: Vec<String> = (0..64).map(|n| format!("198.51.100.{}", 100 + n)).collect();
    for (name, keys, own_clock) in CASES {
        let (anonymous, keys) = match keys {
            Keys::Registered(which) => (false, vec![KEYS[which]]),
            Keys::Anonymous(count) => (true, addresses.iter().take(count).map(String::as_str).collect()),
        };
        // As a host does it: one request, filled anew for each call.
        let mut raw = CRequest {
            key: none,
            others: [none; 3],
            costs: (std::ptr::null(), 0),
            numbers: [1, 0, NOW],
            names: if anonymous { [0, 0, gold, ANONYMOUS] } else { [0; 4] },
            reserved: [0; 3],
        };
        let (mut rust, mut c) = (Vec::new(), Vec::new());
        let mut decision = [0u64; 8];
        let (mut now, mut turn) = (NOW, 0);
        for _ in 0..ROUNDS {
            rust.push(nanos(|| {
                (now, turn) = (now + 10, (turn + 1) % keys.len());
                let key = black_box(keys[turn]);
                let request = if anonymous { Request::anonymous_in(plan, key) } else { Request::new(key) };
                let decision = match own_clock {
                    true => engine.check(&request),
                    false => engine.check_at(&request, Nanos::new(now)),
                };
                assert!(black_box(decision).is_allowed());
            }));
            c.push(nanos(|| {
                (now, turn) = (now + 10, (turn + 1) % keys.len());
                (raw.key, raw.numbers[2]) = (lent(keys[turn]), if own_clock { 0 } else { now });
                // SAFETY: as tollgate.h says.
                let status =
                    unsafe { check(handle, black_box(&raw const raw), black_box(&raw mut decision)) };
                assert_eq!(status, 0);
            }));
        }
        rust.sort_by(f64::total_cmp);
        c.sort_by(f64::total_cmp);
        let at = [0, ROUNDS / 10, ROUNDS / 2];
        let [rust, c] = [rust, c].map(|rounds| at.map(|at| rounds[at]));
        let more = [0, 1, 2].map(|at| c[at] - rust[at]);
        println!("{name:30} Rust {rust:6.1?}   C {c:6.1?}   more {more:5.1?}");
    }
}
