//! Lists of API keys as API Gateway exports them: CSV with the columns `Name` and `Key`, and perhaps `Description`,
//! `Enabled` and `UsagePlanIds`, in any order and case, among others that are ignored.
//! (Source: "API Gateway API key file format", Amazon API Gateway developer guide.)
//!
//! A row is a key, a key is its value: the last row of a value counts. API Gateway meters each key by
//! itself, so each becomes the only key of a subject of its own, both called by the row's name, with a number where
//! names repeat. A key that is listed already keeps its id, its subject and so its usage; the row may change its
//! plans and whether it is on.
//!
//! Texts with keys are wiped, no message repeats one, and what may be one in the wrong column is not repeated either.

use std::collections::{HashMap, HashSet};

use super::csv_records::{Record, Records};
use super::names::{LONGEST, is_name, numbered, shown};
use super::spec::{Changes, Key, Secret, Subject};
use super::view::DigestView;
use crate::error::CsvError;
use crate::key::{Digest, Method, Pepper, Peppers};

/// A key in a list has so many printable ASCII characters.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 20..=128;

const PLANS: &str = "UsagePlanIds";

/// Reads lists of API keys.
///
/// ```
/// use tollgate::{Changes, CsvImport, Plan};
/// let known = Changes::new().plan("gold", Plan::new());
/// let csv = "name,KEY,UsagePlanIds\nacme,made-up-made-up-made-up,\"gold,silver\"\n";
/// let keys = CsvImport::new(&known).read(csv.as_bytes())?;
/// assert_eq!((keys.imported(), keys.overwritten(), keys.skipped()), (1, 0, 0));
/// let warning = keys.warnings()[0].to_string();
/// assert_eq!(warning, "line 2: UsagePlanIds: there is no plan \"silver\": the key is not on it");
/// # Ok::<(), tollgate::CsvError>(())
/// ```
#[derive(Debug)]
pub struct CsvImport<'a> {
    known: &'a Changes,
    peppers: Vec<Pepper>,
    plan_ids: HashMap<String, String>,
}

/// What a list of keys comes to.
#[derive(Debug, Default)]
pub struct CsvKeys {
    changes: Changes,
    keys: Vec<ImportedKey>,
    warnings: Vec<CsvWarning>,
    imported: usize,
    overwritten: usize,
    skipped: usize,
}

/// A key that a list registers or changes.
#[derive(Debug)]
#[non_exhaustive]
pub struct ImportedKey {
    /// Where its row begins, from 1.
    pub line: u64,
    /// Whose it is.
    pub subject: String,
    /// Its public id.
    pub id: String,
    /// Whether it was not known before, nor its subject.
    pub is_new: bool,
    /// The plans that its subject is to be on; `None`: it stays on those that it is on.
    pub plans: Option<Vec<String>>,
    /// Whether it is to be on or off; `None`: as it is, and on if it is new.
    pub enabled: Option<bool>,
    pepper: Option<String>,
    digits: String,
}

impl ImportedKey {
    /// What the key is known by.
    pub fn digest(&self) -> DigestView<'_> {
        let digits = self.digits.clone();
        match &self.pepper {
            Some(pepper) => DigestView::Hmac { pepper, digits },
            None => DigestView::Sha256(digits),
        }
    }
}

/// What is wrong with a row. Holds no key.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CsvWarning {
    /// Where the row begins, from 1.
    pub line: u64,
    /// The column; empty for the row as a whole.
    pub field: &'static str,
    /// What is wrong, what would be right and what becomes of the row.
    pub problem: String,
}

impl std::fmt::Display for CsvWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.field {
            "" => write!(f, "line {}: {}", self.line, self.problem),
            field => write!(f, "line {}: {field}: {}", self.line, self.problem),
        }
    }
}

impl CsvKeys {
    /// What to apply to an engine that has the plans and subjects that were known: every subject that
    /// changes, with all of its keys.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The keys, in the order of their rows.
    pub fn keys(&self) -> &[ImportedKey] {
        &self.keys
    }

