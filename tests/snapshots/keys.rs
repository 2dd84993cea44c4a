//! Keys: the stricter state wins, and rotations go on.

use super::*;

const KEYS: &str = r#"
[plans.p]
quotas = [{ limit = 1000, per = "day" }]
[subjects.s]
plans = ["p"]
keys = [
    { id = "revoked", value = "revoked key" }, { id = "disabled", value = "disabled key" },
    { id = "expired", value = "expired key" }, { id = "old", value = "old key" },
    { id = "at once", value = "at once key" }, { id = "kept", value = "kept key" },
]
"#;

/// The same file, stricter in one place: what stands there wins, too.
fn stricter() -> String {
    KEYS.replace("value = \"kept key\"", "value = \"kept key\", enabled = false")
}

fn verdicts(engine: &Engine, keys: &[&str], now: u64) -> Vec<Verdict> {
    keys.iter().map(|key| check(engine, &Request::new(key).cost(0), now)).collect()
}

fn in_homes(test: impl Fn(&dyn Fn(&str, usize) -> EngineBuilder)) {
    test(&|text, _| heap(&toml(text)));
    let files: Vec<Scratch> = (0..4).map(|n| Scratch::new(&format!("keys-{n}"))).collect();
    test(&|text, n| region(&files[n], &toml(text)));
}

#[test]
fn no_state_goes_back() {
    use Verdict::{KeyDisabled, KeyExpired, KeyRevoked, KeyUnknown, Ok};
    in_homes(|home| {
        let old = home(KEYS, 0).build().unwrap();
        old.revoke("revoked").unwrap();
        old.disable("disabled").unwrap();
        old.expire("expired").unwrap();
        let mut secrets = Vec::new();
        for (id, new, overlap) in [("old", "new", DAY), ("at once", "next", 0)] {
            let secret = old.rotate_at(id, new, Nanos::new(overlap), Nanos::new(T0)).unwrap();
            secrets.push(secret.reveal(|bytes| String::from_utf8(bytes.to_vec()).unwrap()));
        }
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let keys = ["revoked key", "disabled key", "expired key", "old key", "at once key", "kept key"];
        let keys: Vec<&str> = keys.into_iter().chain(secrets).collect();
        let now = [KeyRevoked, KeyDisabled, KeyExpired, Ok, KeyRevoked, Ok, Ok, Ok];
        let later = [KeyRevoked, KeyDisabled, KeyExpired, KeyRevoked, KeyRevoked, Ok, Ok, Ok];
        assert_eq!(verdicts(&old, &keys, T0), now);
        assert_eq!(verdicts(&old, &keys, T0 + DAY), later);
        assert_eq!(check(&old, &Request::new(keys[6]).cost(10), T0), Ok);
        let written = bytes(&old);
        let read = || Snapshot::read(&written).unwrap();

        let new = home(KEYS, 1).snapshot(read()).build().unwrap();
        assert_eq!(verdicts(&new, &keys, T0), now);
        assert_eq!(verdicts(&new, &keys, T0 + DAY), later);
        assert_eq!(left(&new, &Request::new("kept key"), T0), [990]);
        // Revoked is final; what was switched off is switched on again by somebody.
        new.enable("revoked").unwrap();
        new.enable("disabled").unwrap();
        assert_eq!(verdicts(&new, &keys[..2], T0), [KeyRevoked, Ok]);
        // A rotation of what a rotation made, and the snapshot of a snapshot.
        let third = new.rotate_at("new", "newest", Nanos::ZERO, Nanos::new(T0)).unwrap();
        let third = third.reveal(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        let newest = home(KEYS, 2).snapshot(snapshot(&new)).build().unwrap();
        assert_eq!(verdicts(&newest, &[keys[6], &third, keys[7]], T0), [KeyRevoked, Ok, Ok]);

        // The file is the stricter one here.
        let strict = home(&stricter(), 3).snapshot(read()).build().unwrap();
        let mut expected = now;
        expected[5] = KeyDisabled;
        assert_eq!(verdicts(&strict, &keys, T0), expected);
    });
    // A key that the file does not list any more is unknown, or revoked if it was.
    let old = heap(&toml(KEYS)).build().unwrap();
    old.revoke("revoked").unwrap();
    let fewer = "[plans.p]\nquotas = [{ limit = 1000, per = \"day\" }]\n[subjects.s]\nplans = [\"p\"]\n";
    let new = heap(&toml(fewer)).snapshot(snapshot(&old)).build().unwrap();
    assert_eq!(check(&new, &Request::new("kept key"), T0), KeyUnknown);
    assert_ne!(check(&new, &Request::new("revoked key"), T0), Ok);
    // Nor does it come in by another door.
    assert_eq!(check(&new, &Request::new("revoked key").or_anonymous("p"), T0), KeyRevoked);
    let listed = new.apply_at(&toml(KEYS), Nanos::new(T0));
    assert!(listed.is_err() || check(&new, &Request::new("revoked key"), T0) == KeyRevoked);
}
