//! `tollgate plans diff`: what changes from one plan file to another, and what becomes of what was consumed.
//!
//! State belongs to subject or pool, plan, route pattern, limit name, kind and unit: a limit is compared with the one
//! of the same identity, and what has none begins fresh.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use tollgate::view::{
    ChangesView, ConcurrencyView, DigestView, KeyView, LimitsView, PlanView, QuotaView, SubjectView,
    ThrottleView,
};
use tollgate::{Rate, parse_duration};

use super::words;
use crate::plan_file;

const GONE: &str = "no longer applies; its state stays until it is as good as fresh, and is found again if the limit comes back";

pub(super) fn run(old: &Path, new: &Path) -> anyhow::Result<ExitCode> {
    let (old, new) = (plan_file::load(old)?, plan_file::load(new)?);
    let mut differences = Differences::default();
    differences.all(&old.view(), &new.view());
    let text =
        if differences.lines.is_empty() { "nothing differs\n".into() } else { differences.lines.concat() };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(error).context("standard output");
        }
        _ => {}
    }
    Ok(if differences.lines.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

#[derive(Default)]
struct Differences {
    lines: Vec<String>,
}

/// Those of `new` beside those of `old` with the same key, in the order of the keys.
fn pairs<'v, K: Ord, V>(
    old: &'v [V],
    new: &'v [V],
    key: impl Fn(&'v V) -> K,
) -> Vec<(Option<&'v V>, Option<&'v V>)> {
    let mut pairs: BTreeMap<K, (Option<&V>, Option<&V>)> = BTreeMap::new();
    for one in old {
        pairs.entry(key(one)).or_default().0 = Some(one);
    }
    for one in new {
        pairs.entry(key(one)).or_default().1 = Some(one);
    }
    pairs.into_values().collect()
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

impl Differences {
    fn add(&mut self, what: &str) {
        self.lines.push(format!("+ {what}\n"));
    }

    fn remove(&mut self, what: &str) {
        self.lines.push(format!("- {what}\n"));
    }

    fn change(&mut self, place: &str, what: &str, becomes: &str) {
        self.lines.push(format!("~ {place}: {what}\n    {becomes}\n"));
    }

    fn all(&mut self, old: &ChangesView<'_>, new: &ChangesView<'_>) {
        for pair in pairs(&old.plans, &new.plans, |plan| plan.name) {
            match pair {
                (Some(old), Some(new)) => self.plan(old, new),
                (None, Some(new)) => self
                    .add(&format!("plan {}\n    fresh: everybody on it begins with nothing used", new.name)),
                (Some(old), None) => self.remove(&format!(
                    "plan {}\n    nobody can be on it; its state is found again if it comes back",
                    old.name
                )),
                (None, None) => {}
            }
        }
        let owners = [old, new].map(owners);
        for pair in pairs(&old.subjects, &new.subjects, |subject| subject.name) {
            match pair {
                (Some(old), Some(new)) => self.subject(old, new, &owners),
                (None, Some(new)) => {
                    let (plans, keys) =
                        (new.plans.iter().map(String::as_str).collect::<Vec<_>>(), new.keys.iter().flatten());
                    let keys = words::count(keys.count() as u64, "key");
                    self.add(&format!(
                        "subject {} on {} with {keys}\n    fresh: it begins with nothing used",
                        new.name,
                        list(&plans)
                    ));
                }
                (Some(old), None) => {
                    self.remove(&format!("subject {}\n    its keys become unknown", old.name))
                }
                (None, None) => {}
            }
        }
    }

    fn plan(&mut self, old: &PlanView<'_>, new: &PlanView<'_>) {
        let place = format!("plan {}", old.name);
        let stages = |plan: &PlanView<'_>| {
            let mut stages = plan.stages.to_vec();
            stages.sort_unstable();
            if stages.is_empty() { "every stage".into() } else { stages.join(", ") }
        };
        if stages(old) != stages(new) {
            let becomes = "kept: what is used is summed over all stages of the plan, whichever they are";
            self.change(&place, &format!("stages {} -> {}", stages(old), stages(new)), becomes);
        }
        if old.observe != new.observe {
            let what = if new.observe { "enforced -> dry run" } else { "dry run -> enforced" };
            self.change(&place, what, "kept: a dry run counts the same");
        }
        self.limits(&place, &old.own, &new.own);
        for pair in pairs(&old.routes, &new.routes, |(pattern, _)| *pattern) {
            match pair {
                (Some((pattern, old)), Some((_, new))) => self.limits(&format!("{place}, route {pattern}"), old, new),
                (None, Some((pattern, _))) => self.add(&format!("{place}, route {pattern}\n    fresh; requests that fell under another pattern fall under this one where it wins")),
                (Some((pattern, _)), None) => self.remove(&format!("{place}, route {pattern}\n    {GONE}")),
                (None, None) => {}
            }
        }
        self.limits(&format!("{place}, pool"), &old.pool, &new.pool);
    }

    fn limits(&mut self, place: &str, old: &LimitsView<'_>, new: &LimitsView<'_>) {
        for pair in pairs(&old.throttles, &new.throttles, |limit| (limit.name, limit.unit)) {
            match pair {
                (Some(old), Some(new)) => self.throttle(&format!("{place}, {}", old.name), old, new),
                (None, Some(new)) => {
                    self.add(&format!("{place}, {}: {}\n    fresh: full", new.name, words::throttle(new)))
                }
                (Some(old), None) => self.remove(&format!("{place}, {}\n    {GONE}", old.name)),
                (None, None) => {}
            }
        }
        for pair in pairs(&old.quotas, &new.quotas, |limit| (limit.name, limit.unit)) {
            match pair {
                (Some(old), Some(new)) => self.quota(&format!("{place}, {}", old.name), old, new),
                (None, Some(new)) => self.add(&format!(
                    "{place}, {}: {}\n    fresh: nothing used",
                    new.name,
                    words::quota(new)
                )),
                (Some(old), None) => self.remove(&format!("{place}, {}\n    {GONE}", old.name)),
                (None, None) => {}
            }
        }
        match (&old.concurrency, &new.concurrency) {
            (Some(old), Some(new)) => self.concurrency(&format!("{place}, concurrency"), old, new),
            (None, Some(new)) => self.add(&format!(
                "{place}, concurrency: {}\n    fresh: no slot is taken",
                words::concurrency(new)
            )),
            (Some(_), None) => self.remove(&format!("{place}, concurrency\n    {GONE}")),
            (None, None) => {}
        }
    }

    fn throttle(&mut self, place: &str, old: &ThrottleView<'_>, new: &ThrottleView<'_>) {
        let rates = [old, new].map(|limit| limit.rate.parse::<Rate>().ok());
        if rates[0] != rates[1] {
            let becomes = "kept: the debt stays in tokens, refilled at the old rate until the change";
            self.change(place, &format!("rate {} -> {}", old.rate, new.rate), becomes);
        }
        if old.burst != new.burst {
            let becomes = if new.burst < old.burst {
                "kept: the debt stays, and what exceeds the new burst is forgiven"
            } else {
                "kept: the debt stays, and the room that is new is full"
            };
            self.change(place, &format!("burst {} -> {}", old.burst, new.burst), becomes);
        }
        let delays = [old, new].map(|limit| limit.delay.map(|delay| parse_duration(delay).ok()));
        if delays[0] != delays[1] {
            let [from, to] = [old, new].map(|limit| limit.delay.unwrap_or("none"));
            self.change(
                place,
                &format!("delay {from} -> {to}"),
                "kept: only who has to wait is decided otherwise",
            );
        }
    }

    fn quota(&mut self, place: &str, old: &QuotaView<'_>, new: &QuotaView<'_>) {
        if old.limit != new.limit {
            let by = i128::from(new.limit) - i128::from(old.limit);
            let becomes = format!(
                "shifted: what is used stays, and the allowance of the present window changes by {by:+}"
            );
            self.change(place, &format!("limit {} -> {}", old.limit, new.limit), &becomes);
        }
        let periods = [old, new].map(Period::of);
        if periods[0] != periods[1] {
            let becomes = if periods[1].is_calendar() {
                "shifted: what is used becomes what the usage log has for the days of the new window; without a log it stays until the new window ends"
            } else {
                "kept: what is used stays until the new window ends"
            };
            self.change(place, &format!("{} -> {}", periods[0].words(), periods[1].words()), becomes);
        }
        if old.initial_debit != new.initial_debit {
            let becomes = "kept: it holds for those who have not been debited yet";
            self.change(
                place,
                &format!("initial_debit {} -> {}", old.initial_debit, new.initial_debit),
                becomes,
            );
        }
        let alerts = [old, new].map(|limit| {
            let mut alerts = limit.alerts.to_vec();
            alerts.sort_unstable();
            alerts
        });
        if alerts[0] != alerts[1] {
            self.change(place, &format!("alerts {:?} -> {:?}", alerts[0], alerts[1]), "kept");
        }
    }

    fn concurrency(&mut self, place: &str, old: &ConcurrencyView<'_>, new: &ConcurrencyView<'_>) {
        if old.limit != new.limit {
            let becomes = "kept: slots that are taken stay taken";
            self.change(place, &format!("limit {} -> {}", old.limit, new.limit), becomes);
        }
        if parse_duration(old.lease) != parse_duration(new.lease) {
            self.change(
                place,
                &format!("lease {} -> {}", old.lease, new.lease),
                "kept: leases that run go on",
            );
        }
    }

    fn subject(&mut self, old: &SubjectView<'_>, new: &SubjectView<'_>, owners: &[Owners<'_>; 2]) {
        let place = format!("subject {}", old.name);
        for plan in new.plans.iter().filter(|plan| !old.plans.contains(plan)) {
            self.add(&format!("{place} on plan {plan}\n    fresh there, unless it was on it before"));
        }
        for plan in old.plans.iter().filter(|plan| !new.plans.contains(plan)) {
            self.remove(&format!(
                "{place} on plan {plan}\n    what it used there stays until it is as good as fresh"
            ));
        }
        let (Some(was), Some(is)) = (&old.keys, &new.keys) else {
            match (&old.keys, &new.keys) {
                (Some(_), None) => self.change(
                    &place,
                    "lists no keys any more",
                    "an engine that applies this keeps the keys that it has",
                ),
                (None, Some(keys)) => self.added_keys(&place, new.name, keys, owners),
                _ => {}
            }
            return;
        };
        self.added_keys(&place, new.name, is, owners);
        for key in was {
            let Some(digest) = &key.digest else { continue };
            match owners[1].get(digest) {
                Some((owner, now)) if *owner == new.name => self.key(&place, key, now),
                // Told where it goes.
                Some(_) => {}
                None => self.remove(&format!(
                    "{place}, key {}\n    it becomes unknown; what the subject used stays",
                    key.id
                )),
            }
        }
    }

    fn added_keys(&mut self, place: &str, subject: &str, keys: &[KeyView<'_>], owners: &[Owners<'_>; 2]) {
        for key in keys {
            match key.digest.as_ref().and_then(|digest| owners[0].get(digest)) {
                None => self.add(&format!("{place}, key {}\n    it shares what the subject used", key.id)),
                Some((owner, _)) if *owner != subject => {
                    let what = format!("key {} comes from subject {owner}", key.id);
                    self.change(
                        place,
                        &what,
                        &format!("what it used stays with {owner}; from now on it uses {subject}'s"),
                    );
                }
                Some(_) => {}
            }
        }
    }

    fn key(&mut self, place: &str, old: &KeyView<'_>, new: &KeyView<'_>) {
        let place = format!("{place}, key {}", old.id);
        if old.id != new.id {
            self.change(&place, &format!("id {} -> {}", old.id, new.id), "kept: usage is the subject's");
        }
        let [was, is] =
            [old, new].map(|key| if key.enabled.unwrap_or(true) { "enabled" } else { "disabled" });
        if was != is {
            self.change(&place, &format!("{was} -> {is}"), "kept: what the subject used stays as it is");
        }
        let expires = [old, new].map(|key| key.expires.map(|at| at.parse::<jiff::Timestamp>().ok()));
        if expires[0] != expires[1] {
            let [from, to] = [old, new].map(|key| key.expires.unwrap_or("never"));
            self.change(
                &place,
                &format!("expires {from} -> {to}"),
                "kept: what the subject used stays as it is",
            );
        }
    }
}

/// Subject and key, by digest.
type Owners<'v> = HashMap<&'v DigestView<'v>, (&'v str, &'v KeyView<'v>)>;

fn owners<'v>(view: &'v ChangesView<'v>) -> Owners<'v> {
    let keys =
        view.subjects.iter().flat_map(|subject| subject.keys.iter().flatten().map(|key| (subject.name, key)));
    keys.filter_map(|(subject, key)| Some((key.digest.as_ref()?, (subject, key)))).collect()
}

/// What a quota's windows follow; equal if they are the same windows.
#[derive(PartialEq, Eq)]
enum Period<'v> {
    Calendar {
        per: &'v str,
        start: u64,
        zone: &'v str,
    },
    /// In nanoseconds.
    Fixed(u64),
    Forever,
}

impl<'v> Period<'v> {
    fn of(quota: &QuotaView<'v>) -> Period<'v> {
        let length = match quota.per {
            per @ ("day" | "week" | "month") => {
                return Period::Calendar { per, start: quota.start, zone: quota.zone };
            }
            "forever" => return Period::Forever,
            "second" => "1s",
            "minute" => "1m",
            "hour" => "1h",
            length => length,
        };
        Period::Fixed(parse_duration(length).map_or(0, |length| length.get()))
    }

    fn is_calendar(&self) -> bool {
        matches!(self, Period::Calendar { .. })
    }

    fn words(&self) -> String {
        match self {
            Period::Calendar { per, start, zone } if *per == "day" => {
                format!("per {per} (start {start}, {zone})").replace("start 0, ", "")
            }
            Period::Calendar { per, start, zone } => format!("per {per} (start {start}, {zone})"),
            Period::Fixed(nanos) => format!("per {}", words::duration(*nanos)),
            Period::Forever => "never reset".into(),
        }
    }
}
