//! Secrets are planted wherever one can stand, and looked for in everything that comes out: debug output, errors,
//! metrics, headers, snapshots, and the memory that processes share.

use std::fmt::{Debug, Write};

use tollgate::{
    Capacity, Changes, Engine, Key, KeyFormat, Mode, Nanos, Pepper, Region, Request, SecretKey, Snapshot,
    http,
};

use super::T0;

/// In all of them, and in nothing else.
const MARK: &str = "hunter2";
const LISTED: &str = "hunter2-listed-in-a-plan-file";
const PEPPER: &[u8] = b"hunter2-pepper-of-16-bytes-and-more";

/// Text that came out.
#[derive(Default)]
struct Out(String);

impl Out {
    fn debug(&mut self, value: &dyn Debug) {
        write!(self.0, "{value:?}\n{value:#?}\n").unwrap();
    }

    fn error<T, E: std::error::Error>(&mut self, result: Result<T, E>) {
        let error = result.err().expect("an error");
        self.debug(&error);
        writeln!(self.0, "{error} {:?}", error.source()).unwrap();
    }

    /// As bytes too, as debug output of a list shows them.
    fn is_silent(&self) {
        let listed = MARK.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
        let hex: String = MARK.bytes().map(|byte| format!("{byte:02x}")).collect();
        for planted in [MARK, &listed, &hex] {
            if let Some(at) = self.0.find(planted) {
                let from = self.0.floor_char_boundary(at.saturating_sub(200));
                panic!("a secret is told: {}", &self.0[from..at + planted.len()]);
            }
        }
    }
}

fn is_silent(bytes: &[u8], what: &str) {
    let found = bytes.windows(MARK.len()).position(|window| window == MARK.as_bytes());
    assert_eq!(found, None, "a secret stands in {what}");
}

fn plans(value: &str) -> String {
    format!(
        "[plans.p]\nthrottle = {{ rate = \"1/s\", burst = 2 }}\nquotas = [{{ limit = 3, per = \"day\" }}]\n\
         [subjects.s]\nplans = [\"p\"]\nkeys = [{{ id = \"k\", value = {value} }}]\n"
    )
}

fn secret(text: &str) -> SecretKey {
    SecretKey::new(text).unwrap()
}

#[test]
fn the_search_finds_what_is_planted() {
    for planted in [MARK.to_owned(), format!("{:?}", MARK.as_bytes()), "68756e74657232".to_owned()] {
        assert!(std::panic::catch_unwind(|| Out(planted).is_silent()).is_err());
    }
    assert!(std::panic::catch_unwind(|| is_silent(LISTED.as_bytes(), "itself")).is_err());
}

#[test]
fn nothing_that_can_be_printed_tells_a_secret() {
    let mut out = Out::default();
    let changes = Changes::from_toml(&plans(&format!("{LISTED:?}"))).unwrap();
    let pepper = Pepper::new("p", PEPPER.to_vec()).unwrap();
    out.debug(&changes);
    out.debug(&changes.view());
    out.debug(&pepper);
    out.debug(&secret(LISTED));
    out.debug(&Key::new("k", secret(LISTED)));
    let formed = Engine::builder().key_format(KeyFormat::new("hunter").unwrap()).changes(changes.clone());
    let formed = formed.build().unwrap();
    out.debug(&formed.check_at(&Request::new(LISTED), Nanos::new(T0)));
    out.error(formed.rotate_to_at("k", "x", &secret("hunter2-of-no-form"), Nanos::ZERO, Nanos::new(T0)));
    let engine = Engine::builder().changes(changes).pepper(pepper.clone()).build().unwrap();
    let request = Request::new(LISTED);
    for now in 0..5 {
        let now = Nanos::new(T0 + now);
        for mode in [Mode::Peek, Mode::Check] {
            let report = engine.report_at(&request, now, mode);
            out.debug(&report);
            out.debug(&http::headers(&report, http::Fields::Draft));
            out.debug(&report.decision());
        }
        out.debug(&engine.check_at(&Request::new("hunter2-unknown"), now));
        out.debug(&engine.check_as_at(&Request::new("hunter2-unknown").or_anonymous("p"), "id", now));
    }
    out.debug(&request);
    out.debug(&Request::new("hunter2-unknown").or_anonymous("p"));
    out.debug(&engine.prepare(&request));
    let rotated = engine.rotate_at("k", "new", Nanos::new(1), Nanos::new(T0)).unwrap();
    out.debug(&rotated);
    engine.add_key("s", &Key::new("more", secret("hunter2-added"))).unwrap();
    engine.rotate_to_at("more", "most", &secret("hunter2-rotated"), Nanos::ZERO, Nanos::new(T0)).unwrap();
    out.debug(&engine);
    out.debug(&engine.metrics());
    out.debug(&engine.alerts());
    out.0 += &engine.metrics().prometheus();
    // Errors about the very keys.
    out.error(engine.add_key("s", &Key::new("again", secret("hunter2-added"))));
    out.error(engine.rotate_to_at("k", "x", &secret(LISTED), Nanos::ZERO, Nanos::new(T0)));
    out.error(engine.apply(
        &Changes::from_toml(&plans(&format!("{LISTED:?}")).replace("subjects.s", "subjects.t")).unwrap(),
    ));
    out.is_silent();
    // One that the engine made is told once, by the one call that is for it.
    let made = rotated.reveal(|key| String::from_utf8(key.to_vec()).unwrap());
    assert!(made.len() > 30 && !out.0.contains(&made));
}

