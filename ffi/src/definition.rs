//! Plans and subjects as structs, as the library's definitions.

use std::path::Path;

use tollgate::{Changes, Concurrency, Key, Limits, Plan, Quota, SecretKey, Subject, Throttle};

use crate::guard::{array, named};
use crate::status::Failure;
use crate::text::{definition, id};
use crate::types::{
    TOLLGATE_CHANGES_COMPLETE, TOLLGATE_CONCURRENCY, TOLLGATE_KEY_AS_IT_IS, TOLLGATE_KEY_OFF,
    TOLLGATE_KEY_ON, TOLLGATE_PER_SUBJECT, TOLLGATE_PLAN_OBSERVE, TOLLGATE_POOL, TOLLGATE_QUOTA,
    TOLLGATE_THROTTLE, tollgate_changes, tollgate_key, tollgate_limit, tollgate_plan, tollgate_str,
    tollgate_subject,
};

/// Reads what the structs say. Whether it is right in itself is for the library to say, when it is put in place.
pub(crate) unsafe fn read(raw: &tollgate_changes) -> Result<Changes, Failure> {
    if raw.flags & !TOLLGATE_CHANGES_COMPLETE != 0 {
        let problem = format!("{:#x} has unknown bits: at most {TOLLGATE_CHANGES_COMPLETE:#x}", raw.flags);
        return Err(Failure::argument("changes.flags", &problem));
    }
    // SAFETY: the caller's promises, here and below.
    unsafe {
        let mut changes = text(raw)?;
        for (at, plan) in named(array(raw.plans, raw.n_plans), "changes.plans")?.iter().enumerate() {
            let place = format!("changes.plans[{at}]");
            changes = changes.plan(string(&plan.name, &place, "name")?, self::plan(plan, &place)?);
        }
        for (at, subject) in
            named(array(raw.subjects, raw.n_subjects), "changes.subjects")?.iter().enumerate()
        {
            let place = format!("changes.subjects[{at}]");
            changes =
                changes.subject(string(&subject.name, &place, "name")?, self::subject(subject, &place)?);
        }
        for name in strings(raw.removed_plans, raw.n_removed_plans, "changes", "removed_plans")? {
            changes = changes.remove_plan(name);
        }
        for name in strings(raw.removed_subjects, raw.n_removed_subjects, "changes", "removed_subjects")? {
            changes = changes.remove_subject(name);
        }
        Ok(if raw.flags & TOLLGATE_CHANGES_COMPLETE != 0 { changes.complete() } else { changes })
    }
}

unsafe fn text(raw: &tollgate_changes) -> Result<Changes, Failure> {
    let given = [&raw.path, &raw.toml, &raw.json].into_iter().filter(|text| text.len > 0).count();
    if given > 1 {
        return Err(Failure::argument("changes", "has more than one of path, toml and json"));
    }
    // SAFETY: the caller's promises.
    unsafe {
        if raw.path.len > 0 {
            return Ok(Changes::from_path(Path::new(named(raw.path.text(), "changes.path")?))?);
        }
        if raw.toml.len > 0 {
            return Ok(Changes::from_toml(named(definition(&raw.toml), "changes.toml")?)?);
        }
        if raw.json.len > 0 {
            return Ok(Changes::from_json(named(definition(&raw.json), "changes.json")?)?);
        }
    }
    Ok(Changes::new())
}

unsafe fn string<'a>(text: &tollgate_str, place: &str, field: &str) -> Result<&'a str, Failure> {
    // SAFETY: the caller's promise.
    unsafe { text.text() }.or_else(|status| named(Err(status), &format!("{place}.{field}")))
}

/// `None` for an empty text.
unsafe fn some<'a>(text: &tollgate_str, place: &str, field: &str) -> Result<Option<&'a str>, Failure> {
    // SAFETY: the caller's promise.
    unsafe { string(text, place, field) }.map(|text| (!text.is_empty()).then_some(text))
}

unsafe fn strings<'a>(
    start: *const tollgate_str,
    count: usize,
    place: &str,
    field: &str,
) -> Result<Vec<&'a str>, Failure> {
    // SAFETY: the caller's promise.
    let texts =
        unsafe { array(start, count) }.or_else(|status| named(Err(status), &format!("{place}.{field}")))?;
    // SAFETY: as above.
    texts.iter().map(|text| unsafe { string(text, place, field) }).collect()
}

