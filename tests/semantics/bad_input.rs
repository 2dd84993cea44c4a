//! Bad definitions: an error that names the field, the value and what would be right.

use super::*;

fn names(toml: &str, parts: &[&str]) {
    let error = refused(toml);
    for part in parts {
        assert!(error.contains(part), "{toml}\n{error}\nlacks {part}");
    }
}

#[test]
fn rates_and_bursts() {
    let throttle =
        |rate: &str, burst: &str| format!("[plans.p]\nthrottle = {{ rate = \"{rate}\", burst = {burst} }}");
    for rate in ["0/0s", "-1/s", "1e9/s", "1", "fast", "", "1/0m"] {
        names(&throttle(rate, "1"), &["plans.p.throttle.rate", &format!("{rate:?}")]);
    }
    names(&throttle("1/s", "0"), &["plans.p.throttle.burst", "at least 1"]);
    names(&throttle("1/s", "15552001"), &["plans.p.throttle.burst", "15552001", "at most 15552000"]);
    names(&throttle("1/s", "9223372036854775807"), &["plans.p.throttle.burst", "180 days"]);
    names(&throttle("1/181d", "1"), &["plans.p.throttle.burst", "at most 0"]);
    names(&throttle("1/s", "-1"), &["line 2", "-1"]);
    names(&throttle("1/s", "1.5"), &["line 2", "1.5"]);
    names(&throttle("1/s", "\"5\""), &["line 2"]);
    assert_eq!(check(&engine(&throttle("1/s", "15552000")), &visitor(), T0), OK);
    assert_eq!(check(&engine(&throttle("0/s", "9223372036854775807")), &visitor().cost(0), T0), OK);
    names(
        "[plans.p]\nthrottle = { rate = \"1/s\", burst = 1, mode = { delay = \"soon\" } }",
        &["plans.p.throttle.mode.delay", "soon"],
    );
    names(
        "[plans.p]\nthrottle = { rate = \"1/s\", burst = 1, mode = { delay = \"180d\" } }",
        &["plans.p.throttle.burst"],
    );
    names(
        "[plans.p]\nthrottle = { rate = \"1/s\", burst = 1, mode = { wait = \"1s\" } }",
        &["wait", "delay"],
    );
    names(
        "[plans.p]\nthrottle = [{ rate = \"1/s\", burst = 1 }, { rate = \"2/s\", burst = 1 }]",
        &["plans.p.throttle[1].name", "\"throttle\""],
    );
}

#[test]
fn quotas() {
    let quota = |fields: &str| format!("[plans.p]\nquotas = [{{ limit = 5, {fields} }}]");
    names(&quota("per = \"fortnight\""), &["plans.p.quotas[0].per", "fortnight", "day, week, month"]);
    names(&quota("per = \"0s\""), &["plans.p.quotas[0].per"]);
    names(&quota("per = \"week\", start = 7"), &["plans.p.quotas[0].start", "7", "0 to 6"]);
    names(&quota("per = \"month\", start = 28"), &["plans.p.quotas[0].start", "0 to 27"]);
    names(&quota("per = \"day\", start = 1"), &["plans.p.quotas[0].start", "0 to 0"]);
    names(&quota("per = \"day\", zone = \"Mars/Base\""), &["plans.p.quotas[0].zone", "Mars/Base"]);
    names(&quota("per = \"hour\", zone = \"Mars/Base\""), &["plans.p.quotas[0].zone", "Mars/Base"]);
    names(&quota("per = \"day\", initial_debit = 6"), &["plans.p.quotas[0].initial_debit", "6", "at most 5"]);
    names(&quota("per = \"day\", alerts = [0]"), &["plans.p.quotas[0].alerts[0]", "1 to 100"]);
    names(&quota("per = \"day\", unit = \"\""), &["plans.p.quotas[0].unit"]);
    names(&quota("per = \"day\" }, { limit = 1, per = \"day\""), &["plans.p.quotas[1].name", "\"day\""]);
    names("[plans.p]\nquotas = [{ per = \"day\" }]", &["line 2", "limit"]);
    names("{", &["line 1"]);
}

