//! The decision.

use crate::book::{Debit, Entry, Part};
use crate::concurrency::Cap;
use crate::config::{self, KindSpec, LimitSpec, Plan, string};
use crate::cost::Cost;
use crate::quota::Quota;
use crate::text::Nanos;
use crate::throttle::Throttle;
use crate::{Kind, LimitId, Model, Owner, Place, StateId, route, text};
use num_bigint::BigInt;
use num_traits::Zero;
use serde_json::{Map, Value, json};

/// The fields of `check`, `peek` and `reserve`.
pub(crate) struct Request {
    key: String,
    stage: Option<String>,
    route: Option<(String, String)>,
    cost: Cost,
    pub id: Option<String>,
    /// Of a reservation.
    pub ttl: Option<u64>,
}

impl Request {
    pub(crate) fn parse(fields: &Map<String, Value>) -> Result<Self, String> {
        let optional = |name: &str| fields.get(name).map(|v| string(v, name)).transpose();
        let route = optional("route")?.map(route::request).transpose()?;
        Ok(Request {
            key: optional("key")?.unwrap_or_default().to_owned(),
            stage: optional("stage")?.map(str::to_owned),
            route: route.map(|(method, path)| (method.to_owned(), path.to_owned())),
            cost: Cost::parse(fields.get("cost"))?,
            id: optional("id")?.map(str::to_owned),
            ttl: fields.get("ttl").map(text::duration).transpose()?,
        })
    }
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// "nothing is debited".
    Peek,
    /// `check` and `reserve`.
    Debit,
}

/// All limits of a plan, each with its identity.
pub(crate) fn limits_of<'a>(name: &str, plan: &'a Plan) -> Vec<(LimitId, &'a LimitSpec)> {
    let mut all = placed(name, Place::Plan, &plan.limits);
    for (text, _, limits) in &plan.routes {
        all.extend(placed(name, Place::Route(text.clone()), limits));
    }
    all.extend(placed(name, Place::Pool, &plan.pool));
    all
}

/// The limits of a plan that apply to a request, "in the order plan, route, pool".
fn applying<'a>(name: &str, plan: &'a Plan, request: &Request) -> Vec<(LimitId, &'a LimitSpec)> {
    let mut all = placed(name, Place::Plan, &plan.limits);
    let winner = request.route.as_ref().and_then(|(method, path)| {
        let stage = request.stage.as_deref();
        let fits = plan
            .routes
            .iter()
            .filter_map(|(text, pattern, limits)| Some((pattern.fit(stage, method, path)?, text, limits)));
        fits.max_by_key(|(fit, _, _)| *fit)
    });
    if let Some((_, text, limits)) = winner {
        all.extend(placed(name, Place::Route(text.clone()), limits));
    }
    all.extend(placed(name, Place::Pool, &plan.pool));
    all
}

fn placed<'a>(plan: &str, place: Place, limits: &'a [LimitSpec]) -> Vec<(LimitId, &'a LimitSpec)> {
    let one = |spec: &'a LimitSpec| {
        let id = LimitId {
            plan: plan.to_owned(),
            place: place.clone(),
            name: spec.name.clone(),
            kind: match spec.kind {
                KindSpec::Throttle { .. } => Kind::Throttle,
                KindSpec::Quota(_) => Kind::Quota,
                KindSpec::Concurrency(_) => Kind::Concurrency,
            },
            unit: spec.unit.clone(),
        };
        (id, spec)
    };
    limits.iter().map(one).collect()
}

/// "`throttle` / `<quota name>` / `concurrency` for a plan's own; `route:<pattern>:<name>` and `pool:<name>`".
pub(crate) fn shown(id: &LimitId) -> String {
    match &id.place {
        Place::Plan => id.name.clone(),
        Place::Route(pattern) => format!("route:{pattern}:{}", id.name),
        Place::Pool => format!("pool:{}", id.name),
    }
}

pub(crate) fn nanos(n: impl Into<BigInt>) -> Value {
    let n: BigInt = n.into();
    u64::try_from(&n).map_or_else(|_| json!(n.to_string()), |n| json!(n))
}

/// A limit that applies, as configured.
struct Applied {
    id: LimitId,
    /// Whose state it is, and of which limit.
    state: StateId,
    /// Of a concurrency limit: the slots that the request takes.
    cost: u64,
    what: What,
}

enum What {
    Throttle(Throttle, Option<u64>),
    Quota(Quota),
    Concurrency(Cap),
}

/// How a limit judges a request.
enum Judgement {
    /// Accepts, after a wait.
    Accepts(BigInt),
    Violated {
        /// None: no wait helps.
        retry: Option<BigInt>,
        /// "could not hold the cost even when full", and is not 0 itself.
        too_big: bool,
    },
}

