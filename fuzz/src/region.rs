//! A shared region whose words anybody may have changed, before and while engines are attached to it: an error or an
//! answer, in bounded time, and nothing outside of it is touched.
//!
//! The bytes are steps: a blow at a word, mostly one that is in use, or something that an engine is asked.

use std::ptr::NonNull;
use std::sync::OnceLock;

use arbitrary::{Result, Unstructured};
use tollgate::{Capacity, Clock, Engine, ManualClock, Nanos, Region, Snapshot};

use crate::scene::{self, DAY, T0};

/// As a region is aligned, which is allocated as exactly what it has: one byte beyond is AddressSanitizer's.
#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line([u128; 4]);

/// A region that two engines lived in, and the words of it that are not 0, with their places.
struct Template {
    lines: Vec<Line>,
    used: Vec<(usize, u128)>,
}

/// The word that holds the seed of the hashes. What stands there is not formatted.
const SEED: usize = 3;

/// See the module's comment.
pub fn run(bytes: &[u8]) {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    let template = TEMPLATE.get_or_init(template);
    let mut memory = template.lines.clone();
    // The end of the bytes is the end of the steps.
    let _ = steps(&mut Unstructured::new(bytes), &mut memory, template);
}

fn capacity() -> Capacity {
    Capacity::new().cells(60).lines(120)
}

fn start(memory: &mut [Line]) -> NonNull<u8> {
    NonNull::from(memory).cast()
}

fn attach(start: NonNull<u8>, bytes: usize) -> std::result::Result<Engine, tollgate::ApplyError> {
    // SAFETY: memory of that size that outlives the engine. That nobody else changes it is what is not kept here.
    let region = unsafe { Region::from_raw(start, bytes) }?;
    let clock = Clock::Manual(ManualClock::at(Nanos::new(T0)));
    Engine::attach(region).capacity(capacity()).changes(scene::changes()).clock(clock).build()
}

fn template() -> Template {
    let bytes = capacity().region_bytes() as usize;
    let mut lines = vec![Line([0; 4]); bytes.div_ceil(64)];
    // The same in every process, so that the same bytes always hit the same state.
    lines[SEED / 4].0[SEED % 4] = 0x5eed_5eed_5eed_5eed_5eed_5eed | 1;
    let start = start(&mut lines);
    for _ in 0..2 {
        let engine = attach(start, bytes).expect("a fresh region");
        scene::traffic(&engine);
    }
    let words = lines.iter().flat_map(|line| line.0).enumerate();
    let used = words.filter(|&(_, word)| word != 0).collect();
    Template { lines, used }
}

fn steps(bytes: &mut Unstructured<'_>, memory: &mut [Line], template: &Template) -> Result<()> {
    let (start, size) = (start(memory), size_of_val(memory));
    for _ in 0..bytes.arbitrary::<u8>()? % 32 {
        blow(bytes, start, size, template)?;
    }
    let Ok(engine) = attach(start, size) else { return Ok(()) };
    let mut other = None;
    // A decision that finds nothing but damage tries for some milliseconds.
    for _ in 0..24 {
        let (what, n) = (bytes.arbitrary::<u8>()?, bytes.arbitrary::<u8>()?);
        match what {
            0..96 => blow(bytes, start, size, template)?,
            96..100 => other = attach(start, size).ok(),
            100 => {
                let mut written = Vec::new();
                engine.write_snapshot(&mut written).expect("memory can be written to");
                Snapshot::read(&written).expect("what was written can be read");
            }
            _ => {
                let engine = other.as_ref().filter(|_| what % 2 == 0).unwrap_or(&engine);
                let now = T0 + u64::from(bytes.arbitrary::<u16>()?) * (DAY / 1_000);
                scene::ask(engine, what, n, Nanos::new(now));
            }
        }
    }
    Ok(())
}

/// Changes a word.
fn blow(bytes: &mut Unstructured<'_>, start: NonNull<u8>, size: usize, template: &Template) -> Result<()> {
    let (how, at) = (bytes.arbitrary::<u8>()?, usize::from(bytes.arbitrary::<u16>()?));
    let words = size / 16;
    let (place, _) = template.used[at % template.used.len()];
    let place = match how {
        0..200 => place,
        200..240 => place ^ 1,
        _ => at * (words / (1 << 16) + 1) + usize::from(how) % 16,
    };
    // SAFETY: a word of the region's, which this thread alone uses at this moment.
    let word = unsafe { start.cast::<u128>().add(place.min(words - 1)).as_ptr().as_mut() }.expect("not NULL");
    match how % 8 {
        0 => *word = bytes.arbitrary()?,
        1 => *word ^= 1 << (bytes.arbitrary::<u8>()? % 128),
        2 => *word = *word >> 64 << 64 | u128::from(bytes.arbitrary::<u64>()?),
        3 => *word = u128::from(*word as u64) | u128::from(bytes.arbitrary::<u64>()?) << 64,
        4 => *word = word.wrapping_add(bytes.arbitrary::<i8>()? as u128),
        5 => *word = word.wrapping_add((bytes.arbitrary::<i8>()? as u128) << 64),
        // What another word holds, or a mark of some record.
        6 => *word = template.used[usize::from(bytes.arbitrary::<u16>()?) % template.used.len()].1,
        _ => {
            let [entry, record, generation] = bytes.arbitrary::<[u8; 3]>()?.map(u128::from);
            *word = 1 << 127 | entry << 96 | record << 64 | generation;
        }
    }
    Ok(())
}
