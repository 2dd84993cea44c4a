//! Writes the first inputs of each target into `fuzz/corpus`, for a corpus that is begun anew.

use std::fs;
use std::path::Path;

use tollgate_fuzz::{TARGETS, snapshot};

fn main() -> std::io::Result<()> {
    let bytes = |seed: u64, length: usize| -> Vec<u8> {
        let step = |n: &mut u64| {
            *n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            Some((*n >> 56) as u8)
        };
        let mut state = seed;
        std::iter::from_fn(|| step(&mut state)).take(length).collect()
    };
    for (name, _) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        fs::create_dir_all(&folder)?;
        let mut seeds: Vec<Vec<u8>> = match name {
            "plan_file" => tollgate_fuzz::plan_file::SEEDS.iter().map(|seed| seed.to_vec()).collect(),
            "trace_line" => tollgate_fuzz::trace_line::SEEDS.iter().map(|seed| seed.to_vec()).collect(),
            "import_csv" => tollgate_fuzz::import_csv::SEEDS.iter().map(|seed| seed.to_vec()).collect(),
            "snapshot" => vec![snapshot::example()],
            "region" => (0..32).map(|seed| bytes(seed, 100)).collect(),
            _ => (0..16).map(|seed| bytes(seed, 300)).collect(),
        };
        for (number, seed) in seeds.drain(..).enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