impl Model {
    pub(crate) fn decide(&mut self, now: Nanos, request: &Request, mode: Mode) -> Value {
        let (owner, plan) = match self.who(now, request) {
            Ok(found) => found,
            Err(verdict) => {
                return json!({
                    "verdict": verdict, "retry_after_ns": null, "delay_ns": 0,
                    "violated": [], "limits": [],
                });
            }
        };
        let observe = self.registry.plans[&plan].observe;
        let limits = self.applied(&owner, &plan, request);

        let mut delay = BigInt::zero();
        let mut violated = Vec::new();
        for limit in &limits {
            match self.judge(now, limit) {
                Judgement::Accepts(wait) => delay = delay.max(wait),
                Judgement::Violated { retry, too_big } => violated.push((limit, retry, too_big)),
            }
        }
        let admitted = violated.is_empty();
        // "The longest wait": none is the longest.
        let longest = |retry: &Option<BigInt>| (retry.is_none(), retry.clone());
        let retry = violated.iter().map(|(_, retry, _)| retry.clone()).max_by_key(longest);
        let verdict = match &retry {
            None if delay.is_zero() => "ok",
            None => "delayed",
            Some(_) if violated.iter().any(|(_, _, too_big)| *too_big) => "cost_exceeds_limit",
            Some(longest) => {
                // "tie: quota, throttle, concurrency"
                let ties = violated.iter().filter(|(_, retry, _)| retry == longest);
                let kinds: Vec<Kind> = ties.map(|(limit, _, _)| limit.id.kind).collect();
                if kinds.contains(&Kind::Quota) {
                    "quota_exceeded"
                } else if kinds.contains(&Kind::Throttle) {
                    "throttled"
                } else {
                    "concurrency_exceeded"
                }
            }
        };
        let names: Vec<String> = violated.iter().map(|(limit, _, _)| shown(&limit.id)).collect();
        if admitted && mode == Mode::Debit {
            self.admit(now, request, &limits);
        }
        if mode == Mode::Debit {
            violated.iter().for_each(|(limit, _, _)| self.refuse(now, limit));
        }
        let standing: Vec<Value> = limits.iter().map(|limit| self.standing(now, limit)).collect();
        let mut answer = json!({
            "verdict": if observe { "ok" } else { verdict },
            "retry_after_ns": retry.map_or(json!(0), |retry| retry.map_or(Value::Null, nanos)),
            "delay_ns": if admitted && !observe { nanos(delay) } else { json!(0) },
            "violated": names,
            "limits": standing,
        });
        if observe {
            answer["would_deny"] = json!(!admitted);
        }
        answer
    }

