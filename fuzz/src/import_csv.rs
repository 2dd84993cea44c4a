//! A list of API keys: what is imported works and nothing else does, a second import changes nothing, and one that
//! collides with what there is changes nothing either.

use tollgate::view::DigestView;
use tollgate::{
    Capacity, Changes, CsvImport, CsvKeys, Engine, Key, Nanos, Plan, Quota, Request, SecretKey, Subject,
    Verdict,
};

use crate::SECRET;

/// To begin with.
pub const SEEDS: [&[u8]; 3] = [
    b"\xef\xbb\xbfStage,uSagePlanIds,KEY,description,name,ENABLED\r\nx,gold,key-0001-0123456789-abcdef,\"a, b\r\nc\",acme,FALSE\r\n\r\nx,\"'gold, silver'\", key-0002-0123456789-abcdef ,,dora,True\r\nx,\"\"\"all\"\"\",key-0003-0123456789-abcdef,,\"ann, co\",\r\n",
    b"Name,Key,Enabled,UsagePlanIds\na,key-0001-0123456789-abcdef,true,gold\na,key-0002-0123456789-abcdef,,silver\nb,key-0001-0123456789-abcdef,false,\"silver,lead\"\nacme-1,known-known-known-known,false,all\n",
    b"Name,Key\nx,hunter2-hunter2-hunter2\nhunter2-hunter2-hunter2,x\n,\"\n",
];

/// See the module's comment.
pub fn run(csv: &[u8]) {
    let known = known();
    let keys = match CsvImport::new(&known).read(csv) {
        Ok(keys) => keys,
        Err(error) => return assert!(!error.to_string().contains(&SECRET[..7]), "{error}"),
    };
    let warnings: Vec<String> = keys.warnings().iter().map(ToString::to_string).collect();
    assert!(
        keys.skipped() <= keys.warnings().len() && keys.keys().len() <= keys.imported() + keys.overwritten()
    );
    assert!(!warnings.concat().contains(SECRET), "{warnings:?}");

    let capacity = Capacity::new().cells(2_000).lines(2_000);
    let engine = Engine::builder().capacity(capacity).changes(known.clone()).build().expect("known plans");
    collides(&engine, &keys);
    engine.apply(keys.changes()).expect("what was imported is right in itself");
    works(&engine, &keys, csv);

    // As a plan file would have them now.
    let mut both = known;
    for key in keys.keys() {
        let DigestView::Sha256(digits) = key.digest() else { panic!("no pepper was given") };
        if key.is_new {
            let subject = Subject::new(key.plans.iter().flatten()).key(Key::sha256(&key.id, &digits));
            both = both.subject(&key.subject, subject);
        }
    }
    let again = CsvImport::new(&both).read(csv).expect("it was read before");
    assert_eq!((again.imported(), again.skipped()), (0, keys.skipped()));
    assert!(again.keys().iter().zip(keys.keys()).all(|(again, key)| again.id == key.id && !again.is_new));
}

fn known() -> Changes {
    Changes::new()
        .plan("gold", Plan::new().stages(["pets/prod"]).quota(Quota::new(2, "day")))
        .plan("silver", Plan::new().stages(["orders/prod", "shop/prod"]))
        .plan("lead", Plan::new().stages(["shop/prod"]))
        .plan("all", Plan::new())
        .subject("acme", Subject::new(["gold"]).key(Key::new("acme-1", secret(KNOWN.as_bytes()))))
}

const KNOWN: &str = "known-known-known-known";

fn secret(key: &[u8]) -> SecretKey {
    SecretKey::new(key).expect("1 to 4096 bytes")
}

fn verdict(engine: &Engine, key: &[u8]) -> Verdict {
    engine.peek_at(&Request::new(key).stage("pets/prod"), Nanos::from_secs(1_700_000_000)).verdict()
}

/// With one definition more that cannot be: none of them is put in place.
fn collides(engine: &Engine, keys: &CsvKeys) {
    let Some(new) = keys.keys().iter().find(|key| key.is_new) else { return };
    let DigestView::Sha256(digits) = new.digest() else { return };
    let other = Subject::new(["all"]).key(Key::sha256("somebody-else", &digits));
    assert!(engine.apply(&keys.changes().clone().subject("somebody-else", other)).is_err());
    assert_eq!(verdict(engine, KNOWN.as_bytes()), Verdict::Ok);
    assert!(engine.enable(&new.id).is_err(), "{:?} is there after an import that failed", new.id);
}

/// Whatever stands in the list and could be a key is known if its digest was imported, and only then.
fn works(engine: &Engine, keys: &CsvKeys, csv: &[u8]) {
    let imported: Vec<String> = keys
        .keys()
        .iter()
        .map(|key| match key.digest() {
            DigestView::Sha256(digits) => digits,
            other => panic!("{other:?}"),
        })
        .collect();
    let fields = csv.split(|byte| b",\"\r\n".contains(byte)).map(<[u8]>::trim_ascii);
    for field in fields.filter(|field| (20..=128).contains(&field.len()) && *field != KNOWN.as_bytes()) {
        let is_imported = imported.contains(&secret(field).sha256());
        assert_eq!(verdict(engine, field) != Verdict::KeyUnknown, is_imported);
    }
}
