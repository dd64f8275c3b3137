//! What a job's or an estimate's status means, although every account names its own.

use crate::service_fusion::record::Record;

/// How far the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody has set out yet.
    Waiting,
    /// A technician is on the way.
    Travelling,
    /// A technician is there, or has been and the work is not finished.
    Started,
    /// On hold: parts, a decision, a callback.
    Paused,
    /// The work is done; money may be open.
    Done,
    /// Cancelled, lost or void.
    Dropped,
}

impl Stage {
    /// Reads a status by its name. Accounts add names of their own, so this goes by the words in them.
    pub fn of(status: &str) -> Self {
        let name = status.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        // What is denied comes first: "incomplete" holds "complete".
        if has(&["not started", "unstarted"]) {
            Self::Waiting
        } else if has(&[
            "incomplete",
            "not complete",
            "uncompleted",
            "not finished",
            "unfinished",
        ]) {
            Self::Paused
        } else if has(&[
            "unpaid",
            "not paid",
            "not invoiced",
            "uninvoiced",
            "unbilled",
            "not billed",
        ]) {
            Self::Done
        } else if has(&["cancel", "void", "lost", "declined", "rejected", "dead"]) {
            Self::Dropped
        } else if has(&[
            "partial", "hold", "waiting", "parts", "paused", "delayed", "pending",
        ]) {
            Self::Paused
        } else if has(&[
            "complete", "closed", "invoice", "paid", "done", "finished", "won", "accepted",
            "billed",
        ]) {
            Self::Done
        } else if has(&["way", "route", "travel", "driving"]) {
            Self::Travelling
        } else if has(&[
            "on site", "onsite", "started", "progress", "working", "arrived", "resumed",
        ]) {
            Self::Started
        } else {
            Self::Waiting
        }
    }

    /// Whether work is still to be done.
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Done | Self::Dropped)
    }
}

/// One of the account's statuses.
#[derive(Clone, Debug)]
pub struct Status {
    pub id: i64,
    pub name: String,
    pub category: String,
}

impl Status {
    pub fn new(record: &Record) -> Option<Self> {
        Some(Self {
            id: record.id("id").unwrap_or_default(),
            name: record.text("name")?,
            category: record.text("category").unwrap_or_default(),
        })
    }

    /// Whether jobs and estimates in it still wait for something to be done.
    ///
    /// Only `OPEN_ACTIVE` has been seen for certain, so a category decides where it speaks and the name elsewhere.
    pub fn is_open(&self) -> bool {
        let category = self.category.to_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| category.contains(word));
        if has(&["CLOSED", "CANCEL", "WON", "LOST"]) {
            return false;
        }
        // Completed work is not open work, whatever group the account files it under.
        let open_group = has(&["OPEN"]) && !has(&["COMPLETE"]);
        Stage::of(&self.name).is_open() || (open_group && Stage::of(&self.name) != Stage::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_understood() {
        for (name, stage) in [
            ("Unscheduled", Stage::Waiting),
            ("Scheduled", Stage::Waiting),
            ("Dispatched", Stage::Waiting),
            ("On The Way", Stage::Travelling),
            ("On Site", Stage::Started),
            ("Started", Stage::Started),
            ("Partially Completed", Stage::Paused),
            ("Waiting for Parts", Stage::Paused),
            ("Completed", Stage::Done),
            ("To Be Invoiced", Stage::Done),
            ("Paid in Full", Stage::Done),
            ("Cancelled", Stage::Dropped),
            ("Estimate Lost", Stage::Dropped),
            ("Estimate Won", Stage::Done),
            ("Estimate Sent", Stage::Waiting),
            ("Incomplete", Stage::Paused),
            ("Not Started", Stage::Waiting),
            ("Unpaid", Stage::Done),
        ] {
            assert_eq!(Stage::of(name), stage, "{name}");
        }
    }
}
