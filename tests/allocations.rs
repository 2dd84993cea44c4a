//! A check of a subject that has its state allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tollgate::{Changes, Engine, Key, Limits, Nanos, Plan, Quota, Request, SecretKey, Subject, Throttle};

struct Counting;

thread_local!(static COUNT: Cell<u64> = const { Cell::new(0) });

fn counted() -> u64 {
    COUNT.with(Cell::get)
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_check_of_a_subject_that_has_its_state_allocates_nothing() {
    let throttle = || Throttle::new("100/s", 1_000);
    let plan = Plan::new()
        .throttle(throttle())
        .quota(Quota::new(500, "day"))
        .quota(Quota::new(1_000_000, "month").zone("Asia/Tokyo"))
        .route("GET /*", Limits::new().throttle(throttle()))
        .pool(Limits::new().quota(Quota::new(1_000_000, "week")));
    let key = Key::new("k", SecretKey::new("a key").unwrap());
    let changes = Changes::new()
        .plan("free", Plan::new().throttle(throttle()))
        .plan("gold", plan)
        .subject("s", Subject::new(["gold"]).key(key));
    let engine = Engine::builder().changes(changes).build().unwrap();
    let free = engine.plan_id("free").unwrap();
    let mut now = 1_700_000_000_000_000_000;
    let mut run = |times: u32| {
        for _ in 0..times {
            now += 1_000_000;
            let now = Nanos::new(now);
            // Admitted, then refused by the quota; with and without a route; anonymous by name and by number.
            engine.check_at(&Request::new("a key"), now);
            engine.check_at(&Request::new("a key").route("GET /x"), now);
            engine.peek_at(&Request::new("a key").cost(3), now);
            engine.check_at(&Request::anonymous("free", "somebody"), now);
            engine.check_at(&Request::anonymous_in(free, "somebody").cost(2), now);
            engine.check_at(&Request::new("no such key"), now);
        }
    };
    run(2);
    let before = counted();
    run(2_000);
    assert_eq!(counted() - before, 0);
    assert!(before > 0, "allocations are counted");
}