    /// What was wrong, in the order of the rows.
    pub fn warnings(&self) -> &[CsvWarning] {
        &self.warnings
    }

    /// Rows whose key was new.
    pub fn imported(&self) -> usize {
        self.imported
    }

    /// Rows whose key was known, from an earlier row or before.
    pub fn overwritten(&self) -> usize {
        self.overwritten
    }

    /// Rows that were left out, each with a warning.
    pub fn skipped(&self) -> usize {
        self.skipped
    }
}

impl<'a> CsvImport<'a> {
    /// Imports beside these plans and subjects.
    pub fn new(known: &'a Changes) -> CsvImport<'a> {
        CsvImport { known, peppers: Vec::new(), plan_ids: HashMap::new() }
    }

    /// Adds a pepper: new keys are digested under the first, known ones are recognised under all.
    pub fn pepper(mut self, pepper: Pepper) -> CsvImport<'a> {
        self.peppers.push(pepper);
        self
    }

    /// Takes `id` in `UsagePlanIds` for the plan `name`. An id without this is a plan's name.
    pub fn plan_id(mut self, id: &str, name: &str) -> CsvImport<'a> {
        self.plan_ids.insert(id.into(), name.into());
        self
    }

    /// Reads a list.
    ///
    /// # Errors
    /// A list without the columns that it must have; known keys that cannot be compared with.
    pub fn read(&self, csv: &[u8]) -> Result<CsvKeys, CsvError> {
        let mut peppers = Peppers::default();
        self.peppers.iter().try_for_each(|pepper| peppers.add(pepper.clone()))?;
        let known = known_keys(self.known, &peppers)?;
        let mut records = Records::new(csv);
        let columns = Columns::of(&mut records)?;
        let mut list = List {
            import: self,
            peppers,
            known,
            rows: Vec::new(),
            by_value: HashMap::new(),
            done: CsvKeys::default(),
        };
        while let Some(record) = records.next() {
            list.row(&columns, &record);
        }
        Ok(list.finish())
    }

    fn plan_named(&self, id: &str) -> Option<&str> {
        let name = self.plan_ids.get(id).map_or(id, String::as_str);
        let (name, plan) = self.known.plans.get_key_value(name)?;
        plan.is_some().then_some(name.as_str())
    }

    /// A plan of `plans` that covers a stage of `name`'s as well.
    fn collides<'p>(&self, name: &str, plans: &'p [String]) -> Option<&'p String> {
        let stages = |name: &str| self.known.plans.get(name)?.as_ref().map(|plan| &plan.stages[..]);
        let ours = stages(name)?;
        plans.iter().find(|other| {
            stages(other).is_some_and(|theirs| {
                ours.is_empty() || theirs.is_empty() || ours.iter().any(|stage| theirs.contains(stage))
            })
        })
    }
}

/// Subject and number of a key.
type Place<'a> = (&'a str, usize);

fn known_keys<'a>(known: &'a Changes, peppers: &Peppers) -> Result<HashMap<Digest, Place<'a>>, CsvError> {
    let mut found = HashMap::new();
    for (name, subject) in &known.subjects {
        let keys = subject.iter().flat_map(|subject| subject.keys.iter().flatten());
        for (index, key) in keys.enumerate() {
            let broken = |problem: &str| CsvError::Digest {
                field: format!("subjects.{}.keys[{index}]", shown(name)),
                problem: problem.into(),
            };
            let parse = |method, hex: &str| Digest::parse(method, hex).map_err(|e| broken(&e.to_string()));
            let digest = match key.secret() {
                // Recognised whatever an engine would digest it under.
                Some(Secret::Value(value)) => peppers.digest(Method::Sha256, value.bytes()),
                Some(Secret::Sha256(hex)) => parse(Method::Sha256, hex)?,
                Some(Secret::Hmac(text)) => {
                    let (pepper, hex) =
                        text.split_once(':').ok_or_else(|| broken("`hmac` is written PEPPER:DIGEST"))?;
                    let unknown = || CsvError::UnknownPepper { name: pepper.into() };
                    parse(peppers.named(pepper).ok_or_else(unknown)?, hex)?
                }
                None => return Err(broken("give exactly one of `sha256`, `hmac` and `value`")),
            };
            found.insert(digest, (name.as_str(), index));
        }
    }
    Ok(found)
}

