//! What C programs hand over, made of bytes: structs that are mostly right, whose pointers are good, NULL, or off by one
//! where the header promises that this is noticed.

use std::any::Any;
use std::ffi::{c_char, c_void};
use std::mem::zeroed;
use std::ptr::{null, null_mut};

use arbitrary::{Result, Unstructured};
use tollgate_fuzz_abi::types::*;

use crate::SECRET;
use crate::scene::{PLANS, T0};

/// What may be said of a plan, a limit or a request.
const TEXTS: [&[u8]; 22] = [
    b"gold",
    b"free",
    b"acme",
    b"new",
    b"daily",
    b"monthly",
    b"throttle",
    b"pets/prod",
    b"GET /pets/7?x=1",
    b"GET /pets/*",
    b"* *",
    b"10/s",
    b"0.1/250ms",
    b"0/s",
    b"day",
    b"month",
    b"15m",
    b"forever",
    b"tokens",
    b"requests",
    b"Asia/Tokyo",
    b"\xff\xfe",
];

/// Ids of keys.
const IDS: [&[u8]; 5] = [b"acme-1", b"acme-2", b"acme-3", b"new-1", b"nobody"];

const JSON: &str = r#"{"plans":{"new":{"quotas":[{"limit":3,"per":"day"}],"pool":{"throttle":{"rate":"5/s","burst":9}}},"free":null},"subjects":{"new":{"plans":["new"],"keys":[{"id":"new-1","value":"hunter2-hunter2-hunter2-2"}]}}}"#;

/// Bytes of a call, and the memory that it lends: everything stays where it is until this is dropped.
pub(super) struct Pool<'a> {
    pub(super) bytes: Unstructured<'a>,
    lent: Vec<Box<dyn Any>>,
}

