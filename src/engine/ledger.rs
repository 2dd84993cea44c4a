//! How a directory goes on: by itself in a process's own memory, by the region's list of events in memory that is shared.

use super::decide::ATTEMPTS;
use super::owners::Owners;
use crate::plan::{Directory, Event, Ledger, TooMany};
use crate::store::{Appended, Store};
use crate::sync::spin_loop;

pub(super) struct Private<'a> {
    pub directory: &'a mut Directory,
    pub owners: &'a Owners,
    /// Events that there is room for.
    pub most: u64,
}

impl Ledger for Private<'_> {
    fn directory(&self) -> &Directory {
        self.directory
    }

    fn record(&mut self, event: &Event) -> Result<(), TooMany> {
        if self.directory.events() >= self.most {
            return Err(TooMany::Events);
        }
        self.directory.apply(Some(event))
    }

    fn keeps(&self) -> bool {
        false
    }

    fn identity(&self, parts: &[&str]) -> u128 {
        self.owners.identity(parts)
    }
}

pub(super) struct Shared<'a> {
    pub directory: &'a mut Directory,
    pub owners: &'a Owners,
    pub store: &'a Store,
    /// Whether what is there stays as it is.
    pub keeps: bool,
}

impl Ledger for Shared<'_> {
    fn directory(&self) -> &Directory {
        self.directory
    }

    fn record(&mut self, event: &Event) -> Result<(), TooMany> {
        let mut next = self.directory.clone();
        // Whether there is room shows before anybody else sees the event.
        next.apply(Some(event))?;
        let words = event.words().ok_or(TooMany::Events)?;
        // Arithmetic has to go on.
        let must = matches!(event, Event::Base { .. });
        for _ in 0..ATTEMPTS {
            match self.store.append(self.directory.events(), words, must) {
                Appended::Done => {
                    *self.directory = next;
                    return Ok(());
                }
                Appended::Taken if catch_up(self.directory, self.store) => return Ok(()),
                // Another was at one of the words.
                Appended::Taken => spin_loop(),
                Appended::Full => break,
            }
        }
        Err(TooMany::Events)
    }

    fn keeps(&self) -> bool {
        self.keeps
    }

    fn identity(&self, parts: &[&str]) -> u128 {
        self.owners.identity(parts)
    }
}

/// Lets `directory` go on by the events that other processes recorded; whether there were any.
pub(super) fn catch_up(directory: &mut Directory, store: &Store) -> bool {
    let before = directory.events();
    while let Some(words) = store.event(directory.events()) {
        // What there is no room for changes nothing, in any process.
        let _ = directory.apply(Event::of(words).as_ref());
    }
    directory.events() != before
}
