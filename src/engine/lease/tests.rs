//! Leases of several threads beside the exact limits, one operation after the other: which thread is at work is a matter of
//! whose leases are put in place.

use proptest::prelude::*;

use super::*;
use crate::algo::Wait;
use crate::algo::gcra::{Bucket, Timeline};
use crate::algo::rate::Rate;
use crate::engine::current::Here;
use crate::engine::owners::OwnerKind;
use crate::engine::world::World;
use crate::engine::{Capacity, Request};
use crate::key::SecretKey;
use crate::plan::{Changes, Key, Limits, Plan, Subject, Throttle};
use crate::time::Nanos;

const T0: u64 = 1_700_000_000_000_000_000;
const THREADS: usize = 3;

/// Rates per second, with bursts.
const LIMITS: &[(u64, u64)] =
    &[(1_000, 2_400), (1_000_000, 5_000), (5, 1_000), (1_000_000_000, 1_000_000), (100_000, 200), (0, 1_000)];

#[derive(Clone, Copy, Debug)]
enum Operation {
    Check {
        who: usize,
        cost: u64,
    },
    /// The same of all that there is without leases, and so much more; or of all but the eighth that may be lent.
    Most {
        who: usize,
        more: u64,
        named: bool,
    },
    Least {
        who: usize,
    },
    /// A reservation, on the long way.
    Named {
        who: usize,
        cost: u64,
    },
    /// Has a thread find another one at a throttle.
    Meet {
        who: usize,
    },
    /// The last reservation is settled: at so many times its cost, if there is as much without what may be lent. (Else a
    /// settlement debits what others may spend already.)
    Settle(u64),
    Time(u64),
    /// State that is indistinguishable from fresh is given to others.
    Maintain,
    /// A thread ends, or goes to another engine.
    Leave,
    Change(usize),
}

fn operation() -> impl Strategy<Value = (usize, Operation)> {
    let cost = || prop_oneof![8 => Just(1u64), 2 => 1..40u64, 1 => 100..1_500u64];
    let who = || prop_oneof![8 => Just(0usize), 1 => Just(1usize)];
    let operation = prop_oneof![
        30 => (who(), cost()).prop_map(|(who, cost)| Operation::Check { who, cost }),
        4 => (who(), cost()).prop_map(|(who, cost)| Operation::Named { who, cost }),
        10 => who().prop_map(|who| Operation::Meet { who }),
        6 => (who(), 0..3u64, any::<bool>()).prop_map(|(who, more, named)| Operation::Most { who, more, named }),
        6 => who().prop_map(|who| Operation::Least { who }),
        3 => (0..3u64).prop_map(Operation::Settle),
        10 => prop_oneof![Just(1_000u64), 0..50_000u64, 0..1_000_000u64, 0..2_500_000u64, Just(4_000_000_000)]
            .prop_map(Operation::Time),
        2 => Just(Operation::Maintain),
        1 => Just(Operation::Leave),
        1 => (0..LIMITS.len()).prop_map(Operation::Change),
    ];
    (0..THREADS, operation)
}

/// Whose limits they are.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Whose {
    Anonymous,
    Registered,
    /// Under limits of their own and of a pool.
    Pooled,
}

const WHO: [&str; 2] = ["a subject", "another one"];

fn definition(whose: Whose, limit: usize) -> Changes {
    let throttle = |(rate, burst): (u64, u64)| Throttle::new(&format!("{rate}/s"), burst);
    let mut plan = Plan::new().throttle(throttle(LIMITS[limit]));
    if whose == Whose::Pooled {
        plan = plan.pool(Limits::new().throttle(throttle(LIMITS[(limit + 1) % LIMITS.len()])));
    }
    let mut changes = Changes::new().plan("p", plan);
    if whose == Whose::Registered {
        for who in WHO {
            let key = Key::new(who, SecretKey::new(who).unwrap());
            changes = changes.subject(who, Subject::new(["p"]).key(key));
        }
    }
    changes
}

/// A throttle without leases, of several owners.
struct Exact {
    timeline: Timeline,
    buckets: Vec<Bucket>,
    /// The largest burst that there ever was.
    most: u64,
}

impl Exact {
    fn new(limit: usize, owners: usize) -> Exact {
        let (rate, burst) = LIMITS[limit % LIMITS.len()];
        let timeline = Timeline::new(Rate::per_nanos(rate, 1_000_000_000).unwrap(), burst, 0);
        Exact { timeline, buckets: vec![Bucket::default(); owners], most: burst }
    }

    fn change(&mut self, limit: usize, at: u64) {
        let (rate, burst) = LIMITS[limit % LIMITS.len()];
        let rate = Rate::per_nanos(rate, 1_000_000_000).unwrap();
        if !self.timeline.is_like(rate, burst) {
            self.timeline = self.timeline.changed(rate, burst, at);
            self.most = self.most.max(burst);
        }
    }

    fn bucket(&self, owner: usize) -> Bucket {
        self.timeline.bring_forward(self.buckets[owner]).unwrap()
    }