impl<'a> Pool<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Pool<'a> {
        Pool { bytes: Unstructured::new(bytes), lent: Vec::new() }
    }

    /// What was lent to a call that is over.
    pub(super) fn over(&mut self) {
        self.lent.clear();
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.bytes.arbitrary()
    }

    /// True once in so many times.
    pub(super) fn once_in(&mut self, times: u8) -> Result<bool> {
        Ok(self.u8()? % times == times - 1)
    }

    /// Mostly small, or near a bound.
    pub(super) fn number(&mut self) -> Result<u64> {
        Ok(match self.u8()? {
            small @ 0..200 => u64::from(small % 16),
            200..230 => self.bytes.arbitrary::<u16>()?.into(),
            230..240 => u64::MAX - u64::from(self.u8()?),
            240..250 => 1 << (self.u8()? % 64),
            _ => self.bytes.arbitrary()?,
        })
    }

    /// 0 is the engine's own.
    pub(super) fn instant(&mut self) -> Result<u64> {
        Ok(match self.u8()? {
            0..60 => 0,
            60..250 => T0 + u64::from(self.bytes.arbitrary::<u16>()?) * 1_000_000_000,
            _ => self.number()?,
        })
    }

    /// Where values lie until the call is over.
    pub(super) fn lend<T: 'static>(&mut self, values: Vec<T>) -> *mut T {
        let mut values: Box<Vec<T>> = Box::new(values);
        let start = values.as_mut_ptr();
        self.lent.push(values);
        start
    }

    /// A good pointer to a value, or now and then NULL or a misaligned one.
    pub(super) fn pointer<T: 'static>(&mut self, value: T) -> Result<*mut T> {
        let good = self.lend(vec![value]);
        Ok(match self.u8()? {
            254 => null_mut(),
            255 if align_of::<T>() > 1 => good.wrapping_byte_add(1),
            _ => good,
        })
    }

    /// A list of up to three, which may be none at all, or say more than memory can hold.
    fn list<T: 'static>(
        &mut self,
        mut make: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<(*const T, usize)> {
        let count = self.u8()?;
        match count {
            0..100 => Ok((null(), 0)),
            254 => Ok((null(), 1)),
            255 => Ok((self.lend(Vec::<T>::with_capacity(1)), usize::MAX)),
            _ => {
                let values = (0..count % 4).map(|_| make(self)).collect::<Result<Vec<T>>>()?;
                let count = values.len();
                Ok((self.lend(values), count))
            }
        }
    }

    fn lend_str(&mut self, bytes: &[u8]) -> Result<tollgate_str> {
        let data: *const c_void = self.lend(bytes.to_vec()).cast_const().cast();
        Ok(match self.u8()? {
            252 => tollgate_str { data: null(), len: bytes.len() },
            253 => tollgate_str { data, len: 0 },
            // More than any text may have: not a byte of it is read.
            254 => tollgate_str { data, len: usize::MAX },
            255 => tollgate_str { data, len: (1 << 30) + 1 },
            _ => tollgate_str { data, len: bytes.len() },
        })
    }

    /// A text, or none.
    pub(super) fn text(&mut self) -> Result<tollgate_str> {
        match self.u8()? {
            0..60 => Ok(tollgate_str { data: null(), len: 0 }),
            at @ 60..240 => self.lend_str(TEXTS[usize::from(at) % TEXTS.len()]),
            _ => {
                let length = usize::from(self.u8()? % 48);
                let bytes = self.bytes.bytes(length.min(self.bytes.len()))?;
                self.lend_str(bytes)
            }
        }
    }

    /// One of a few, so that calls meet.
    pub(super) fn one_of(&mut self, texts: &[&'static [u8]]) -> Result<tollgate_str> {
        match self.u8()? {
            at @ 0..240 => self.lend_str(texts[usize::from(at) % texts.len()]),
            _ => self.text(),
        }
    }

    pub(super) fn key_id(&mut self) -> Result<tollgate_str> {
        self.one_of(&IDS)
    }

    pub(super) fn subject(&mut self) -> Result<tollgate_str> {
        self.one_of(&[b"acme", b"new"])
    }

    pub(super) fn plan_name(&mut self) -> Result<tollgate_str> {
        self.one_of(&[b"gold", b"free", b"new"])
    }

    /// An API key, or an anonymous subject.
    pub(super) fn key(&mut self) -> Result<tollgate_str> {
        match self.u8()? {
            0..100 => self.lend_str(SECRET.as_bytes()),
            100..130 => self.lend_str(b"another key"),
            130..140 => self.lend_str(&[b'x'; 4097]),
            140..220 => {
                let visitor = self.u8()? % 4;
                self.lend_str(&[visitor])
            }
            _ => self.text(),
        }
    }

    /// The id of a request.
    pub(super) fn id(&mut self) -> Result<tollgate_str> {
        self.one_of(&[b"1", b"2", b"3", b"4"])
    }

    fn cost(&mut self) -> Result<tollgate_cost> {
        let unit = self.one_of(&[b"requests", b"tokens"])?;
        Ok(tollgate_cost { unit, amount: self.number()? })
    }

    pub(super) fn costs(&mut self) -> Result<(*const tollgate_cost, usize)> {
        self.list(Self::cost)
    }

    pub(super) fn request(&mut self, names: &[u32]) -> Result<tollgate_request> {
        let none = tollgate_str { data: null(), len: 0 };
        let flags = self.u8()?;
        let name = |pool: &mut Self| -> Result<u32> {
            let at = usize::from(pool.u8()?);
            Ok(if at < 200 { names.get(at % 8).copied().unwrap_or(0) } else { at as u32 })
        };
        let (plan, stage_name, route_name) = match flags & (TOLLGATE_ANONYMOUS | TOLLGATE_OR_ANONYMOUS) as u8
        {
            0 => (0, 0, 0),
            _ => (name(self)?, 0, if flags & 64 != 0 { name(self)? } else { 0 }),
        };
        let (costs, n_costs) = if flags & 128 != 0 { self.costs()? } else { (null(), 0) };
        Ok(tollgate_request {
            key: self.key()?,
            stage: if flags & 32 != 0 { self.one_of(&[b"pets/prod"])? } else { none },
            route: if flags & 16 != 0 { self.one_of(&[b"GET /pets/7", b"GET /x?y"])? } else { none },
            id: if flags & 2 != 0 || self.once_in(4)? { self.id()? } else { none },
            costs,
            n_costs,
            cost: self.number()?,
            ttl_ns: self.number()?,
            now_ns: self.instant()?,
            stage_name,
            route_name,
            plan,
            flags: if self.once_in(32)? { u32::from(flags) } else { u32::from(flags & 15) },
            reserved: [0, 0, u64::from(self.once_in(64)?)],
        })
    }

    fn limit(&mut self) -> Result<tollgate_limit> {
        let kind = u32::from(self.u8()? % 5);
        // SAFETY: integers, and pointers that may be NULL.
        let mut limit: tollgate_limit = unsafe { zeroed() };
        limit.kind = kind;
        limit.scope = u32::from(self.u8()? % 3);
        limit.amount = self.number()?;
        limit.route = if self.once_in(3)? { self.one_of(&[b"GET /pets/*", b"* *"])? } else { limit.route };
        if kind != TOLLGATE_CONCURRENCY || self.once_in(16)? {
            limit.name = self.text()?;
            limit.unit = if self.once_in(3)? { self.text()? } else { limit.unit };
        }
        limit.rate = self.one_of(&[b"10/s", b"0.1/250ms", b"0/s", b"7/3m"])?;
        limit.delay_ns = self.number()?;
        limit.period = self.one_of(&[b"day", b"month", b"15m", b"forever", b"year"])?;
        limit.zone = if self.once_in(3)? { self.one_of(&[b"Asia/Tokyo", b"Mars/Base"])? } else { limit.zone };
        limit.start = self.number()?;
        limit.initial_debit = self.number()?;
        (limit.alerts, limit.n_alerts) = self.list(|pool| Ok(pool.number()? as u32))?;
        limit.lease_ns = self.number()?;
        limit.reserved[3] = self.once_in(64)?.into();
        Ok(limit)
    }

    fn plan(&mut self) -> Result<tollgate_plan> {
        let (stages, n_stages) = self.list(|pool| pool.one_of(&[b"pets/prod", b"orders/prod"]))?;
        let (limits, n_limits) = self.list(Self::limit)?;
        Ok(tollgate_plan {
            name: self.plan_name()?,
            stages,
            n_stages,
            limits,
            n_limits,
            flags: u32::from(self.u8()? % 3),
            reserved0: 0,
            reserved: [self.once_in(64)?.into(), 0, 0],
        })
    }

    pub(super) fn subject_key(&mut self) -> Result<tollgate_key> {
        const DIGEST: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789ABCDEF0123456789abcdef";
        let none = tollgate_str { data: null(), len: 0 };
        let form = self.u8()?;
        let keyed = [&b"p:"[..], DIGEST].concat();
        Ok(tollgate_key {
            id: self.key_id()?,
            value: if form % 8 < 5 { self.key()? } else { none },
            sha256: if form % 8 == 5 || form > 250 { self.lend_str(DIGEST)? } else { none },
            hmac: if form % 8 == 6 || form > 250 { self.lend_str(&keyed)? } else { none },
            expires: if form & 64 != 0 {
                self.one_of(&[b"2023-12-01T00:00:00Z", b"2027-06-01"])?
            } else {
                none
            },
            state: u32::from(self.u8()? % 4),
            reserved0: 0,
            reserved: [0, self.once_in(64)?.into(), 0],
        })
    }

    fn subject_of_changes(&mut self) -> Result<tollgate_subject> {
        let name = self.subject()?;
        let (plans, n_plans) = self.list(Self::plan_name)?;
        let (keys, n_keys) = self.list(Self::subject_key)?;
        Ok(tollgate_subject {
            name,
            plans,
            n_plans,
            keys,
            n_keys,
            reserved: [0, 0, self.once_in(64)?.into()],
        })
    }

    pub(super) fn changes(&mut self) -> Result<tollgate_changes> {
        // SAFETY: integers, and pointers that may be NULL.
        let mut changes: tollgate_changes = unsafe { zeroed() };
        changes.struct_size = self.struct_size::<tollgate_changes>()?;
        match self.u8()? {
            0..120 => changes.toml = self.lend_str(PLANS.as_bytes())?,
            120..160 => changes.json = self.lend_str(JSON.as_bytes())?,
            160..164 => changes.path = self.lend_str(b"/nonexistent/plans.toml")?,
            164..190 => {
                let mut text = PLANS.as_bytes().to_vec();
                let at = usize::from(self.bytes.arbitrary::<u16>()?) % text.len();
                text[at] = self.u8()?;
                changes.toml = self.lend_str(&text)?;
            }
            _ => {}
        }
        if self.once_in(16)? {
            changes.json = self.text()?;
        }
        (changes.plans, changes.n_plans) = self.list(Self::plan)?;
        (changes.subjects, changes.n_subjects) = self.list(Self::subject_of_changes)?;
        (changes.removed_plans, changes.n_removed_plans) = self.list(Self::plan_name)?;
        (changes.removed_subjects, changes.n_removed_subjects) = self.list(Self::subject)?;
        changes.flags = self.once_in(64)?.into();
        Ok(changes)
    }

    pub(super) fn pepper(&mut self) -> Result<tollgate_pepper> {
        let secret = if self.once_in(8)? { self.text()? } else { self.lend_str(&[7; 16])? };
        Ok(tollgate_pepper {
            name: self.one_of(&[b"p", b"q"])?,
            secret,
            reserved: [0, self.once_in(64)?.into()],
        })
    }

    /// Everything but the region and the snapshot.
    pub(super) fn config(&mut self) -> Result<tollgate_config> {
        // SAFETY: integers, pointers and functions that may be NULL.
        let mut config: tollgate_config = unsafe { zeroed() };
        config.struct_size = self.struct_size::<tollgate_config>()?;
        config.flags = u32::from(self.u8()? % 32);
        config.max_cells = 60;
        config.max_lines = 120;
        if self.once_in(8)? && config.flags & TOLLGATE_CONFIG_TOUCHED == 0 {
            // Memory is reserved for as much as is asked for: 400 MB where nothing is.
            (config.max_cells, config.max_lines) = (self.number()? % 50_000, self.number()? % 50_000);
        }
        config.max_ids = self.number()?;
        // Room for them is taken at once: few, or more than can be.
        config.max_alerts = if self.once_in(64)? { 1 << 25 } else { self.u8()?.into() };
        config.max_names = u32::from(self.u8()?) << (self.u8()? % 12);
        config.when_full = u32::from(self.u8()? % 4);
        (config.peppers, config.n_peppers) = self.list(Self::pepper)?;
        config.key_prefix = if self.once_in(4)? { self.text()? } else { config.key_prefix };
        config.start_ns = if self.once_in(8)? { self.number()? } else { T0 };
        Ok(config)
    }

    /// Mostly right.
    pub(super) fn struct_size<T>(&mut self) -> Result<u32> {
        Ok(match self.u8()? {
            // The memory has no more than the struct.
            255 => u32::from(self.u8()?) % (size_of::<T>() as u32 + 1),
            254 => u32::MAX,
            _ => size_of::<T>() as u32,
        })
    }

    /// Room for a text, and how much there is.
    pub(super) fn buffer(&mut self) -> Result<tollgate_buf> {
        let cap = match self.u8()? {
            0..30 => {
                return Ok(tollgate_buf { data: null_mut(), cap: usize::from(self.once_in(8)?), len: 7 });
            }
            small @ 30..60 => usize::from(small - 30),
            255 => {
                return Ok(tollgate_buf { data: self.lend(vec![7 as c_char; 8]), cap: usize::MAX, len: 7 });
            }
            _ => 4_096,
        };
        Ok(tollgate_buf { data: self.lend(vec![7 as c_char; cap]), cap, len: 7 })
    }
}
