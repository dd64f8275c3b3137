//! What creating a job and creating an estimate have in common: both are work for a customer who exists.

use serde_json::{Value, json};

use crate::{
    answer::Fields,
    dates::parse_day,
    server::{
        call::Call,
        create::Outcome,
        lookup::{self, Technician},
        tool_error::{ToolError, date_argument},
    },
    service_fusion::{query::ListQuery, record::Record, reference::List},
};

/// The customer, as read before the order is sent.
pub struct Customer {
    pub id: i64,
    pub name: String,
}

impl Customer {
    pub async fn read(call: &Call, id: i64) -> Result<Self, ToolError> {
        let record = lookup::customer(call, id, &[]).await?;
        let name = record.text("customer_name").unwrap_or_default();
        Ok(Self { id, name })
    }

    /// The newest orders of `query` with that description: one of them may be the one whose answer was lost.
    pub async fn newest(
        &self,
        call: &Call,
        query: ListQuery,
        description: &str,
        row: impl Fn(&Record) -> Fields,
    ) -> Result<Vec<Value>, ToolError> {
        let query = query.filter("customer_name", self.name.as_str());
        let found = call.walk(query).take(20, None).await?;
        Ok(found
            .rows
            .iter()
            .filter(|(row, _)| row.id("customer_id") == Some(self.id))
            .filter(|(row, _)| row.text("description").unwrap_or_default() == description.trim())
            .take(5)
            .map(|(record, _)| row(record).into())
            .collect())
    }

    /// What became of an order; `what` is `job` or `estimate`.
    pub fn answer(self, outcome: Outcome, what: &str, row: impl Fn(&Record) -> Fields) -> Fields {
        match outcome {
            Outcome::DryRun(shown) => shown.with("customer", self.name),
            Outcome::Created(record) => {
                let mut answer = Fields::new().with("created", true);
                answer.0.extend(row(&record).0);
                match record.id("customer_id") {
                    Some(other) if other != self.id => answer.with(
                        "warning",
                        format!(
                            "Service Fusion filed this {what} under customer {other} instead of {}; tell the user to correct it there",
                            self.id
                        ),
                    ),
                    _ => answer,
                }
            }
            Outcome::Repeated(record) => row(&record).with(
                "repeated",
                format!("the same {what} was created in the last ten minutes; this is that one, nothing new was made"),
            ),
        }
    }
}

/// What a job and an estimate say alike, each checked against the company's own lists.
pub struct Common<'a> {
    pub category: Option<&'a str>,
    pub status: Option<&'a str>,
    pub technicians: &'a [String],
    pub date: Option<&'a str>,
}

/// The same, as Service Fusion takes it.
pub struct Checked {
    pub category: Option<String>,
    pub status: Option<String>,
    pub technicians: Vec<Technician>,
    pub date: Option<jiff::civil::Date>,
}

impl Checked {
    /// The technicians as Service Fusion takes them.
    pub fn assigned(&self) -> Vec<Value> {
        let technicians = self.technicians.iter();
        technicians.map(|one| json!({"id": one.id})).collect()
    }
}

impl Common<'_> {
    pub async fn check(self, call: &Call) -> Result<Checked, ToolError> {
        let category = match self.category {
            Some(said) => {
                Some(lookup::reference_name(call, List::JobCategories, "category", said).await?)
            }
            None => None,
        };
        let status = match self.status {
            Some(said) => lookup::statuses(call, "status", &[said.to_owned()])
                .await?
                .into_iter()
                .next(),
            None => None,
        };
        let mut technicians = Vec::new();
        for said in self.technicians {
            technicians.push(lookup::technician(call, "technicians", said).await?);
        }
        let date = self
            .date
            .map(|text| parse_day(text, call.today()))
            .transpose()
            .map_err(date_argument("date"))?;
        Ok(Checked {
            category,
            status,
            technicians,
            date,
        })
    }
}
