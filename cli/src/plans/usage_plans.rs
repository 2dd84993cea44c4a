//! `tollgate plans import`: API Gateway's usage plans into a plan file.
//!
//! (Source: `GetUsagePlans` in the Amazon API Gateway API reference.)

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate::{ApplyError, Changes, Limits, Plan};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

use crate::args::{Offset, PlansImportArgs};
use crate::plan_file;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsagePlan {
    id: Option<String>,
    name: Option<String>,
    description: Option<String>,
    api_stages: Option<Vec<ApiStage>>,
    throttle: Option<MethodThrottle>,
    quota: Option<UsageQuota>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiStage {
    api_id: String,
    stage: String,
    /// By `/path/METHOD`.
    throttle: Option<BTreeMap<String, MethodThrottle>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MethodThrottle {
    /// As written: no binary float is exact.
    rate_limit: Option<Box<RawValue>>,
    burst_limit: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct UsageQuota {
    limit: Option<u64>,
    offset: Option<u64>,
    period: Option<String>,
}

/// What `get-usage-plans` prints.
#[derive(Deserialize)]
struct UsagePlans {
    items: Option<Vec<UsagePlan>>,
    /// There is more on another page.
    #[serde(rename = "NextToken")]
    next: Option<Box<RawValue>>,
}

/// Reads what `get-usage-plans` prints, or a list of plans, or a single one.
fn read(path: &Path) -> anyhow::Result<UsagePlans> {
    let text = plan_file::read_text(path)?;
    let of_path = || path.display().to_string();
    if text.trim_start().starts_with('[') {
        let items = serde_json::from_str(&text).with_context(of_path)?;
        return Ok(UsagePlans { items: Some(items), next: None });
    }
    let mut plans: UsagePlans = serde_json::from_str(&text).with_context(of_path)?;
    if plans.items.is_none() {
        let plan: UsagePlan = serde_json::from_str(&text).with_context(of_path)?;
        if plan.id.is_none() && plan.name.is_none() {
            bail!("{}: no `items`: give what `aws apigateway get-usage-plans` prints", path.display());
        }
        plans.items = Some(vec![plan]);
    }
    Ok(plans)
}

/// The names that the plans get, by their ids.
pub(crate) fn names_by_id(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let plans = read(path)?.items.unwrap_or_default();
    let names = names(&plans);
    let ids = plans.into_iter().map(|plan| plan.id);
    Ok(ids.zip(names).filter_map(|(id, name)| Some((id?, name))).collect())
}

/// A name for each: its own, its id if another before it has that, or a number with it.
fn names(plans: &[UsagePlan]) -> Vec<String> {
    let is_name =
        |name: &&String| !name.is_empty() && name.len() <= 128 && !name.chars().any(char::is_control);
    let mut taken = HashSet::new();
    let mut names = Vec::with_capacity(plans.len());
    for plan in plans {
        let own = [&plan.name, &plan.id].into_iter().flatten().filter(is_name).cloned();
        let numbered = (2u64..).map(|number| format!("plan-{number}"));
        let name = own.chain(numbered).find(|name| !taken.contains(name)).unwrap_or_default();
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

pub(super) fn run(args: &PlansImportArgs) -> anyhow::Result<ExitCode> {
    let UsagePlans { items, next } = read(&args.usage_plans)?;
    let plans = items.unwrap_or_default();
    let mut import = Import { offset: args.offset, subject: String::new(), warnings: Vec::new() };
    if next.is_some_and(|next| next.get() != "null") {
        import.warn("NextToken: the list goes on on another page, which is not here");
    }
    let mut all = header_less();
    let names = names(&plans);
    for (plan, name) in plans.iter().zip(&names) {
        import.subject = format!("plan {name:?}: ");
        if plan.name.as_ref().is_some_and(|own| own != name) {
            import.warn("name: another plan has it, or it is not one here: called by its id instead");
        }
        let table = import.plan(plan);
        match plan_file::parse(Path::new("plan.toml"), &document(name, &table))
            .map(|plan| plan_file::check(&plan))
        {
            Ok(Ok(())) => {
                all.insert(name, Item::Table(table));
            }
            Ok(Err(error)) => import.warn(&format!("left out: {error}")),
            Err(error) => import.warn(&format!("left out: {error:#}")),
        }
    }
    for warning in &import.warnings {
        eprintln!("tollgate: {}: {warning}", args.usage_plans.display());
    }
    if args.fail_on_warnings && !import.warnings.is_empty() {
        eprintln!("tollgate: {}: nothing was imported", args.usage_plans.display());
        return Ok(ExitCode::from(1));
    }
    let count = all.len();
    let mut document = DocumentMut::new();
    document.insert("plans", Item::Table(all));
    match &args.out {
        Some(path) if plan_file::is_json(path) => {
            let text = serde_json::to_string_pretty(&json(document.as_item()))? + "\n";
            plan_file::create(path, &text)?;
        }
        Some(path) => plan_file::create(path, document.to_string().trim_start())?,
        None => {
            let text = document.to_string();
            io::stdout().lock().write_all(text.trim_start().as_bytes()).context("standard output")?;
        }
    }
    if let Some(path) = &args.out {
        println!("{}: {}", super::words::count(count as u64, "plan"), path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn header_less() -> Table {
    let mut table = Table::new();
    table.set_implicit(true);
    table
}

/// A plan file of one plan.
fn document(name: &str, plan: &Table) -> String {
    let mut plans = header_less();
    plans.insert(name, Item::Table(plan.clone()));
    let mut document = DocumentMut::new();
    document.insert("plans", Item::Table(plans));
    document.to_string()
}

fn json(item: &Item) -> serde_json::Value {
    if let Some(table) = item.as_table_like() {
        return table.iter().map(|(name, item)| (name.to_owned(), json(item))).collect();
    }
    match item.as_value() {
        Some(Value::String(text)) => text.value().as_str().into(),
        Some(Value::Integer(number)) => (*number.value()).into(),
        Some(Value::Array(list)) => list.iter().map(|value| json(&Item::Value(value.clone()))).collect(),
        // Nothing else is written here.
        _ => serde_json::Value::Null,
    }
}

struct Import {
    offset: Offset,
    /// What warnings are about.
    subject: String,
    warnings: Vec<String>,
}

impl Import {
    fn warn(&mut self, problem: &str) {
        self.warnings.push(format!("{}{problem}", self.subject));
    }

    fn plan(&mut self, plan: &UsagePlan) -> Table {
        let mut table = Table::new();
        let about: Vec<&str> =
            [&plan.id, &plan.description].into_iter().flatten().map(String::as_str).collect();
        let about = about.join(": ");
        let comment: String =
            about.lines().map(|line| format!("# {}\n", line.replace(char::is_control, " "))).collect();
        table.decor_mut().set_prefix(format!("\n{comment}"));

        let stages = plan.api_stages.as_deref().unwrap_or_default();
        if stages.is_empty() {
            self.warn("no apiStages: in a plan file it covers every stage");
        } else {
            let stages: Array =
                stages.iter().map(|stage| format!("{}/{}", stage.api_id, stage.stage)).collect();
            table.insert("stages", Item::Value(stages.into()));
        }
        if let Some(throttle) =
            plan.throttle.as_ref().and_then(|throttle| self.throttle("throttle", throttle))
        {
            table.insert("throttle", Item::Value(throttle.into()));
        }
        if let Some(quota) = plan.quota.as_ref().and_then(|quota| self.quota(quota)) {
            table.insert("quotas", Item::Value([quota].into_iter().collect::<Array>().into()));
        }
        let mut routes = header_less();
        for stage in stages {
            let name = format!("{}/{}", stage.api_id, stage.stage);
            for (method, throttle) in stage.throttle.iter().flatten() {
                let field = format!("apiStages {name} throttle {method:?}");
                let Some(pattern) = self.pattern(&field, &name, method) else { continue };
                let Some(throttle) = self.throttle(&field, throttle) else { continue };
                if routes.contains_key(&pattern) {
                    self.warn(&format!("{field}: the route {pattern:?} has a throttle already: left out"));
                    continue;
                }
                let mut route = Table::new();
                route.insert("throttle", Item::Value(throttle.into()));
                routes.insert(&pattern, Item::Table(route));
            }
        }
        if !routes.is_empty() {
            table.insert("routes", Item::Table(routes));
        }
        table
    }

    /// `/pets/{id}/GET` in a stage, as a route pattern.
    fn pattern(&mut self, field: &str, stage: &str, method: &str) -> Option<String> {
        let Some((path, verb)) = method.rsplit_once('/') else {
            self.warn(&format!("{field}: not of the form /path/METHOD: left out"));
            return None;
        };
        let verb = if verb == "ANY" { "*" } else { verb };
        let mut path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        // A greedy variable stands for all that is below.
        if let Some((above, last)) = path.rsplit_once('/')
            && last.starts_with('{')
            && last.ends_with("+}")
        {
            path = format!("{above}/*");
        }
        let pattern = format!("{stage} {verb} {path}");
        let alone = Changes::new().plan("alone", Plan::new().route(&pattern, Limits::new()));
        if let Err(error) = plan_file::check(&alone) {
            let problem = match error {
                ApplyError::Invalid { problem, .. } => problem,
                other => other.to_string(),
            };
            self.warn(&format!("{field}: left out: {problem}"));
            return None;
        }
        if path.contains('{') {
            let problem = "a variable in a path stands for itself here: give the engine the resource's path, not the request's";
            self.warn(&format!("{field}: {problem}"));
        }
        Some(pattern)
    }

    fn throttle(&mut self, field: &str, throttle: &MethodThrottle) -> Option<InlineTable> {
        let number = |value: &Option<Box<RawValue>>| {
            value.as_ref().map(|value| value.get().trim().to_owned()).filter(|text| text != "null")
        };
        let (rate, burst) = (number(&throttle.rate_limit), number(&throttle.burst_limit));
        let is_unlimited = |text: &Option<String>| text.as_ref().is_some_and(|text| text.starts_with('-'));
        if rate.is_none() && burst.is_none() {
            return None;
        }
        if is_unlimited(&rate) || is_unlimited(&burst) {
            self.warn(&format!("{field}: a negative rateLimit or burstLimit is taken for no limit"));
            return None;
        }
        let Some(rate) = rate else {
            self.warn(&format!(
                "{field}.burstLimit: without a rateLimit there is nothing to refill it: left out"
            ));
            return None;
        };
        let Some(mut rate) = decimal(&rate) else {
            self.warn(&format!("{field}.rateLimit: {rate} is not a number of requests per second: left out"));
            return None;
        };
        let burst = match burst {
            None => {
                let whole =
                    rate.split('.').next().and_then(|whole| whole.parse::<u64>().ok()).unwrap_or(u64::MAX);
                let burst = whole.saturating_add(rate.contains('.').into()).max(1);
                self.warn(&format!(
                    "{field}.burstLimit: missing: {burst}, what arrives in a second, is taken"
                ));
                burst
            }
            Some(text) => match decimal(&text).and_then(|text| text.parse().ok()) {
                Some(0) => {
                    if rate != "0" {
                        self.warn(&format!(
                            "{field}.burstLimit: 0 admits nothing, which is written as a rate of 0"
                        ));
                        rate = "0".into();
                    }
                    1
                }
                Some(burst) => burst,
                None => {
                    self.warn(&format!("{field}.burstLimit: {text} is not a whole number: left out"));
                    return None;
                }
            },
        };
        let mut table = InlineTable::new();
        table.insert("rate", Value::from(format!("{rate}/s")));
        table.insert("burst", Value::from(i64::try_from(burst).unwrap_or(i64::MAX)));
        Some(table)
    }

    fn quota(&mut self, quota: &UsageQuota) -> Option<InlineTable> {
        let Some(limit) = quota.limit else {
            self.warn("quota.limit: missing: left out");
            return None;
        };
        let (per, last) = match quota.period.as_deref() {
            Some("DAY") => ("day", 0),
            Some("WEEK") => ("week", 6),
            Some("MONTH") => ("month", 27),
            other => {
                let other = other.unwrap_or("nothing");
                self.warn(&format!("quota.period: {other} is none of DAY, WEEK and MONTH: left out"));
                return None;
            }
        };
        let mut table = InlineTable::new();
        table.insert("limit", Value::from(i64::try_from(limit).unwrap_or(i64::MAX)));
        table.insert("per", Value::from(per));
        let offset = quota.offset.unwrap_or(0);
        let (field, most) = match self.offset {
            Offset::StartDay => ("start", last),
            Offset::InitialDebit => ("initial_debit", limit),
        };
        if offset > most {
            self.warn(&format!(
                "quota.offset: {offset} is out of range for {field} of a {per}: 0 to {most}; 0 is taken"
            ));
        } else if offset > 0 {
            table.insert(field, Value::from(i64::try_from(offset).unwrap_or(i64::MAX)));
        }
        Some(table)
    }
}

/// A JSON number that is not negative, without an exponent: `1.50e1` is `15`. The digits are those that were written.
fn decimal(text: &str) -> Option<String> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    // Anything beyond is beyond all rates as well, and would be as long.
    let exponent: i64 = exponent.parse().ok().filter(|exponent| (-99..=99).contains(exponent))?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // Digits before the point.
    let mut point = i64::try_from(whole.len()).ok()? + exponent;
    if point < 1 {
        digits.insert_str(0, &"0".repeat(usize::try_from(1 - point).ok()?));
        point = 1;
    }
    let point = usize::try_from(point).ok()?;
    let missing = point.saturating_sub(digits.len());
    digits += &"0".repeat(missing);
    let (whole, fraction) = digits.split_at(point);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    match fraction.trim_end_matches('0') {
        "" => Some(whole.into()),
        fraction => Some(format!("{whole}.{fraction}")),
    }
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn numbers_keep_their_digits() {
        for (text, plain) in [
            ("50.0", "50"),
            ("0.1", "0.1"),
            ("0", "0"),
            ("0.0", "0"),
            ("100", "100"),
            ("1.5e3", "1500"),
            ("1.50E+1", "15"),
            ("5e-1", "0.5"),
            ("12.5e-3", "0.0125"),
            ("9007199254740993", "9007199254740993"),
            ("0.3333333333333333333", "0.3333333333333333333"),
            ("1E2", "100"),
        ] {
            assert_eq!(decimal(text).as_deref(), Some(plain), "{text}");
        }
        for text in ["-1", "", "\"5\"", "1e400", "true", "{}", "."] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }
}