    fn accepts(&self, owner: usize, now: u64, cost: u64) -> bool {
        self.timeline.wait(self.bucket(owner), now, cost) == Wait::NOW
    }

    /// Tokens that there are.
    fn rest(&self, owner: usize, now: u64) -> u64 {
        self.timeline.standing(self.bucket(owner), now).remaining
    }

    fn debit(&mut self, owner: usize, now: u64, cost: u64) {
        self.buckets[owner] = self.timeline.debit(self.bucket(owner), now, cost, 0);
    }

    fn settle(&mut self, owner: usize, now: u64, cost: u64, times: u64) {
        match times {
            0 => self.buckets[owner] = self.timeline.credit(self.bucket(owner), cost, (0, 0)),
            times => self.debit(owner, now, cost * (times - 1)),
        }
    }
}

struct Scene {
    engine: Engine,
    whose: Whose,
    threads: [Mine; THREADS],
    now: u64,
    own: Exact,
    pool: Option<Exact>,
    /// What was admitted under an id and not refunded: id, who and cost.
    named: Vec<(String, usize, u64)>,
    ids: u64,
    /// Checks that a lease covered.
    spent: usize,
}

impl Scene {
    fn new(whose: Whose, limit: usize) -> Scene {
        let capacity = Capacity::new().cells(1_000).lines(100);
        let engine =
            Engine::builder().changes(definition(whose, limit)).capacity(capacity).leases().build().unwrap();
        // No lease is taken before the world reaches to the present.
        engine.check_at(&Request::new("nobody"), Nanos::new(T0));
        let pool = (whose == Whose::Pooled).then(|| Exact::new(limit + 1, 1));
        let (threads, own) = ([const { Mine::new() }; THREADS], Exact::new(limit, 2));
        Scene { engine, whose, threads, now: T0, own, pool, named: Vec::new(), ids: 0, spent: 0 }
    }

    /// Puts a thread's leases in place for a step, and takes them out again.
    fn as_thread<R>(&self, thread: usize, step: impl FnOnce() -> R) -> R {
        let exchange = || {
            self.here(|_, here| {
                let (present, other) = (here.mine(), &self.threads[thread]);
                let pairs = present.leases.iter().zip(&other.leases);
                pairs.for_each(|(one, other)| {
                    let both = [(&one.hash, &other.hash), (&one.from, &other.from), (&one.life, &other.life)];
                    both.iter().for_each(|(one, other)| one.swap(other));
                    let both =
                        [(&one.size, &other.size), (&one.left, &other.left), (&one.units, &other.units)];
                    both.iter().for_each(|(one, other)| one.swap(other));
                    one.segment.swap(&other.segment);
                    one.restored.swap(&other.restored);
                });
                present.next_end.swap(&other.next_end);
            });
        };
        exchange();
        let result = step();
        exchange();
        result
    }

    fn here<R>(&self, step: impl FnOnce(&World, &Here) -> R) -> R {
        // The thread fetches the world, if it has not.
        assert!(self.engine.has_plan("p"));
        self.engine.world.with_seen(step).unwrap()
    }

