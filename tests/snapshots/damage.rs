//! Files that are damaged: refused, whatever the byte.

use super::*;

const PLANS: &str = r#"
[plans.p]
quotas = [{ limit = 1000, per = "day" }]
throttle = { rate = "1/s", burst = 5 }
concurrency = { limit = 2 }
[plans.free]
throttle = { rate = "1/s", burst = 5 }
[subjects.s]
plans = ["p"]
keys = [{ id = "k", value = "a key" }]
"#;

fn good() -> Vec<u8> {
    let engine = heap(&toml(PLANS)).build().unwrap();
    assert_eq!(check(&engine, &Request::new("a key").cost(2), T0), Verdict::Ok);
    assert_eq!(check(&engine, &Request::anonymous("free", "visitor").cost(2), T0), Verdict::Ok);
    let id = "an id";
    assert!(engine.check_as_at(&Request::new("a key"), id, Nanos::new(T0)).unwrap().is_allowed());
    engine.rotate_at("k", "new", Nanos::new(DAY), Nanos::new(T0)).unwrap();
    bytes(&engine)
}

#[test]
fn every_changed_byte_is_seen() {
    let good = good();
    println!("{} bytes", good.len());
    assert!(Snapshot::read(&good).is_ok());
    let mut bytes = good.clone();
    for at in 0..good.len() {
        for flip in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
            bytes[at] = good[at] ^ flip;
            let error = Snapshot::read(&bytes).unwrap_err();
            assert!(!error.to_string().is_empty());
        }
        bytes[at] = good[at];
    }
}

#[test]
fn every_truncation_is_seen() {
    let good = good();
    for length in 0..good.len() {
        assert!(Snapshot::read(&good[..length]).is_err(), "{length} bytes");
    }
    let longer: Vec<u8> = good.iter().copied().chain([0]).collect();
    assert!(Snapshot::read(&longer).is_err());
}
