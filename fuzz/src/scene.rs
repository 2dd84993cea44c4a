//! Plans with something of everything, and what is asked of an engine that was made from any bytes.

use tollgate::{Changes, Cost, Date, Engine, Mode, Nanos, Plan, Quota, Request, Throttle};

/// The key's value is [`SECRET`](crate::SECRET).
pub(crate) const PLANS: &str = r#"
[plans.gold]
throttle = [
  { rate = "0.1/250ms", burst = 20, mode = { delay = "300ms" } },
  { name = "t", rate = "3/m", burst = 9, unit = "tokens" },
]
quotas = [
  { name = "daily", limit = 100, per = "day", alerts = [50, 80] },
  { name = "monthly", limit = 1000, per = "month", start = 14, zone = "Asia/Tokyo", initial_debit = 1 },
]
concurrency = { limit = 3 }
routes."GET /pets/*".quotas = [{ limit = 7, per = "15m" }]
pool.quotas = [{ limit = 1000, per = "forever" }]
pool.concurrency = { limit = 9, lease = "5s" }
[plans.free]
throttle = { rate = "1/7s", burst = 9 }
[subjects.acme]
plans = ["gold"]
keys = [
  { id = "acme-1", value = "hunter2-hunter2-hunter2" },
  { id = "acme-2", value = "another key", expires = "2027-06-01T00:00:00Z" },
]
"#;

/// Instants of all that happens in a scene are around it.
pub(crate) const T0: u64 = 1_700_000_000_000_000_000;
/// In nanoseconds.
pub(crate) const DAY: u64 = 86_400_000_000_000;

/// As a plan file says it.
pub(crate) fn changes() -> Changes {
    Changes::from_toml(PLANS).expect("a plan file")
}

/// The key of a registered subject.
pub(crate) fn acme() -> Request<'static> {
    Request::new(crate::SECRET).route("GET /pets/7")
}

/// One of a few visitors.
pub(crate) fn visitor(number: &u8) -> Request<'_> {
    Request::anonymous("free", std::slice::from_ref(number))
}

/// Some traffic on two days, with requests that are still open.
pub(crate) fn traffic(engine: &Engine) {
    for day in 0..2 {
        let now = Nanos::new(T0 + day * DAY);
        for n in 0..3u8 {
            let id = [day as u8, n];
            let _ = engine.check_as_at(&acme().cost(3), &id, now);
            let _ = engine.release(&id);
            engine.check_at(&visitor(&n), now);
            engine.check_at(&Request::anonymous("gold", &id), now);
        }
        engine.check_at(&acme().cost(101), now);
        let _ = engine.reserve_at(&acme().cost(2), &[day as u8], Nanos::new(DAY), now);
    }
    let _ = engine.grant_at("acme", "gold", "daily", 7, Nanos::new(T0 + DAY));
    let _ = engine.rotate_to_at(
        "acme-2",
        "acme-3",
        &tollgate::SecretKey::new("a rotated key").expect("a key"),
        Nanos::new(DAY),
        Nanos::new(T0),
    );
}

/// One of the things that can be asked of an engine, whatever it holds.
pub(crate) fn ask(engine: &Engine, what: u8, n: u8, now: Nanos) {
    match what % 14 {
        0 => drop(engine.check_at(&acme().cost(n.into()), now)),
        1 => drop(engine.check_at(&visitor(&n), now)),
        2 => drop(engine.check_at(&Request::anonymous("gold", &[n]), now)),
        3 => drop(engine.report_at(&acme(), now, Mode::Check)),
        4 => drop(engine.check_as_at(&acme(), &[7, n], now)),
        5 => drop(engine.reserve_at(&acme().cost(n.into()), &[n], Nanos::new(DAY), now)),
        6 => drop(engine.settle_at(&[n], Cost::Every(5), now)),
        7 => drop((engine.refund_at(&[0, n], now), engine.release(&[7, n]))),
        8 => {
            let date = |days: i32| Date::from_days((T0 / DAY) as i32 + days);
            let _ = engine.usage_at("acme", "gold", date(-3), date(50), now);
        }
        9 => drop(engine.grant_at("acme", "gold", "daily", n.into(), now)),
        10 => drop((engine.maintain_at(50, now), engine.alerts(), engine.cells())),
        11 => drop(match n % 4 {
            0 => engine.disable("acme-1"),
            1 => engine.enable("acme-1"),
            2 => engine.expire("acme-2"),
            _ => engine.revoke("acme-3"),
        }),
        12 => {
            let plan = Plan::new().throttle(Throttle::new("7/3s", 9)).quota(Quota::new(n.into(), "week"));
            let changes = if n.is_multiple_of(2) { changes() } else { Changes::new().plan("gold", plan) };
            let _ = engine.apply_at(&changes, now);
        }
        _ => drop(engine.check_all_at(&[acme(), visitor(&n)], now)),
    }
}

/// All of them, on several days.
pub(crate) fn ask_everything(engine: &Engine) {
    for now in [T0 + DAY, T0, T0 + 3 * DAY, T0 + 40 * DAY] {
        for what in 0..14 {
            (0..2).for_each(|n| ask(engine, what, n, Nanos::new(now)));
        }
    }
}
