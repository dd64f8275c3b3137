//! How an estimate is shown.

use jiff::civil::Date;

use crate::{
    answer::{Fields, excerpt, job},
    clock::Clock,
    service_fusion::record::Record,
};

/// Fields a list of estimates asks the API for.
pub const ROW_FIELDS: &[&str] = &[
    "id",
    "number",
    "description",
    "total",
    "start_date",
    "created_at",
    "updated_at",
    "customer_id",
    "customer_name",
    "status",
    "street_1",
    "city",
    "category",
    "opportunity_rating",
    "opportunity_owner",
];

/// The day an estimate's age counts from.
pub fn written(estimate: &Record) -> Option<Date> {
    estimate
        .date("created_at")
        .or_else(|| estimate.date("start_date"))
}

/// One line about an estimate.
pub fn row(estimate: &Record, today: Date) -> Fields {
    let written = written(estimate);
    Fields::new()
        .with("estimate_id", estimate.id("id"))
        .with("number", estimate.text("number"))
        .with("status", estimate.text("status"))
        .with("customer", estimate.text("customer_name"))
        .with("customer_id", estimate.id("customer_id"))
        .with("total", estimate.amount("total"))
        .with("written", written.map(|date| date.to_string()))
        .with(
            "age_days",
            written.map(|date| Clock::days_between(date, today)),
        )
        .with("address", job::short_address(estimate))
        .with("category", estimate.text("category"))
        .with("rating", estimate.amount("opportunity_rating"))
        .with("owner", estimate.text("opportunity_owner"))
        .with(
            "description",
            estimate.text("description").map(|text| excerpt(&text, 60)),
        )
}