/// Where the columns stand.
struct Columns {
    name: usize,
    key: usize,
    enabled: Option<usize>,
    plans: Option<usize>,
    count: usize,
}

impl Columns {
    fn of(records: &mut Records<'_>) -> Result<Columns, CsvError> {
        let header = records.next();
        let fields = header.as_ref().map_or(Vec::new(), |record| record.fields.clone());
        let find = |column: &'static str| {
            let mut found =
                fields.iter().enumerate().filter(|(_, field)| field.eq_ignore_ascii_case(column.as_bytes()));
            let first = found.next().map(|(index, _)| index);
            if found.next().is_some() { Err(CsvError::RepeatedColumn { column }) } else { Ok(first) }
        };
        let required = |column: &'static str| find(column)?.ok_or(CsvError::MissingColumn { column });
        Ok(Columns {
            name: required("Name")?,
            key: required("Key")?,
            enabled: find("Enabled")?,
            plans: find(PLANS)?,
            count: fields.len(),
        })
    }

    /// The fields of a row under these columns, those that are missing being empty. A list of plans in single quotes
    /// is one field, whatever its commas.
    fn fields<'r>(&self, record: &Record<'r>, joined: &'r mut Vec<u8>) -> Result<Vec<&'r [u8]>, String> {
        let mut fields = record.fields.clone();
        let opens = |field: &[u8]| field.starts_with(b"'") && (field.len() == 1 || !field.ends_with(b"'"));
        if let Some(at) = self.plans.filter(|&at| fields.get(at).is_some_and(|field| opens(field)))
            && let Some(more) = fields[at + 1..].iter().position(|field| field.ends_with(b"'"))
        {
            joined.extend(fields[at..=at + 1 + more].join(&b','));
            fields.splice(at..=at + 1 + more, [joined.as_slice()]);
        }
        let excess = fields.iter().skip(self.count).any(|field| !field.is_empty());
        if excess || fields.len() <= self.name.max(self.key) {
            return Err(format!(
                "{} fields under {} columns (a field with a comma is put in double quotes): the row is left out",
                fields.len(),
                self.count
            ));
        }
        fields.resize(self.count, &[]);
        Ok(fields)
    }
}

/// A row that counts.
struct Row<'a> {
    line: u64,
    name: String,
    digest: Digest,
    enabled: Option<bool>,
    /// None: the row names none that there is.
    plans: Option<Vec<String>>,
    known: Option<Place<'a>>,
}

struct List<'a, 'i> {
    import: &'i CsvImport<'a>,
    peppers: Peppers,
    known: HashMap<Digest, Place<'a>>,
    /// None: overwritten by a later one.
    rows: Vec<Option<Row<'a>>>,
    /// By SHA-256: which of `rows`.
    by_value: HashMap<Digest, usize>,
    done: CsvKeys,
}

