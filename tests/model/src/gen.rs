//! Random scenarios: plan files and traces that mix everything the model covers, with names from
//! small pools so that they collide. A scenario is drawn as a `Seed` and then put together
//! with the model at hand, so that instants can fall on boundaries that its answers name.

mod assemble;
mod edits;
mod metering;
mod pools;
mod scope;

pub use scope::Scope;

use metering::Metering;
use pools::*;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::Union;
use serde_json::{Map, Value, json};

/// A plan file, options, and a trace.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The plan file in its JSON form.
    pub plans: Value,
    /// The `--plan` option.
    pub default_plan: Option<String>,
    /// The lines of the trace.
    pub trace: Vec<Value>,
}

/// Most lines that a trace has.
pub const MAX_LINES: usize = 120;

/// What a scenario is put together from.
#[derive(Clone, Debug)]
struct Seed {
    plans: Vec<Value>,
    subjects: Vec<Vec<usize>>,
    /// The subject of each key; past the last one: nobody.
    owners: Vec<usize>,
    flags: Vec<(Option<bool>, Option<i64>, bool)>,
    default_plan: Option<usize>,
    start: Start,
    steps: Vec<Step>,
}

/// Where the trace begins.
#[derive(Clone, Debug)]
enum Start {
    /// Nanoseconds since the epoch.
    At(u64),
    /// So many seconds after a change of a zone's offset in a year.
    Transition { zone: &'static str, year: i32, nth: usize, offset: i64, nanos: u32 },
}

/// How the clock moves before a line.
#[derive(Clone, Debug)]
enum Jump {
    Stay,
    /// By nanoseconds, either way.
    By(i64),
    /// To an instant that an earlier answer named (counted from the latest), and an offset.
    Boundary(usize, i64),
    /// To the next whole multiple of so many nanoseconds, and an offset.
    Round(u64, i64),
    /// To the trace's first instant, and an offset.
    First(i64),
}

#[derive(Clone, Debug)]
struct Step {
    jump: Jump,
    /// Whether `at` is written as text.
    text: bool,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Check {
        op: &'static str,
        times: usize,
        request: RequestSeed,
    },
    Metering(Metering),
    KeyOp(&'static str, usize),
    Apply(Vec<Edit>),
    /// A line that is an error.
    Bad(usize),
}

#[derive(Clone, Debug)]
struct RequestSeed {
    key: Option<String>,
    /// A key that a rotation made, counted from the latest.
    rotated: Option<usize>,
    stage: Option<&'static str>,
    route: Option<&'static str>,
    cost: Option<CostSeed>,
    id: Option<IdSeed>,
    /// Of a reservation.
    ttl: &'static str,
}

#[derive(Clone, Debug)]
enum IdSeed {
    /// That no line has used.
    New,
    /// That an earlier request had, counted from the latest.
    Again(usize),
}

#[derive(Clone, Debug)]
enum CostSeed {
    Every(Number),
    Named(Option<Number>, Option<Number>, bool),
}

#[derive(Clone, Debug)]
enum Number {
    Plain(u64),
    /// Next to a burst or limit of the plans as they are.
    Near(usize, i64),
}

/// One change of an `apply`.
#[derive(Clone, Debug)]
enum Edit {
    ReplacePlan(usize, Value),
    RemovePlan(usize),
    /// As in the plan file.
    RestorePlan(usize),
    Stages(usize, Value),
    Observe(usize, bool),
    Limits(usize, Place, LimitEdit),
    Subject(usize, Vec<usize>, Option<Vec<KeySeed>>),
    RemoveSubject(usize),
    RestoreSubject(usize),
}

#[derive(Clone, Debug)]
enum Place {
    Own,
    Pool,
    Route(usize),
}

#[derive(Clone, Debug)]
enum LimitEdit {
    Throttle(&'static str, Value),
    Quota(usize, &'static str, Value),
    Period(usize, Value),
    DropThrottle,
    RestoreThrottle,
    DropQuota(usize),
    RestoreQuotas,
    Concurrency(&'static str, Value),
    DropConcurrency,
    RestoreConcurrency,
    Clear,
}

#[derive(Clone, Debug)]
struct KeySeed {
    value: usize,
    id: usize,
    enabled: Option<bool>,
    /// Seconds from now.
    expires: Option<i64>,
    hashed: bool,
}

/// Random scenarios of decisions.
pub fn scenario() -> impl Strategy<Value = Scenario> {
    scenario_of(Scope::DECISIONS)
}

/// Random scenarios of the parts that are in scope.
pub fn scenario_of(scope: Scope) -> impl Strategy<Value = Scenario> {
    seed(scope).prop_map(move |seed| assemble::assemble(&seed, scope))
}

/// One of some strategies by weight; those of no weight are left out.
fn one_of<T: std::fmt::Debug + 'static>(options: Vec<(u32, BoxedStrategy<T>)>) -> BoxedStrategy<T> {
    Union::new_weighted(options.into_iter().filter(|(weight, _)| *weight > 0).collect()).boxed()
}

fn seed(scope: Scope) -> impl Strategy<Value = Seed> {
    let flag = (
        option::weighted(0.3, prop::bool::weighted(0.8)),
        option::weighted(0.15, offset_seconds()),
        any::<bool>(),
    );
    let owner = prop_oneof![8 => 0..SUBJECTS.len(), 1 => Just(SUBJECTS.len())];
    (
        prop::collection::vec(plan(scope), PLANS.len()),
        prop::collection::vec(plan_names(), SUBJECTS.len()),
        prop::collection::vec(owner, KEYS),
        prop::collection::vec(flag, KEYS),
        option::weighted(0.7, 0..PLANS.len()),
        start(),
        prop::collection::vec(step(scope), 1..80),
    )
        .prop_map(|(plans, subjects, owners, flags, default_plan, start, steps)| Seed {
            plans,
            subjects,
            owners,
            flags,
            default_plan,
            start,
            steps,
        })
}

fn plan_names() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        9 => (0..PLANS.len()).prop_map(|plan| vec![plan]),
        9 => subsequence(vec![0, 1, 2], 2..=3).prop_shuffle(),
        1 => Just(vec![]),
    ]
}

fn start() -> impl Strategy<Value = Start> {
    let nanos = prop_oneof![Just(0_u32), 0..1_000_000_000_u32, Just(999_999_999)];
    // 2015 to the end of 2034.
    let at = (1_420_070_400_u64..2_051_222_400, nanos.clone())
        .prop_map(|(s, ns)| Start::At(s * 1_000_000_000 + u64::from(ns)));
    let year = prop_oneof![20 => 2015..2035, 1 => 2009..2013];
    let near = (select(&ZONES[..]), year, 0..4_usize, -100_000..20_000_i64, nanos)
        .prop_map(|(zone, year, nth, offset, nanos)| Start::Transition { zone, year, nth, offset, nanos });
    prop_oneof![2 => at, 1 => near]
}

fn rate() -> impl Strategy<Value = &'static str> {
    select(&RATES[..])
}

fn burst() -> impl Strategy<Value = u64> {
    prop_oneof![3 => select(&BURSTS[..5]), 1 => select(&BURSTS[..])]
}

fn limit() -> impl Strategy<Value = u64> {
    prop_oneof![4 => select(&LIMITS[1..7]), 1 => select(&LIMITS[..])]
}

fn mode() -> impl Strategy<Value = Value> {
    select(&DELAYS[..]).prop_map(|delay| json!({ "delay": delay }))
}

/// Sets the fields that are given.
fn table(fields: Vec<(&str, Option<Value>)>) -> Value {
    let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect::<Map<_, _>>())
}