#[test]
fn values_of_another_type_name_their_field() {
    names(
        "[plans.p]\nthrottle = { rate = 10, burst = 1 }",
        &["line 2: plans.p.throttle.rate: ", "`10`", "a string"],
    );
    names(
        "[plans.p]\nthrottle = [{ rate = \"1/s\", burst = -1 }]",
        &["plans.p.throttle[0].burst", "`-1`", "integer from 0"],
    );
    names("[plans.p]\nquotas = { limit = 1 }", &["plans.p.quotas", "expected a list"]);
    names("[plans.p]\nobserve = 1", &["plans.p.observe", "`1`", "a boolean"]);
    names("[subjects.s]\nkeys = [{ id = \"a\", expires = 2027-06-01 }]\n", &["subjects.s.keys[0]"]);
}

#[test]
fn an_expiry_may_be_a_date_and_time_of_toml() {
    engine("[subjects.s]\nkeys = [{ id = \"a\", value = \"k\", expires = 2027-06-01T00:00:00Z }]");
    names(
        "[subjects.s]\nkeys = [{ id = \"a\", value = \"k\", expires = 2027-06-01 }]",
        &["expires", "2027-06-01T00:00:00Z"],
    );
}

#[test]
fn concurrency() {
    names(
        "[plans.p]\nconcurrency = { limit = 8, lease = \"0s\" }",
        &["plans.p.concurrency.lease", "at least"],
    );
    names(
        "[plans.p.pool]\nconcurrency = { limit = 8, lease = \"soon\" }",
        &["plans.p.pool.concurrency.lease", "soon"],
    );
    names("[plans.p]\nconcurrency = { limit = 8, unit = \"\" }", &["plans.p.concurrency.unit"]);
    // A slot takes memory.
    names("[plans.p.pool]\nconcurrency = { limit = 1_000_000_000 }", &["plans.p.pool", "no room"]);
}

#[test]
fn stages_routes_and_names() {
    names("[plans.p]\nstages = [\"a/b\", \"a/b\"]", &["plans.p.stages[1]", "twice"]);
    names("[plans.p]\nstages = [\"a b\"]", &["plans.p.stages[0]"]);
    names("[plans.p.routes.\"/pets\"]", &["plans.p.routes.\"/pets\"", "METHOD PATH"]);
    names("[plans.\"\"]", &["plans.\"\"", "1 to 128 bytes"]);
    names("[plans.\"a\\nb\"]", &["control characters"]);
    names(&format!("[plans.{}]", "x".repeat(129)), &["1 to 128 bytes"]);
}

#[test]
fn subjects_and_keys() {
    let keys = |keys: &str| format!("[plans.p]\n[subjects.s]\nplans = [\"p\"]\nkeys = [{keys}]");
    names("[subjects.s]\nplans = [\"p\"]", &["subjects.s.plans[0]", "\"p\""]);
    names("[plans.p]\n[subjects.s]\nplans = [\"p\", \"p\"]", &["subjects.s.plans[1]", "twice"]);
    names("[plans.p]\n[plans.q]\n[subjects.s]\nplans = [\"p\", \"q\"]", &["subjects.s.plans", "every stage"]);
    names(&keys("{ id = \"a\" }"), &["subjects.s.keys[0]", "exactly one of"]);
    names(&keys("{ id = \"a\", value = \"x\", sha256 = \"y\" }"), &["exactly one of"]);
    names(&keys("{ id = \"a\", sha256 = \"abc\" }"), &["subjects.s.keys[0].sha256", "64"]);
    names(&keys("{ id = \"a\", value = \"\" }"), &["1 to 4096 bytes"]);
    names(
        &keys(&format!("{{ id = \"a\", value = \"{}\" }}", "x".repeat(10_000_000))),
        &["1 to 4096 bytes", "10000000"],
    );
    names(
        &keys("{ id = \"a\", value = \"x\" }, { id = \"a\", value = \"y\" }"),
        &["subjects.s.keys[1].id", "twice"],
    );
    names(
        &keys("{ id = \"a\", value = \"x\" }, { id = \"b\", value = \"x\" }"),
        &["subjects.s.keys[1]", "twice"],
    );
    names(
        &keys("{ id = \"a\", value = \"x\", expires = \"soon\" }"),
        &["subjects.s.keys[0].expires", "soon"],
    );
    names(&keys("{ id = \"a\", value = \"x\", expires = \"1969-12-31T23:59:59Z\" }"), &["1970 to 2554"]);
    let two = "[plans.p]\n[subjects.s]\nkeys = [{ id = \"a\", value = \"x\" }]\n[subjects.t]\nkeys = [{ id = \"b\", value = \"x\" }]";
    names(two, &["subjects.t.keys[0]", "subject \"s\""]);
}
