//! The company's own lists: statuses, categories, sources, payment types and technicians, kept for some minutes.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use crate::{
    cache::Cached,
    service_fusion::{
        client::{Client, Patience},
        error::Error,
        query::{
            JOB_CATEGORIES, JOB_STATUSES, ListQuery, MAX_PER_PAGE, PAYMENT_TYPES, Resource,
            SOURCES, TECHS,
        },
        record::Record,
        status::Status,
    },
};

const KEPT: Duration = Duration::from_mins(10);

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    JobStatuses,
    JobCategories,
    Sources,
    PaymentTypes,
    Technicians,
}

impl List {
    pub const ALL: [List; 5] = [
        Self::JobStatuses,
        Self::JobCategories,
        Self::Sources,
        Self::PaymentTypes,
        Self::Technicians,
    ];

    /// Whether `path` asks for this list.
    pub(super) fn is_at(self, path: &str) -> bool {
        path.split('?').next() == Some(self.resource().path)
    }

    fn resource(self) -> &'static Resource {
        match self {
            Self::JobStatuses => &JOB_STATUSES,
            Self::JobCategories => &JOB_CATEGORIES,
            Self::Sources => &SOURCES,
            Self::PaymentTypes => &PAYMENT_TYPES,
            Self::Technicians => &TECHS,
        }
    }
}

/// The cached lists of one company.
#[derive(Debug)]
pub struct Reference {
    lists: [Cached<Vec<Record>>; 5],
}

impl Default for Reference {
    fn default() -> Self {
        Self {
            lists: std::array::from_fn(|_| Cached::new(KEPT)),
        }
    }
}

impl Reference {
    /// All records of a list.
    pub async fn list(
        &self,
        list: List,
        client: &Arc<Client>,
        patience: &Patience,
    ) -> Result<Arc<Vec<Record>>, Error> {
        let kept = &self.lists[list as usize];
        tokio::select! {
            biased;
            list = kept.get(async || fetch_all(client, list.resource(), patience).await) => list,
            ended = patience.ended() => Err(ended),
        }
    }

    pub async fn statuses(
        &self,
        client: &Arc<Client>,
        patience: &Patience,
    ) -> Result<Vec<Status>, Error> {
        let records = self.list(List::JobStatuses, client, patience).await?;
        Ok(records.iter().filter_map(Status::new).collect())
    }
}

/// Every page of a short list.
async fn fetch_all(
    client: &Arc<Client>,
    resource: &'static Resource,
    patience: &Patience,
) -> Result<Vec<Record>, Error> {
    let query = ListQuery::new(resource);
    let mut records = Vec::new();
    let mut page = 1;
    loop {
        let mut answer = client
            .get(&query.page(page, MAX_PER_PAGE), patience)
            .await?;
        let (rows, pages) = rows_and_pages(&mut answer);
        records.extend(rows);
        // Asking beyond the last page brings the last page again, so only the count ends the walk.
        if page >= pages {
            return Ok(records);
        }
        page += 1;
    }
}

fn rows_and_pages(answer: &mut Value) -> (Vec<Record>, u32) {
    let rows = Record::items(answer);
    let pages = answer
        .pointer("/_meta/pageCount")
        .and_then(Value::as_u64)
        .and_then(|pages| u32::try_from(pages).ok())
        .unwrap_or(1);
    (rows, pages)
}