#[test]
fn no_plan_file_with_a_mistake_is_quoted() {
    let mut out = Out::default();
    let mistakes = [
        "[\"hunter2\"]",
        "{ hunter2 = 1 }",
        "{ v = \"hunter2\" }",
        "\"hunter2",
        "'''hunter2''",
        "hunter2",
        "\"\"",
        "\"hunter2\", extra = 1",
        "\"hunter2\"\nvalue = \"hunter2\"",
        "\"hunter2\" }, { id = \"k\", value = \"hunter2\"",
        "\"hunter2\", value = \"hunter2\"",
        "\"hunter2\", sha256 = \"hunter2\"",
        "\"hunter2\\q\"",
    ];
    for mistake in mistakes {
        let text = plans(mistake);
        match Changes::from_toml(&text) {
            Ok(changes) => out.error(Engine::builder().changes(changes).build()),
            Err(error) => out.error::<(), _>(Err(error)),
        }
    }
    for value in [
        "[\"hunter2\"]",
        "{\"hunter2\":1}",
        "\"hunter2",
        "hunter2",
        "\"hunter2\",\"value\":\"hunter2\"",
        "\"\\uhunter2\"",
    ] {
        let text = format!("{{\"subjects\":{{\"s\":{{\"keys\":[{{\"id\":\"k\",\"value\":{value}}}]}}}}}}");
        out.error(Changes::from_json(&text));
    }
    out.error(Pepper::new("p", b"hunter2".to_vec()));
    out.error(Pepper::new("a:b", PEPPER.to_vec()));
    out.error(SecretKey::new("hunter2".repeat(1_000)));
    out.is_silent();
}

#[test]
fn what_is_stored_holds_no_secret() {
    let path = std::env::temp_dir().join(format!("tollgate-secrets-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let capacity = Capacity::new().cells(1_000).lines(100);
    for shared in [false, true] {
        let builder = match shared {
            false => Engine::builder(),
            true => Engine::attach(Region::file(&path, capacity.region_bytes()).unwrap()),
        };
        let changes = Changes::from_toml(&plans(&format!("{LISTED:?}"))).unwrap();
        let engine = builder
            .capacity(capacity)
            .changes(changes)
            .pepper(Pepper::new("p", PEPPER.to_vec()).unwrap())
            .build()
            .unwrap();
        engine.add_key("s", &Key::new("more", secret("hunter2-added"))).unwrap();
        engine.rotate_to_at("k", "new", &secret("hunter2-rotated"), Nanos::new(1), Nanos::new(T0)).unwrap();
        for n in 0..4 {
            let now = Nanos::new(T0 + n);
            for key in [LISTED, "hunter2-added", "hunter2-rotated", "hunter2-unknown"] {
                // Its id is a secret, too, and so is the name of a visitor.
                let _ = engine.check_as_at(&Request::new(key).or_anonymous("p"), key, now);
                let _ = engine.check_at(&Request::anonymous("p", key), now);
            }
        }
        let mut bytes = Vec::new();
        engine.write_snapshot(&mut bytes).unwrap();
        is_silent(&bytes, "a snapshot");
        let mut out = Out::default();
        out.debug(&Snapshot::read(&bytes).unwrap());
        bytes[40] ^= 1;
        out.error(Snapshot::read(&bytes));
        out.is_silent();
    }
    is_silent(&std::fs::read(&path).unwrap(), "a region");
    std::fs::remove_file(&path).unwrap();
}
