//! How the parts of a job, an estimate or a customer are shown: lines, visits, notes, equipment, money.
//!
//! What could be misused stays out: payment tokens, card digits, and links that open without a sign-in.

use jiff::civil::Date;

use crate::{
    answer::{Fields, job},
    clock::Clock,
    service_fusion::record::Record,
};

/// Product, service and other charge lines, in that order.
pub fn lines(record: &Record) -> Vec<Fields> {
    let line = |kind: &'static str, line: &Record| {
        Fields::new()
            .with("kind", kind)
            .with("name", line.text("name").or_else(|| line.text(kind)))
            .with("description", line.text("description"))
            .with("quantity", line.amount("multiplier"))
            .with("rate", line.amount("rate"))
            .with("total", line.amount("total"))
            .with("tax", line.text("tax"))
            .with_flag("is_discount", line.flag("is_discount"))
            .with_flag("is_percentage", line.flag("is_percentage"))
    };
    let kinds = [
        ("service", "services"),
        ("product", "products"),
        ("charge", "other_charges"),
    ];
    kinds
        .iter()
        .flat_map(|(kind, list)| {
            record
                .list(list)
                .iter()
                .map(|row| line(kind, row))
                .collect::<Vec<_>>()
        })
        .collect()
}

pub fn visits(record: &Record) -> Vec<Fields> {
    record
        .list("visits")
        .iter()
        .map(|visit| {
            let technicians: Vec<String> = visit
                .list("techs_assigned")
                .iter()
                .filter_map(|technician| {
                    let name = technician.name("first_name", "last_name")?;
                    Some(match technician.text("status") {
                        Some(status) => format!("{name} ({status})"),
                        None => name,
                    })
                })
                .collect();
            Fields::new()
                .with("date", job::day(visit, "start_date"))
                .with("time", job::time_window(visit))
                .with("technicians", technicians)
                .with("notes_for_techs", visit.text("notes_for_techs"))
        })
        .collect()
}

pub fn tasks(record: &Record) -> Vec<Fields> {
    record
        .list("tasks")
        .iter()
        .map(|task| {
            Fields::new()
                .with("description", task.text("description"))
                .with("type", task.text("type"))
                .with("date", job::day(task, "start_date"))
                .with("is_completed", task.flag("is_completed"))
        })
        .collect()
}

pub fn notes(record: &Record) -> Vec<Fields> {
    record
        .list("notes")
        .iter()
        .map(|note| {
            Fields::new()
                .with("written", job::moment(note, "created_at"))
                .with("text", note.text("notes"))
        })
        .filter(|note| note.0.contains_key("text"))
        .collect()
}

pub fn custom_fields(record: &Record) -> Fields {
    let mut fields = Fields::new();
    for field in record.list("custom_fields") {
        if let (Some(name), Some(value)) = (field.text("name"), field.get("value")) {
            fields.put(&name, value.clone());
        }
    }
    fields
}

/// Labor, expenses and payments; blank expense rows are left out.
pub fn money(record: &Record) -> Vec<(&'static str, Vec<Fields>)> {
    let labor = record
        .list("labor_charges")
        .iter()
        .map(|labor| {
            Fields::new()
                .with("who", labor.text("user"))
                .with("date", job::day(labor, "labor_date"))
                .with("labor_minutes", labor.amount("labor_time"))
                .with("drive_minutes", labor.amount("drive_time"))
                .with("total", labor.amount("total"))
        })
        .collect();
    let expenses = record
        .list("expenses")
        .iter()
        .filter(|expense| {
            expense.number("amount").unwrap_or(0.0) != 0.0
                || expense.text("purchased_from").is_some()
        })
        .map(|expense| {
            Fields::new()
                .with("from", expense.text("purchased_from"))
                .with("category", expense.text("category"))
                .with("amount", expense.amount("amount"))
                .with("date", job::day(expense, "date"))
                .with_flag("is_billable", expense.flag("is_billable"))
        })
        .collect();
    let payments = record
        .list("payments")
        .iter()
        .map(|payment| {
            // The card's digits stand behind its brand; only the brand is shown.
            let kind = payment.text("type").map(|kind| {
                let brand: Vec<&str> = kind
                    .split_whitespace()
                    .filter(|word| !is_masked(word))
                    .collect();
                brand.join(" ")
            });
            Fields::new()
                .with("amount", payment.amount("amount"))
                .with("type", kind)
                .with("received", job::day(payment, "received_on"))
                .with("memo", payment.text("memo"))
        })
        .collect();
    vec![
        ("labor", labor),
        ("expenses", expenses),
        ("payments", payments),
    ]
}

/// Card digits, masked in whatever way.
fn is_masked(word: &str) -> bool {
    word.contains(|c: char| c.is_ascii_digit() || c == '*')
        || word.chars().all(|c| matches!(c, 'X' | 'x' | '-' | '•'))
}

/// One invoice. The pay-online link is left out: whoever holds it can open the invoice.
pub fn invoice(invoice: &Record, today: Date) -> Fields {
    let date = invoice.date("date");
    let paid = invoice.flag("is_paid");
    Fields::new()
        .with("invoice_id", invoice.id("id"))
        .with("number", invoice.text("number"))
        .with("customer", invoice.text("customer"))
        .with("date", date.map(|date| date.to_string()))
        .with("total", invoice.amount("total"))
        .with(
            "currency",
            invoice.text("currency").filter(|symbol| symbol != "$"),
        )
        .with("is_paid", paid)
        .with(
            "days_open",
            date.filter(|_| !paid)
                .map(|date| Clock::days_between(date, today)),
        )
        .with("po_number", invoice.text("po_number"))
        .with(
            "terms",
            invoice
                .text("payment_terms")
                .or_else(|| invoice.text("terms")),
        )
}

/// Whether a warranty still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warranty {
    Valid,
    EndsSoon,
    Expired,
    Unknown,
}

impl Warranty {
    /// A warranty that ends within 60 days is worth a word.
    const SOON: i64 = 60;

    pub fn of(unit: &Record, today: Date) -> Self {
        match Self::last_day(unit) {
            None => Self::Unknown,
            Some(day) if day < today => Self::Expired,
            Some(day) if Clock::days_between(today, day) <= Self::SOON => Self::EndsSoon,
            Some(_) => Self::Valid,
        }
    }

    /// The later of the maker's and the extended warranty.
    fn last_day(unit: &Record) -> Option<Date> {
        unit.date("warranty_date")
            .max(unit.date("extended_warranty_date"))
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::EndsSoon => "ends_soon",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }
}

/// One unit of equipment with the state of its warranty.
pub fn equipment(unit: &Record, today: Date) -> Fields {
    Fields::new()
        .with("equipment_id", unit.id("id"))
        .with("type", unit.text("type"))
        .with("make", unit.text("make"))
        .with("model", unit.text("model"))
        .with("serial_number", unit.text("serial_number"))
        .with(
            "where",
            unit.text("customer_location")
                .or_else(|| unit.text("location")),
        )
        .with("installed", job::day(unit, "install_date"))
        .with("warranty", Warranty::of(unit, today).word())
        .with(
            "warranty_until",
            Warranty::last_day(unit).map(|day| day.to_string()),
        )
        .with("extended_by", unit.text("extended_warranty_provider"))
        .with("notes", unit.text("notes"))
}