fn reserved(place: &str, words: &[u64]) -> Result<(), Failure> {
    match words.iter().all(|&word| word == 0) {
        true => Ok(()),
        false => Err(Failure::argument(place, "reserved must be 0: zero the struct first")),
    }
}

unsafe fn plan(raw: &tollgate_plan, place: &str) -> Result<Plan, Failure> {
    reserved(place, &raw.reserved)?;
    if raw.flags & !TOLLGATE_PLAN_OBSERVE != 0 || raw.reserved0 != 0 {
        return Err(Failure::argument(place, "flags has unknown bits, or reserved0 is not 0"));
    }
    // SAFETY: the caller's promises.
    let (stages, limits) = unsafe {
        let limits = array(raw.limits, raw.n_limits);
        let limits = limits.or_else(|status| named(Err(status), &format!("{place}.limits")))?;
        (strings(raw.stages, raw.n_stages, place, "stages")?, limits)
    };
    let mut plan = Plan::new().stages(stages).observe(raw.flags & TOLLGATE_PLAN_OBSERVE != 0);
    let mut pool = Limits::new();
    // The library takes all limits of a route at once.
    let mut routes: Vec<(&str, Limits)> = Vec::new();
    for (at, raw) in limits.iter().enumerate() {
        let place = format!("{place}.limits[{at}]");
        // SAFETY: the caller's promises.
        let (limit, route) = unsafe { (limit(raw, &place)?, some(&raw.route, &place, "route")?) };
        match (raw.scope, route) {
            (TOLLGATE_PER_SUBJECT, None) => {
                plan = match limit {
                    Limit::Throttle(throttle) => plan.throttle(throttle),
                    Limit::Quota(quota) => plan.quota(quota),
                    Limit::Cap(cap) => plan.concurrency(cap),
                };
            }
            (TOLLGATE_PER_SUBJECT, Some(route)) => match routes.iter_mut().find(|(other, _)| *other == route)
            {
                Some((_, limits)) => *limits = limit.among(std::mem::take(limits)),
                None => routes.push((route, limit.among(Limits::new()))),
            },
            (TOLLGATE_POOL, None) => pool = limit.among(pool),
            (TOLLGATE_POOL, Some(_)) => return Err(Failure::argument(&place, "a pool has no routes")),
            (other, _) => {
                let problem = format!("scope {other} is neither TOLLGATE_PER_SUBJECT nor TOLLGATE_POOL");
                return Err(Failure::argument(&place, &problem));
            }
        }
    }
    for (route, limits) in routes {
        plan = plan.route(route, limits);
    }
    Ok(plan.pool(pool))
}

enum Limit {
    Throttle(Throttle),
    Quota(Quota),
    Cap(Concurrency),
}

impl Limit {
    fn among(self, limits: Limits) -> Limits {
        match self {
            Limit::Throttle(throttle) => limits.throttle(throttle),
            Limit::Quota(quota) => limits.quota(quota),
            Limit::Cap(cap) => limits.concurrency(cap),
        }
    }
}

/// A field that the limit's kind does not have would be left out in silence.
fn has_only_its_own(raw: &tollgate_limit, place: &str) -> Result<(), Failure> {
    let quotas = raw.period.len | raw.zone.len | raw.n_alerts | raw.alerts as usize;
    let of_others = [
        (TOLLGATE_THROTTLE, "rate", raw.rate.len > 0),
        (TOLLGATE_THROTTLE, "delay_ns", raw.delay_ns > 0),
        (TOLLGATE_QUOTA, "period, zone and alerts", quotas > 0),
        (TOLLGATE_QUOTA, "start", raw.start > 0),
        (TOLLGATE_QUOTA, "initial_debit", raw.initial_debit > 0),
        (TOLLGATE_CONCURRENCY, "lease_ns", raw.lease_ns > 0),
    ];
    match of_others.into_iter().find(|&(kind, _, given)| given && kind != raw.kind) {
        None => Ok(()),
        Some((kind, field, _)) => {
            let whose = match kind {
                TOLLGATE_THROTTLE => "TOLLGATE_THROTTLE",
                TOLLGATE_QUOTA => "TOLLGATE_QUOTA",
                _ => "TOLLGATE_CONCURRENCY",
            };
            Err(Failure::argument(place, &format!("only a limit of kind {whose} has {field}: leave it 0")))
        }
    }
}

