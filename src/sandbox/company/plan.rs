//! A job before it is written down: who, where, when and in what state.

use jiff::civil::{Date, DateTime};
use serde_json::{Map, Value};

use crate::sandbox::company::catalogue::Work;
use crate::sandbox::company::setting::at_minute;

pub(crate) struct Plan {
    pub(crate) created: DateTime,
    pub(crate) start: Option<Date>,
    /// Minutes of the day between which the customer was promised a visit.
    pub(crate) window: Option<(i64, i64)>,
    pub(crate) status: &'static str,
    pub(crate) work: &'static Work,
    /// Position in the list of customers, and of its location.
    pub(crate) customer: usize,
    pub(crate) location: usize,
    /// Positions in the list of technicians.
    pub(crate) techs: Vec<usize>,
    pub(crate) returns: Vec<Return>,
    /// Values that replace the ordinary ones.
    pub(crate) instead: Map<String, Value>,
}

/// A later visit, which shows nowhere but in the job's visits.
pub(crate) struct Return {
    pub(crate) date: Date,
    pub(crate) window: (i64, i64),
    pub(crate) tech: usize,
    pub(crate) note: &'static str,
}

impl Plan {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.status, "Completed" | "To Be Invoiced" | "Job Closed") || self.is_billed()
    }

    pub(crate) fn is_billed(&self) -> bool {
        matches!(self.status, "Invoiced" | "Paid in Full")
    }

    pub(crate) fn is_paid(&self) -> bool {
        self.status == "Paid in Full"
    }

    /// When the promised window of the first visit ended.
    pub(crate) fn finished(&self) -> DateTime {
        self.start
            .zip(self.window)
            .map_or(self.created, |(date, (_, end))| at_minute(date, end))
    }

    pub(crate) fn minutes(&self) -> i64 {
        self.window.map_or(60, |(start, end)| (end - start).max(30))
    }
}