fn throttle(name: Option<&'static str>) -> impl Strategy<Value = Value> {
    let unit = option::weighted(0.2, select(&UNITS[..]));
    (rate(), burst(), option::weighted(0.4, mode()), unit).prop_map(move |(rate, burst, mode, unit)| {
        table(vec![
            ("name", name.map(Value::from)),
            ("rate", Some(json!(rate))),
            ("burst", Some(json!(burst))),
            ("mode", mode),
            ("unit", unit.map(Value::from)),
        ])
    })
}

fn throttles() -> impl Strategy<Value = Value> {
    let some = subsequence(vec![None, Some("a"), Some("b")], 0..=3);
    let list =
        some.prop_flat_map(|names| names.into_iter().map(|name| throttle(name).boxed()).collect::<Vec<_>>());
    prop_oneof![3 => throttle(None), 1 => list.prop_map(Value::from)]
}

/// `per`, `start` and `zone` of a quota.
fn period(scope: Scope) -> impl Strategy<Value = Value> {
    let zone = || option::weighted(0.8, select(&ZONES[..]).prop_map(Value::from));
    let calendar = |per: &'static str, starts: u32| {
        let start = option::weighted(0.7, (0..starts).prop_map(Value::from));
        (start, zone()).prop_map(move |(start, zone)| {
            let start = start.filter(|_| starts > 1);
            table(vec![("per", Some(json!(per))), ("start", start), ("zone", zone)])
        })
    };
    // It is that of the usage log's days.
    let fixed_zone =
        if scope.usage { option::weighted(0.4, select(&ZONES[..])).boxed() } else { Just(None).boxed() };
    let fixed_zone = fixed_zone.prop_map(|zone| zone.map(Value::from));
    prop_oneof![
        3 => (select(&FIXED[..]), fixed_zone).prop_map(|(per, zone)| {
            table(vec![("per", Some(json!(per))), ("zone", zone)])
        }),
        2 => calendar("day", 1),
        1 => calendar("week", 7),
        1 => calendar("month", 28),
    ]
}

