//! Creating a record exactly once.

use serde_json::{Map, Value, json};

use crate::{
    answer::Fields,
    server::{call::Call, tool_error::ToolError},
    service_fusion::{
        error::Error,
        journal::{CreateDigest, Known},
        query::{self, Resource},
        record::Record,
    },
};

/// A record that is ready to be sent.
#[derive(Debug)]
pub struct Draft {
    pub resource: &'static Resource,
    pub body: Map<String, Value>,
    /// Sends it even though the same was created in the last ten minutes.
    pub again: bool,
    pub dry_run: bool,
}

/// What became of a draft.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing was sent; this is what would be.
    DryRun(Fields),
    Created(Record),
    /// The same create made this record within the last ten minutes.
    Repeated(Record),
}

impl Draft {
    /// The record that the same create made within the last ten minutes, before anything is sent.
    pub async fn earlier<F>(&self, call: &Call, find: F) -> Result<Option<Record>, ToolError>
    where
        F: AsyncFnOnce() -> Result<Vec<Value>, ToolError>,
    {
        if self.dry_run {
            return Ok(None);
        }
        let journal = &call.company().journal;
        let known = journal.look(&self.digest(&self.text())).await;
        match known.map_err(|problem| journal_failed(&problem))? {
            Known::New => Ok(None),
            Known::Made(id) => Ok(Some(self.read_back(call, id).await)),
            Known::Unknown { seconds_ago } => Err(sent_before(seconds_ago, find().await)),
        }
    }

    /// Creates the record, or explains why it is not known whether it exists. `find` looks for it then.
    pub async fn submit<F>(self, call: &Call, find: F) -> Result<Outcome, ToolError>
    where
        F: AsyncFnOnce() -> Result<Vec<Value>, ToolError>,
    {
        if self.dry_run {
            let body = Value::Object(self.body);
            let shown = Fields::new().with("dry_run", true).with(
                "would_send",
                json!({"method": "POST", "path": format!("/v1/{}", self.resource.path), "body": body}),
            );
            return Ok(Outcome::DryRun(shown));
        }
        let text = self.text();
        let digest = self.digest(&text);
        let journal = &call.company().journal;
        match journal
            .begin(&digest)
            .await
            .map_err(|problem| journal_failed(&problem))?
        {
            Known::Made(id) => return Ok(Outcome::Repeated(self.read_back(call, id).await)),
            Known::Unknown { seconds_ago } => {
                return Err(sent_before(seconds_ago, find().await));
            }
            Known::New => {}
        }
        match call
            .client()
            .post(self.resource.path, text, &call.patience)
            .await
        {
            Ok(answer) => {
                let record = Record::new(answer);
                let Some(id) = record.id("id") else {
                    return Err(unknown(
                        "Service Fusion's answer did not name the new record",
                        find().await,
                    ));
                };
                if let Err(problem) = journal.made(&digest, id).await {
                    tracing::warn!(%problem, "a create could not be noted; an equal one would not be recognized");
                }
                Ok(Outcome::Created(record))
            }
            Err(problem @ Error::UnknownOutcome { .. }) => {
                Err(unknown(&problem.to_string(), find().await))
            }
            Err(problem) => {
                if let Err(problem) = journal.forget(&digest).await {
                    tracing::warn!(%problem, "a refused create could not be taken off the journal");
                }
                Err(problem.into())
            }
        }
    }

    fn text(&self) -> String {
        Value::Object(self.body.clone()).to_string()
    }

    /// A record that is meant to be made again is another create than the first one.
    fn digest(&self, text: &str) -> CreateDigest {
        let mark = if self.again { "!" } else { "" };
        CreateDigest::new(&format!("{}{mark}", self.resource.path), text)
    }

    /// The earlier record as it is now; its id alone where it cannot be read.
    async fn read_back(&self, call: &Call, id: i64) -> Record {
        let path = query::one(self.resource, id, &[]);
        let read = call.client().get(&path, &call.patience).await;
        read.map_or_else(|_| Record::new(json!({"id": id})), Record::new)
    }
}

fn journal_failed(problem: &crate::database::Error) -> ToolError {
    ToolError::other(
        "journal_failed",
        format!(
            "nothing was sent, because the note that protects against duplicates could not be written ({problem}); \
             free some space or mend the file's permissions, then try again"
        ),
    )
}

fn sent_before(seconds_ago: i64, found: Result<Vec<Value>, ToolError>) -> ToolError {
    let reason =
        format!("the same record was sent {seconds_ago} s ago and its outcome is not known");
    unknown(&reason, found)
}

fn unknown(reason: &str, found: Result<Vec<Value>, ToolError>) -> ToolError {
    let (message, details) = match found {
        Ok(rows) if rows.is_empty() => (
            format!(
                "{reason}. A search finds no such record yet. Do not send it again before looking once more, \
                 in Service Fusion or with a search in a minute"
            ),
            json!({"found": []}),
        ),
        Ok(rows) => {
            let count = rows.len();
            (
                format!(
                    "{reason}. A search finds {count} that may be it (see details.found); do not send it again unless none of them is"
                ),
                json!({"found": rows}),
            )
        }
        Err(problem) => (
            format!(
                "{reason}. The search for it failed too: {problem} Look for it in Service Fusion before sending it again"
            ),
            json!({}),
        ),
    };
    // The candidates stand in the text as well: some clients show no more.
    let listed = details["found"].as_array().map_or(String::new(), |rows| {
        rows.iter()
            .take(5)
            .fold(String::new(), |text, row| format!("{text}\n{row}"))
    });
    ToolError::other("unknown_outcome", format!("{message}.{listed}")).with_details(details)
}
