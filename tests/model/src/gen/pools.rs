//! The pools that scenarios draw from.

pub(super) const PLANS: [&str; 3] = ["gold", "silver", "free"];
pub(super) const SUBJECTS: [&str; 3] = ["acme", "bob", "carol"];
pub(super) const STAGES: [&str; 3] = ["pets/prod", "pets/dev", "orders/prod"];
pub(super) const UNITS: [&str; 2] = ["tokens", "requests"];
/// How many API keys there are; key `j` has the value `k<j>` and mostly the id `i<j>`.
pub(super) const KEYS: usize = 6;

/// All have a numerator of at most 64 in tokens per nanosecond, in lowest terms.
pub(super) const RATES: [&str; 22] = [
    "10/s",
    "3/s",
    "7/s",
    "1/s",
    "2/s",
    "600/m",
    "0.1/s",
    "5/m",
    "3/250ms",
    "1000/s",
    "3000000/s",
    "0/s",
    "64/ns",
    "1/ns",
    "61/s",
    "1.5/s",
    "1/h",
    "2/d",
    "13/7s",
    "33/us",
    "0.25/100ms",
    "7/m",
];
pub(super) const BURSTS: [u64; 12] = [1, 2, 3, 5, 10, 64, 100, 1000, 2000, 1_000_000, 5_000_000_000, 1 << 40];
pub(super) const LIMITS: [u64; 10] = [0, 1, 2, 3, 5, 8, 20, 1000, 1_000_000, 1_000_000_000_000];
pub(super) const DELAYS: [&str; 7] = ["0s", "1ns", "300ms", "2s", "90s", "2h", "333333333ns"];
pub(super) const SLOTS: [u64; 8] = [1, 1, 2, 2, 3, 5, 0, 1000];
pub(super) const LEASES: [&str; 7] = ["1s", "10s", "10s", "90s", "2h", "1ns", "333333333ns"];
pub(super) const TTLS: [&str; 8] = ["1s", "10s", "10s", "60s", "2h", "1ns", "0s", "30d"];
pub(super) const FIXED: [&str; 10] =
    ["second", "minute", "hour", "15m", "90s", "250ms", "7h", "1d", "36h", "forever"];
pub(super) const ZONES: [&str; 11] = [
    "America/St_Johns",
    "Pacific/Apia",
    "Africa/Cairo",
    "Asia/Tokyo",
    "America/Havana",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "UTC",
    "Pacific/Auckland",
];
pub(super) const PATTERNS: [&str; 12] = [
    "GET /pets",
    "* /pets",
    "GET /pets/*",
    "* /pets/cats/*",
    "GET *",
    "* *",
    "* /*",
    "pets/prod GET /pets",
    "pets/prod * /pets/*",
    "pets/dev * *",
    "orders/prod GET *",
    "POST /pets",
];
pub(super) const ROUTES: [&str; 9] = [
    "GET /pets",
    "GET /pets?page=2",
    "GET /pets/",
    "GET /pets/7",
    "POST /pets",
    "PUT /pets/cats/1",
    "GET /",
    "DELETE /orders",
    "GET /pets/cats/?*",
];