impl<'a> List<'a, '_> {
    fn warn(&mut self, line: u64, field: &'static str, problem: impl Into<String>) {
        self.done.warnings.push(CsvWarning { line, field, problem: problem.into() });
    }

    fn row(&mut self, columns: &Columns, record: &Record<'_>) {
        let line = record.line;
        match self.read_row(columns, record) {
            Ok((value, row)) => {
                let before = self.by_value.insert(value, self.rows.len());
                if row.known.is_some() || before.is_some() {
                    self.done.overwritten += 1;
                } else {
                    self.done.imported += 1;
                }
                if let Some(before) = before {
                    self.rows[before] = None;
                }
                self.rows.push(Some(row));
            }
            Err((field, problem)) => {
                self.done.skipped += 1;
                self.warn(line, field, problem);
            }
        }
    }

    /// The key's SHA-256 and the row, or what is wrong with it.
    fn read_row(
        &mut self,
        columns: &Columns,
        record: &Record<'_>,
    ) -> Result<(Digest, Row<'a>), (&'static str, String)> {
        if record.is_open {
            let problem = "a double quote is opened and never closed: the rest of the list is left out";
            return Err(("", problem.into()));
        }
        let mut joined = Vec::new();
        let fields = columns.fields(record, &mut joined).map_err(|problem| ("", problem))?;
        let key = fields[columns.key];
        if !KEY_LENGTH.contains(&key.len()) || !key.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            let problem = format!(
                "{} characters, or others than printable ASCII: a key has {} to {} printable ASCII characters; the row is left out",
                key.len(),
                KEY_LENGTH.start(),
                KEY_LENGTH.end()
            );
            return Err(("Key", problem));
        }
        let name = std::str::from_utf8(fields[columns.name]).ok().filter(|name| is_name(name));
        let Some(name) = name else {
            let problem = format!(
                "a name has 1 to {LONGEST} bytes of UTF-8 without control characters, this one has {} bytes: the row is left out",
                fields[columns.name].len()
            );
            return Err(("Name", problem));
        };
        if fields[columns.name].windows(key.len()).any(|part| part == key) {
            return Err(("Name", "holds the key, and names are public: the row is left out".into()));
        }
        let enabled = match columns.enabled.map(|at| fields[at]) {
            None | Some(b"") => None,
            Some(text) if text.eq_ignore_ascii_case(b"true") => Some(true),
            Some(text) if text.eq_ignore_ascii_case(b"false") => Some(false),
            Some(_) => return Err(("Enabled", "neither true nor false: the row is left out".into())),
        };
        let plans = columns.plans.and_then(|at| self.plans(record.line, fields[at]));
        let value = self.peppers.digest(Method::Sha256, key);
        let mut digests = [value].into_iter().chain(self.peppers.all(key));
        let known = digests.find_map(|digest| Some((digest, *self.known.get(&digest)?)));
        let (digest, known) = match known {
            Some((digest, place)) => (digest, Some(place)),
            None => (self.peppers.digest(self.peppers.preferred(), key), None),
        };
        Ok((value, Row { line: record.line, name: name.into(), digest, enabled, plans, known }))
    }

    /// The plans that `UsagePlanIds` names; `None` if there is none of them.
    fn plans(&mut self, line: u64, field: &[u8]) -> Option<Vec<String>> {
        let text = String::from_utf8_lossy(field);
        let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
        let ids = quoted('\'').or_else(|| quoted('"')).unwrap_or(&text);
        let mut plans: Vec<String> = Vec::new();
        for id in ids.split(',').map(str::trim).filter(|id| !id.is_empty()) {
            let Some(name) = self.import.plan_named(id) else {
                // A key in the wrong column would have as many.
                let shown = if id.len() < *KEY_LENGTH.start() {
                    format!("{id:?}")
                } else {
                    format!("of that name of {} characters", id.chars().count())
                };
                self.warn(line, PLANS, format!("there is no plan {shown}: the key is not on it"));
                continue;
            };
            if plans.iter().any(|other| other == name) {
                continue;
            }
            if let Some(other) = self.import.collides(name, &plans) {
                let problem =
                    format!("plans {other:?} and {name:?} cover a stage both: the key is not on {name:?}");
                self.warn(line, PLANS, problem);
                continue;
            }
            plans.push(name.into());
        }
        (!plans.is_empty()).then_some(plans)
    }

    fn finish(mut self) -> CsvKeys {
        let rows: Vec<Row<'a>> = std::mem::take(&mut self.rows).into_iter().flatten().collect();
        let new = rows.iter().filter(|row| row.known.is_none());
        let mut names = Names::new(self.import.known, new.map(|row| row.name.clone()));
        for row in rows {
            let key = match row.known {
                Some(place) => self.overwrite(row, place),
                None => {
                    let name = names.next(&row.name);
                    self.register(row, name)
                }
            };
            self.done.keys.push(key);
        }
        self.done.warnings.sort_by_key(|warning| warning.line);
        self.done
    }

    fn register(&mut self, row: Row<'a>, name: String) -> ImportedKey {
        let digits = row.digest.hex();
        let pepper = self.peppers.name(row.digest.method).map(str::to_owned);
        let key = match &pepper {
            Some(pepper) => Key::hmac(&name, &format!("{pepper}:{digits}")),
            None => Key::sha256(&name, &digits),
        };
        let key = row.enabled.into_iter().fold(key, Key::enabled);
        let subject = Subject::new(row.plans.iter().flatten()).key(key);
        self.done.changes.subjects.insert(name.clone(), Some(subject));
        ImportedKey {
            line: row.line,
            subject: name.clone(),
            id: name,
            is_new: true,
            plans: row.plans,
            enabled: row.enabled,
            pepper,
            digits,
        }
    }

    fn overwrite(&mut self, row: Row<'a>, (name, index): Place<'a>) -> ImportedKey {
        let known = &self.import.known.subjects[name];
        let subject = self.done.changes.subjects.entry(name.into()).or_insert_with(|| known.clone());
        // There is a key at every place.
        let subject = subject.get_or_insert_default();
        let keys = subject.keys.get_or_insert_default();
        if let Some(enabled) = row.enabled {
            keys[index] = keys[index].clone().enabled(enabled);
        }
        let (id, is_only) = (keys[index].id.clone(), keys.len() == 1);
        let mut plans = row.plans.filter(|plans| {
            let [ours, theirs] = [&subject.plans, plans].map(|plans| plans.iter().collect::<HashSet<_>>());
            ours != theirs
        });
        let stays = if is_only { None } else { plans.take() };
        if let Some(plans) = &plans {
            subject.plans.clone_from(plans);
        }
        if stays.is_some() {
            self.warn(
                row.line,
                PLANS,
                format!("{name:?} has other keys besides: its plans stay as they are"),
            );
        }
        if row.name != id && row.name != name && !is_numbered(name, &row.name) {
            self.warn(row.line, "Name", format!("the key is known: it and its usage stay with {name:?}"));
        }
        ImportedKey {
            line: row.line,
            subject: name.into(),
            id,
            is_new: false,
            plans,
            enabled: row.enabled,
            pepper: self.peppers.name(row.digest.method).map(str::to_owned),
            digits: row.digest.hex(),
        }
    }
}