    fn request(&self, who: usize) -> Request<'static> {
        match self.whose {
            Whose::Registered => Request::new(WHO[who]),
            _ => Request::anonymous_in(self.engine.plan_id("p").unwrap(), WHO[who]),
        }
    }

    fn decided(&mut self, who: usize, cost: u64, allowed: bool) {
        let (now, pool) = (self.now, self.pool.as_ref());
        if allowed {
            assert!(self.own.accepts(who, now, cost), "more than there is");
            assert!(pool.is_none_or(|pool| pool.accepts(0, now, cost)), "more than the pool has");
            self.own.debit(who, now, cost);
            self.pool.iter_mut().for_each(|pool| pool.debit(0, now, cost));
        } else {
            let enough = |limit: &Exact, owner| limit.rest(owner, now) >= cost.saturating_add(limit.most / 8);
            let much = enough(&self.own, who) && pool.is_none_or(|pool| enough(pool, 0));
            assert!(!much, "refused with more than an eighth left");
        }
    }

    /// What there is without leases.
    fn rest(&self, who: usize) -> u64 {
        let pool = self.pool.as_ref().map_or(u64::MAX, |pool| pool.rest(0, self.now));
        self.own.rest(who, self.now).min(pool)
    }

    /// What may be lent.
    fn eighth(&self) -> u64 {
        self.own.most.max(self.pool.as_ref().map_or(0, |pool| pool.most)) / 8
    }

    fn meet(&self, who: usize) {
        self.here(|world, here| {
            let plan = world.plan_named("p").unwrap();
            let kind = match self.whose {
                Whose::Registered => OwnerKind::Subject,
                _ => OwnerKind::Anonymous,
            };
            let own = (plan.own.quick.as_ref(), self.engine.owners.owner(kind, WHO[who].as_bytes()));
            let pool = (plan.pool.quick.as_ref(), plan.pool_owner);
            for (quick, owner) in [own, pool] {
                let Some(quick) = quick else { continue };
                let hash = self.engine.owners.hash(owner, quick.line);
                if quick.terms.is_some() {
                    self.engine.met_another(here.mine(), quick, hash, 1, self.now);
                }
            }
        });
    }

    fn run(&mut self, thread: usize, operation: Operation) {
        let now = Nanos::new(self.now);
        match operation {
            Operation::Check { who, cost } => {
                let request = self.request(who).cost(cost);
                let (decision, spent) = self.as_thread(thread, || {
                    let left =
                        || self.here(|_, here| here.mine().leases.iter().map(|l| l.left.get()).sum::<u64>());
                    let before = left();
                    let decision = self.engine.check_at(&request, now);
                    (decision, decision.is_allowed() && left() < before)
                });
                self.spent += usize::from(spent);
                self.decided(who, cost, decision.is_allowed());
            }
            Operation::Most { who, more, named } => {
                let cost = self.rest(who) + more;
                let check =
                    if named { Operation::Named { who, cost } } else { Operation::Check { who, cost } };
                self.run(thread, check);
            }
            Operation::Least { who } => {
                let cost = self.rest(who).saturating_sub(self.eighth());
                if cost > 0 {
                    self.run(thread, Operation::Check { who, cost });
                }
            }
            Operation::Named { who, cost } => {
                let request = self.request(who).cost(cost);
                self.ids += 1;
                let id = self.ids.to_string();
                let day = Nanos::new(86_400_000_000_000);
                let reserved = self.as_thread(thread, || self.engine.reserve_at(&request, &id, day, now));
                let allowed = reserved.unwrap().is_allowed();
                self.decided(who, cost, allowed);
                if allowed {
                    self.named.push((id, who, cost));
                }
            }
            Operation::Meet { who } => self.as_thread(thread, || self.meet(who)),
            Operation::Settle(times) => {
                let enough = |who, cost: u64| times < 2 || cost + self.eighth() <= self.rest(who);
                if self.named.last().is_some_and(|&(_, who, cost)| enough(who, cost)) {
                    let (id, who, cost) = self.named.pop().unwrap();
                    self.as_thread(thread, || self.engine.settle_at(&id, cost * times, now));
                    self.own.settle(who, self.now, cost, times);
                    self.pool.iter_mut().for_each(|pool| pool.settle(0, now.get(), cost, times));
                }
            }
            Operation::Time(nanos) => self.now += nanos,
            Operation::Maintain => {
                self.engine.maintain_at(1_000, now);
            }
            Operation::Leave => {
                self.threads[thread].give_up(self.engine.leases.as_deref().unwrap());
            }
            Operation::Change(limit) => {
                self.engine.apply_at(&definition(self.whose, limit), now).unwrap();
                self.own.change(limit, self.now);
                self.pool.iter_mut().for_each(|pool| pool.change(limit + 1, self.now));
                self.threads.iter().for_each(Mine::suspend);
            }
        }
    }
}

impl Scene {
    /// All leases end, which leaves nothing lent.
    fn end(&self) {
        let leases = self.engine.leases.as_deref().unwrap();
        for thread in &self.threads {
            thread.leases.iter().for_each(|lease| leases.give_back(&self.engine.store, lease));
        }
        for slot in &leases.slots {
            assert_eq!(slot.tokens.load(Ordering::Relaxed) & LENT, 0);
        }
    }
}

fn run(whose: Whose, limit: usize, operations: &[(usize, Operation)]) -> usize {
    let mut scene = Scene::new(whose, limit);
    operations.iter().for_each(|&(thread, operation)| scene.run(thread, operation));
    scene.end();
    scene.spent
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn never_more_than_without_and_at_most_an_eighth_less(
        whose in prop_oneof![Just(Whose::Anonymous), Just(Whose::Registered), Just(Whose::Pooled)],
        limit in 0..LIMITS.len(),
        operations in prop::collection::vec(operation(), 0..200),
    ) {
        run(whose, limit, &operations);
    }
}

#[test]
fn leases_are_spent() {
    for whose in [Whose::Anonymous, Whose::Registered, Whose::Pooled] {
        let check = |thread| (thread, Operation::Check { who: 0, cost: 1 });
        let mut operations = vec![check(0), (0, Operation::Meet { who: 0 }), (1, Operation::Meet { who: 0 })];
        operations.extend((0..100).map(|n| check(n % 2)));
        let spent = run(whose, 1, &operations);
        assert!(spent > 90, "{whose:?}: {spent}");
    }
}

#[test]
fn what_never_comes_back_is_part_of_the_eighth() {
    let mut operations = vec![(0, Operation::Check { who: 0, cost: 500 })];
    for _ in 0..100 {
        operations.extend([(0, Operation::Meet { who: 0 }), (0, Operation::Leave)]);
    }
    operations.push((1, Operation::Least { who: 0 }));
    run(Whose::Registered, 2, &operations);
}
