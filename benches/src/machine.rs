//! Where a report was measured.

use std::fs;
use std::num::NonZeroUsize;

use serde::Serialize;

use crate::memory;

/// The machine, as far as the system says.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// The kernel's version.
    pub kernel: String,
    /// The compiler of this program.
    pub rustc: &'static str,
    /// Runnable tasks, on average over the last minute, before anything was measured: 0 on a quiet machine.
    pub load: Option<f64>,
}

impl Machine {
    /// This one, now.
    pub fn here() -> Machine {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map_or("unknown", |value| value.trim_start_matches([' ', '\t', ':']));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Machine {
            processor: format!("{processor}, {}", std::env::consts::ARCH),
            cores: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            memory: memory::total(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or("unknown".to_owned(), |text| text.trim().to_owned()),
            rustc: env!("VERSION_RUSTC"),
            load: load.split(' ').next().and_then(|load| load.parse().ok()),
        }
    }

    /// In one line.
    pub fn line(&self) -> String {
        let memory = self.memory.map_or(String::new(), |bytes| format!(", {} GiB", bytes >> 30));
        let load = self.load.map_or(String::new(), |load| format!("; load before {load}"));
        let Machine { processor, cores, kernel, rustc, .. } = self;
        format!("{processor}, {cores} cores{memory}, kernel {kernel}, {rustc}{load}")
    }
}