    /// Whose request it is and on which plan, or the verdict: "missing (absent or empty), unknown
    /// (also over 4096 bytes, unhashed), revoked, expired, disabled, no plan for the stage".
    fn who(&self, now: Nanos, request: &Request) -> Result<(Owner, String), &'static str> {
        if request.key.is_empty() {
            return Err("key_missing");
        }
        if request.key.len() > 4096 {
            return Err("key_unknown");
        }
        let stage = request.stage.as_deref();
        let covers = |plan: &String| self.registry.plans[plan].covers(stage);
        let digest = config::digest(&request.key);
        if let Some((name, subject, key)) = self.registry.key(&digest) {
            if let Some(verdict) = self.registry.key_state(key, now) {
                return Err(verdict);
            }
            let plan = subject.plans.iter().find(|plan| covers(plan));
            let plan = plan.ok_or("no_plan_for_stage")?;
            return Ok((Owner::Registered(name.to_owned()), plan.clone()));
        }
        let plan = self.default_plan.as_ref().ok_or("key_unknown")?;
        // "Revoked is final": the key does not come back as an anonymous subject.
        if self.registry.was_revoked(&digest, now) {
            return Err("key_revoked");
        }
        if !self.has_plan(plan) || !covers(plan) {
            return Err("no_plan_for_stage");
        }
        Ok((Owner::Anonymous(request.key.clone()), plan.clone()))
    }

    fn applied(&self, owner: &Owner, name: &str, request: &Request) -> Vec<Applied> {
        let plan = &self.registry.plans[name];
        let one = |(id, spec): (LimitId, &LimitSpec)| {
            let owner = if id.place == Place::Pool { &Owner::Pool } else { owner };
            let what = match &spec.kind {
                KindSpec::Throttle { delay, .. } => What::Throttle(self.throttles[&id].clone(), *delay),
                KindSpec::Quota(quota) => What::Quota(quota.clone()),
                KindSpec::Concurrency(cap) => What::Concurrency(*cap),
            };
            let cost = match &spec.kind {
                // "takes a slot if any of its costs is > 0"
                KindSpec::Concurrency(_) => request.cost.any().into(),
                _ => request.cost.of(&spec.unit),
            };
            Applied { state: (owner.clone(), id.clone()), id, cost, what }
        };
        applying(name, plan, request).into_iter().map(one).collect()
    }

    fn judge(&self, now: Nanos, limit: &Applied) -> Judgement {
        // "Cost 0 never debits and is never refused by a limit."
        if limit.cost == 0 {
            return Judgement::Accepts(BigInt::zero());
        }
        match &limit.what {
            What::Throttle(throttle, delay) => {
                let full_at = self.spent.buckets.get(&limit.state);
                let patience = BigInt::from(delay.unwrap_or(0));
                match throttle.wait(full_at, now, limit.cost) {
                    Some(wait) if wait <= patience => Judgement::Accepts(wait),
                    // "with retry `w - max`"
                    Some(wait) => Judgement::Violated { retry: Some(wait - patience), too_big: false },
                    None => Judgement::Violated {
                        retry: None,
                        // "for a limit or rate of 0 it stays `quota_exceeded` or `throttled`"
                        too_big: !throttle.never() && limit.cost > throttle.burst,
                    },
                }
            }
            What::Quota(quota) => {
                let state = self.spent.quotas.get(&limit.state);
                if quota.admits(state, now, limit.cost) {
                    return Judgement::Accepts(BigInt::zero());
                }
                Judgement::Violated {
                    retry: quota.wait(state, now, limit.cost).map(BigInt::from),
                    too_big: quota.limit > 0 && quota.exceeded_by(state, now, limit.cost),
                }
            }
            What::Concurrency(cap) => match cap.wait(self.spent.slots_of(&limit.state), now) {
                Some(0) => Judgement::Accepts(BigInt::zero()),
                wait => Judgement::Violated { retry: wait.map(BigInt::from), too_big: false },
            },
        }
    }

    /// "all are debited", and the request's id becomes known.
    fn admit(&mut self, now: Nanos, request: &Request, limits: &[Applied]) {
        let mut entry = Entry::new(self.lines, request.ttl.map(|ttl| now + Nanos::from(ttl)));
        for limit in limits {
            let (state, cost) = (limit.state.clone(), limit.cost);
            match &limit.what {
                What::Throttle(throttle, _) => {
                    if cost > 0 {
                        self.debit_throttle(now, &state, throttle, cost);
                    }
                    entry.parts.push(Part { state, cost, debit: None });
                }
                What::Quota(quota) => {
                    let debit = (cost > 0).then(|| self.debit_quota(now, &state, quota, cost));
                    entry.parts.push(Part { state, cost, debit });
                }
                What::Concurrency(cap) => {
                    if cost > 0 {
                        cap.take(self.spent.slots.entry(state.clone()).or_default(), now, self.lines);
                        entry.slots.push(state);
                    }
                }
            }
        }
        if let Some(id) = &request.id {
            self.spent.book.insert(id.clone(), entry);
        }
    }

    /// The quota of that identity, if its plan has it now.
    pub(crate) fn quota_in_place(&self, id: &LimitId) -> Option<Quota> {
        let plan = self.registry.plans.get(&id.plan)?;
        let (_, spec) = limits_of(&id.plan, plan).into_iter().find(|(known, _)| known == id)?;
        match &spec.kind {
            KindSpec::Quota(quota) => Some(quota.clone()),
            _ => None,
        }
    }

    pub(crate) fn debit_throttle(&mut self, now: Nanos, state: &StateId, throttle: &Throttle, cost: u64) {
        let full_at = throttle.debit(self.spent.buckets.get(state), now, cost);
        self.spent.buckets.insert(state.clone(), full_at);
    }

    pub(crate) fn debit_quota(&mut self, now: Nanos, state: &StateId, quota: &Quota, cost: u64) -> Debit {
        let mut debited = quota.debit(self.spent.quotas.get(state), now, cost);
        let start = debited.start;
        if Model::logged(state) {
            let date = quota.day(now.max(start));
            let log = self.spent.logs.entry(state.clone()).or_default();
            debited.row = log.debit(date, cost).then_some(date);
        }
        let row = debited.row;
        self.spent.quotas.insert(state.clone(), debited);
        self.note_remaining(state, quota);
        self.crossed(state, quota);
        Debit { window: Some(start), row }
    }

    /// "refusals", and "the first refusal (or `would_deny`) by that quota".
    fn refuse(&mut self, now: Nanos, limit: &Applied) {
        let What::Quota(quota) = &limit.what else {
            return;
        };
        if Model::logged(&limit.state) {
            let standing = quota.standing(self.spent.quotas.get(&limit.state), now);
            let date = quota.day(now.max(standing.window.start));
            self.spent.logs.entry(limit.state.clone()).or_default().refuse(date);
        }
        self.breached(now, &limit.state, quota);
    }

    /// "every limit that applies, as it stands after the decision"
    fn standing(&self, now: Nanos, limit: &Applied) -> Value {
        let name = shown(&limit.id);
        match &limit.what {
            What::Throttle(throttle, _) => {
                let full_at = self.spent.buckets.get(&limit.state);
                json!({
                    "name": name, "kind": "throttle", "limit": throttle.burst,
                    "remaining": nanos(throttle.remaining(full_at, now)),
                    "reset_ns": throttle.reset(full_at, now).map(nanos),
                })
            }
            What::Quota(quota) => {
                let state = self.spent.quotas.get(&limit.state);
                json!({
                    "name": name, "kind": "quota", "limit": quota.limit,
                    "remaining": nanos(quota.remaining(state, now)),
                    "reset_ns": quota.reset(state, now).map(nanos),
                })
            }
            What::Concurrency(cap) => json!({
                "name": name, "kind": "concurrency", "limit": cap.limit,
                "remaining": cap.remaining(self.spent.slots_of(&limit.state), now),
                "reset_ns": null,
            }),
        }
    }
}