fn quota(scope: Scope, name: Option<&'static str>) -> impl Strategy<Value = Value> {
    let initial_debit = option::weighted(0.25, prop_oneof![0..4_u64, limit()]);
    let unit = option::weighted(0.2, select(&UNITS[..]));
    let alerts = option::weighted(if scope.alerts { 0.4 } else { 0.1 }, alerts());
    (limit(), period(scope), initial_debit, unit, alerts).prop_map(
        move |(limit, period, initial_debit, unit, alerts)| {
            let mut quota = table(vec![
                ("name", name.map(Value::from)),
                ("limit", Some(json!(limit))),
                ("initial_debit", initial_debit.map(|debit| json!(debit.min(limit)))),
                ("unit", unit.map(Value::from)),
                ("alerts", alerts),
            ]);
            merge(&mut quota, &period);
            quota
        },
    )
}

fn alerts() -> impl Strategy<Value = Value> {
    let some =
        select(vec![vec![80, 100], vec![50], vec![100, 1, 34, 67], vec![], vec![100], vec![20, 40, 60, 90]]);
    some.prop_map(|percent| json!(percent))
}

/// Takes over the fields of `from`.
fn merge(into: &mut Value, from: &Value) {
    for (field, value) in from.as_object().expect("a table") {
        into[field.as_str()] = value.clone();
    }
}

fn lease() -> impl Strategy<Value = &'static str> {
    select(&LEASES[..])
}

fn slots() -> impl Strategy<Value = u64> {
    select(&SLOTS[..])
}

/// The limits of a plan, a route or a pool.
fn limits(scope: Scope) -> impl Strategy<Value = Value> {
    let names = subsequence(vec![Some("daily"), Some("q"), None], 0..=2).prop_shuffle();
    let quotas = names.prop_flat_map(move |names| {
        names.into_iter().map(|name| quota(scope, name).boxed()).collect::<Vec<_>>()
    });
    let quotas = quotas.prop_map(Value::from);
    let concurrency = (slots(), option::weighted(0.8, lease())).prop_map(|(limit, lease)| {
        table(vec![("limit", Some(json!(limit))), ("lease", lease.map(Value::from))])
    });
    let concurrency =
        if scope.concurrency { option::weighted(0.4, concurrency).boxed() } else { Just(None).boxed() };
    (option::weighted(0.75, throttles()), option::weighted(0.6, quotas), concurrency).prop_map(
        |(throttle, quotas, concurrency)| {
            table(vec![("throttle", throttle), ("quotas", quotas), ("concurrency", concurrency)])
        },
    )
}

fn stages() -> impl Strategy<Value = Value> {
    let set = select(vec![&STAGES[..], &STAGES[..1], &STAGES[..1], &STAGES[..2], &STAGES[1..], &STAGES[2..]]);
    set.prop_map(|stages| json!(stages))
}

fn plan(scope: Scope) -> impl Strategy<Value = Value> {
    let routes = prop_oneof![
        2 => Just(vec![]),
        1 => subsequence(PATTERNS.to_vec(), 1..=4),
    ]
    .prop_flat_map(move |patterns| {
        patterns.into_iter().map(|p| limits(scope).prop_map(move |l| (p, l)).boxed()).collect::<Vec<_>>()
    });
    (
        option::weighted(0.35, stages()),
        limits(scope),
        routes,
        option::weighted(0.35, limits(scope)),
        option::weighted(0.2, any::<bool>()),
    )
        .prop_map(|(stages, mut plan, routes, pool, observe)| {
            if !routes.is_empty() {
                let routes = routes.into_iter().map(|(p, l)| (p.to_owned(), l));
                plan["routes"] = Value::Object(routes.collect());
            }
            let rest = vec![("stages", stages), ("pool", pool), ("observe", observe.map(Value::from))];
            merge(&mut plan, &table(rest));
            plan
        })
}