/// Names for new subjects and their keys, which nothing else is called by.
struct Names {
    /// Of what is known.
    known: HashSet<String>,
    /// Those, those in the list, and those that were made.
    taken: HashSet<String>,
    /// Those in the list that a row has got.
    given: HashSet<String>,
    /// The number to try next.
    numbers: HashMap<String, u64>,
}

impl Names {
    fn new(known: &Changes, listed: impl Iterator<Item = String>) -> Names {
        let view = known.view();
        let ids = view.subjects.iter().flat_map(|subject| subject.keys.iter().flatten().map(|key| key.id));
        let subjects = view.subjects.iter().map(|subject| subject.name);
        let known: HashSet<String> = subjects.chain(ids).map(str::to_owned).collect();
        let taken = known.iter().cloned().chain(listed).collect();
        Names { known, taken, given: HashSet::new(), numbers: HashMap::new() }
    }

    fn next(&mut self, name: &str) -> String {
        if !self.known.contains(name) && self.given.insert(name.into()) {
            return name.into();
        }
        let number = self.numbers.entry(name.into()).or_insert(1);
        loop {
            *number += 1;
            let numbered = numbered(name, *number);
            if self.taken.insert(numbered.clone()) {
                return numbered;
            }
        }
    }
}

/// Whether `name` is one that [`Names`] makes of `listed`.
fn is_numbered(name: &str, listed: &str) -> bool {
    let number = name.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
    number.is_some_and(|number| numbered(listed, number) == name)
}