unsafe fn limit(raw: &tollgate_limit, place: &str) -> Result<Limit, Failure> {
    reserved(place, &raw.reserved)?;
    // SAFETY: the caller's promises, here and below.
    let (name, unit) = unsafe { (some(&raw.name, place, "name")?, some(&raw.unit, place, "unit")?) };
    if matches!(raw.kind, TOLLGATE_THROTTLE | TOLLGATE_QUOTA | TOLLGATE_CONCURRENCY) {
        has_only_its_own(raw, place)?;
    }
    match raw.kind {
        TOLLGATE_THROTTLE => {
            // SAFETY: see above.
            let mut throttle = Throttle::new(unsafe { string(&raw.rate, place, "rate") }?, raw.amount);
            if raw.delay_ns > 0 {
                throttle = throttle.delay(&format!("{}ns", raw.delay_ns));
            }
            if let Some(name) = name {
                throttle = throttle.named(name);
            }
            Ok(Limit::Throttle(if let Some(unit) = unit { throttle.unit(unit) } else { throttle }))
        }
        TOLLGATE_QUOTA => {
            // SAFETY: see above.
            let (period, zone, alerts) = unsafe {
                let alerts = array(raw.alerts, raw.n_alerts);
                let alerts = alerts.or_else(|status| named(Err(status), &format!("{place}.alerts")))?;
                (string(&raw.period, place, "period")?, some(&raw.zone, place, "zone")?, alerts)
            };
            let mut quota =
                Quota::new(raw.amount, period).starting(raw.start).initial_debit(raw.initial_debit);
            if let Some(zone) = zone {
                quota = quota.zone(zone);
            }
            if !raw.alerts.is_null() {
                quota = quota.alerts(alerts.iter().copied());
            }
            if let Some(name) = name {
                quota = quota.named(name);
            }
            Ok(Limit::Quota(if let Some(unit) = unit { quota.unit(unit) } else { quota }))
        }
        TOLLGATE_CONCURRENCY => {
            if name.is_some() || unit.is_some() {
                return Err(Failure::argument(place, "a cap on requests in flight has no name and no unit"));
            }
            let cap = Concurrency::new(raw.amount);
            Ok(Limit::Cap(match raw.lease_ns {
                0 => cap,
                lease => cap.lease(&format!("{lease}ns")),
            }))
        }
        other => {
            let problem =
                format!("kind {other} is none of TOLLGATE_THROTTLE, TOLLGATE_QUOTA, TOLLGATE_CONCURRENCY");
            Err(Failure::argument(place, &problem))
        }
    }
}

unsafe fn subject(raw: &tollgate_subject, place: &str) -> Result<Subject, Failure> {
    reserved(place, &raw.reserved)?;
    // SAFETY: the caller's promises.
    let (plans, keys) = unsafe {
        let keys = array(raw.keys, raw.n_keys);
        let keys = keys.or_else(|status| named(Err(status), &format!("{place}.keys")))?;
        (strings(raw.plans, raw.n_plans, place, "plans")?, keys)
    };
    let mut subject = Subject::new(plans);
    for (at, raw) in keys.iter().enumerate() {
        // SAFETY: the caller's promises.
        subject = subject.key(unsafe { key(raw, &format!("{place}.keys[{at}]")) }?);
    }
    Ok(subject)
}

pub(crate) unsafe fn key(raw: &tollgate_key, place: &str) -> Result<Key, Failure> {
    reserved(place, &raw.reserved)?;
    // SAFETY: the caller's promises.
    let (name, value, sha256, hmac, expires) = unsafe {
        (
            string(&raw.id, place, "id")?,
            id(raw.value.data, raw.value.len)
                .or_else(|status| named(Err(status), &format!("{place}.value")))?,
            some(&raw.sha256, place, "sha256")?,
            some(&raw.hmac, place, "hmac")?,
            some(&raw.expires, place, "expires")?,
        )
    };
    let mut key = match (value, sha256, hmac) {
        (&[], Some(digest), None) => Key::sha256(name, digest),
        (&[], None, Some(digest)) => Key::hmac(name, digest),
        (value @ &[_, ..], None, None) => Key::new(name, SecretKey::new(value)?),
        _ => return Err(Failure::argument(place, "give exactly one of value, sha256 and hmac")),
    };
    key = match raw.state {
        TOLLGATE_KEY_AS_IT_IS => key,
        TOLLGATE_KEY_ON => key.enabled(true),
        TOLLGATE_KEY_OFF => key.enabled(false),
        other => return Err(Failure::argument(place, &format!("state {other} is no TOLLGATE_KEY_ value"))),
    };
    Ok(if let Some(at) = expires { key.expires(at) } else { key })
}