fn offset_seconds() -> impl Strategy<Value = i64> {
    prop_oneof![-10..100_i64, 0..100_000_i64, 0..50_000_000_i64]
}

fn jump() -> impl Strategy<Value = Jump> {
    const SECOND: i64 = 1_000_000_000;
    let span = |range: std::ops::Range<i64>| range.prop_map(Jump::By);
    let unit = select(vec![1_000_000_000_u64, 60_000_000_000, 3_600_000_000_000, 86_400_000_000_000]);
    prop_oneof![
        12 => Just(Jump::Stay),
        2 => span(1..5),
        6 => span(1..SECOND),
        6 => (1..20_i64).prop_map(|n| Jump::By(n * SECOND)),
        5 => span(SECOND..3600 * SECOND),
        3 => span(3600 * SECOND..86_400 * SECOND),
        2 => span(86_400 * SECOND..10 * 86_400 * SECOND),
        1 => span(10 * 86_400 * SECOND..100 * 86_400 * SECOND),
        2 => span(-SECOND..0),
        1 => span(-3600 * SECOND..0),
        1 => span(-3 * 86_400 * SECOND..0),
        18 => (0..12_usize, -1..=1_i64).prop_map(|(back, off)| Jump::Boundary(back, off)),
        3 => (0..60_usize, -2..=2_i64).prop_map(|(back, off)| Jump::Boundary(back, off)),
        5 => (unit, -1..=1_i64).prop_map(|(unit, off)| Jump::Round(unit, off)),
        1 => span(-SECOND..SECOND).prop_map(|by| match by { Jump::By(ns) => Jump::First(ns), other => other }),
    ]
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        4 => select(vec![0, 1, 1, 2, 2, 3, 5, 10]).prop_map(Number::Plain),
        2 => (any::<prop::sample::Index>(), -1..=1_i64).prop_map(|(i, d)| Number::Near(i.index(64), d)),
    ]
}

fn cost() -> impl Strategy<Value = CostSeed> {
    prop_oneof![
        3 => number().prop_map(CostSeed::Every),
        1 => (option::of(number()), option::of(number()), any::<bool>())
            .prop_map(|(requests, tokens, other)| CostSeed::Named(requests, tokens, other)),
    ]
}

fn request(scope: Scope) -> impl Strategy<Value = RequestSeed> {
    let key = prop_oneof![
        40 => prop_oneof![6 => 0..1_usize, 3 => 1..3_usize, 1 => 0..KEYS]
            .prop_map(|key| Some(format!("k{key}"))),
        8 => select(vec!["anon", "anon", "acme"]).prop_map(|key| Some(key.to_owned())),
        1 => Just(Some(String::new())),
        1 => Just(None),
        1 => (4096..=4097_usize).prop_map(|length| Some("x".repeat(length))),
    ];
    let again = if scope.ids() { 1 } else { 0 };
    let id =
        one_of(vec![(30, Just(IdSeed::New).boxed()), (again, (0..6_usize).prop_map(IdSeed::Again).boxed())]);
    let (ids, costs) = if scope.ids() { (0.6, 0.6) } else { (0.05, 0.4) };
    let rotated = if scope.rotation { 3 } else { 0 };
    let rotated = one_of(vec![
        (10, Just(None).boxed()),
        (rotated, prop_oneof![2 => Just(0_usize), 1 => 0..4_usize].prop_map(Some).boxed()),
    ]);
    (
        (key, rotated),
        option::weighted(0.9, prop_oneof![5 => Just(STAGES[0]), 1 => select(&STAGES[..])]),
        option::weighted(0.6, select(&ROUTES[..])),
        option::weighted(costs, cost()),
        option::weighted(ids, id),
        select(&TTLS[..]),
    )
        .prop_map(|((key, rotated), stage, route, cost, id, ttl)| RequestSeed {
            key,
            rotated,
            stage,
            route,
            cost,
            id,
            ttl,
        })
}

fn key_seed() -> impl Strategy<Value = KeySeed> {
    let other = option::weighted(0.15, 0..KEYS);
    let expires = option::weighted(0.25, offset_seconds());
    (0..KEYS, other, option::weighted(0.3, prop::bool::weighted(0.7)), expires, any::<bool>()).prop_map(
        |(value, other, enabled, expires, hashed)| KeySeed {
            value,
            id: other.unwrap_or(value),
            enabled,
            expires,
            hashed,
        },
    )
}

fn limit_edit(scope: Scope) -> impl Strategy<Value = LimitEdit> {
    let concurrency = prop_oneof![
        4 => slots().prop_map(|n| LimitEdit::Concurrency("limit", json!(n))),
        1 => lease().prop_map(|lease| LimitEdit::Concurrency("lease", json!(lease))),
        1 => Just(LimitEdit::DropConcurrency),
        2 => Just(LimitEdit::RestoreConcurrency),
    ];
    let others = prop_oneof![
        6 => rate().prop_map(|rate| LimitEdit::Throttle("rate", json!(rate))),
        3 => burst().prop_map(|burst| LimitEdit::Throttle("burst", json!(burst))),
        1 => option::of(mode()).prop_map(|mode| LimitEdit::Throttle("mode", mode.into())),
        1 => option::of(select(&UNITS[..])).prop_map(|unit| LimitEdit::Throttle("unit", unit.into())),
        3 => (0..2_usize, limit()).prop_map(|(i, n)| LimitEdit::Quota(i, "limit", json!(n))),
        1 => (0..2_usize, 0..6_u64).prop_map(|(i, n)| LimitEdit::Quota(i, "initial_debit", json!(n))),
        1 => (0..2_usize, alerts()).prop_map(|(i, percent)| LimitEdit::Quota(i, "alerts", percent)),
        4 => (0..2_usize, period(scope)).prop_map(|(i, period)| LimitEdit::Period(i, period)),
        1 => Just(LimitEdit::DropThrottle),
        2 => Just(LimitEdit::RestoreThrottle),
        1 => (0..2_usize).prop_map(LimitEdit::DropQuota),
        2 => Just(LimitEdit::RestoreQuotas),
        1 => Just(LimitEdit::Clear),
    ];
    one_of(vec![(28, others.boxed()), (if scope.concurrency { 6 } else { 0 }, concurrency.boxed())])
}

fn edit(scope: Scope) -> impl Strategy<Value = Edit> {
    let plans = || 0..PLANS.len();
    let subjects = || 0..SUBJECTS.len();
    let place = prop_oneof![
        4 => Just(Place::Own),
        1 => Just(Place::Pool),
        2 => (0..4_usize).prop_map(Place::Route),
    ];
    let keys = option::weighted(0.3, prop::collection::vec(key_seed(), 0..4));
    prop_oneof![
        20 => (plans(), place, limit_edit(scope)).prop_map(|(p, place, e)| Edit::Limits(p, place, e)),
        2 => (plans(), plan(scope)).prop_map(|(p, plan)| Edit::ReplacePlan(p, plan)),
        1 => plans().prop_map(Edit::RemovePlan),
        4 => plans().prop_map(Edit::RestorePlan),
        2 => (plans(), option::of(stages())).prop_map(|(p, s)| Edit::Stages(p, s.into())),
        1 => (plans(), any::<bool>()).prop_map(|(p, on)| Edit::Observe(p, on)),
        6 => (subjects(), plan_names(), keys).prop_map(|(s, plans, keys)| Edit::Subject(s, plans, keys)),
        1 => subjects().prop_map(Edit::RemoveSubject),
        3 => subjects().prop_map(Edit::RestoreSubject),
    ]
}

fn step(scope: Scope) -> impl Strategy<Value = Step> {
    let times = prop_oneof![2 => Just(1_usize), 1 => 2..6_usize];
    let op = one_of(vec![
        (6, Just("check").boxed()),
        (1, Just("peek").boxed()),
        (if scope.reservations { 5 } else { 0 }, Just("reserve").boxed()),
    ]);
    let check =
        (op, times, request(scope)).prop_map(|(op, times, request)| What::Check { op, times, request });
    let op = prop_oneof![
        8 => Just("enable"),
        3 => Just("disable"),
        2 => Just("expire"),
        1 => Just("revoke"),
    ];
    let apply = prop::collection::vec(edit(scope), 1..3).prop_map(What::Apply);
    let (metering, strategy) = metering::metering(scope);
    let what = one_of(vec![
        (40, check.boxed()),
        (
            3,
            (op, 0..=if scope.rotation { KEYS + 3 } else { KEYS })
                .prop_map(|(op, id)| What::KeyOp(op, id))
                .boxed(),
        ),
        (8, apply.boxed()),
        (1, (0..10_usize).prop_map(What::Bad).boxed()),
        (metering, strategy.prop_map(What::Metering).boxed()),
    ]);
    (jump(), prop::bool::weighted(0.1), what).prop_map(|(jump, text, what)| Step { jump, text, what })
}
