//! Creating customers, jobs and estimates: check the body, then store and show the record.

mod customer;
mod hours;
mod lines;
mod references;
mod units;
mod validation;
mod values;
mod work;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::sandbox::api;
use crate::sandbox::company::Company;
use crate::sandbox::contract::{Endpoint, Kind};
use crate::sandbox::payload::{self, Answer};
use crate::sandbox::server::{Received, Server};

/// What is wrong with a body, field by field.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Value>);

impl Problems {
    fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0
            .push(json!({"field": field, "message": message.into()}));
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(crate) fn answer(server: &Server, received: &Received, endpoint: &Endpoint) -> Answer {
    let Ok(body) = serde_json::from_slice::<Map<String, Value>>(&received.body) else {
        return api::error(StatusCode::BAD_REQUEST);
    };
    let mut problems = Problems::default();
    let body = validation::checked(&endpoint.body, &body, "", &mut problems);
    if !problems.is_empty() {
        return refused(problems);
    }
    let stamp = server.clock.stamp();
    let stored = server.write(|company| {
        let id = store(company, endpoint.resource, &body, &stamp)?;
        let record = company
            .table(endpoint.resource)
            .and_then(|table| table.find(id));
        Ok(record.map(|record| api::single(StatusCode::CREATED, record, &received.query)))
    });
    match stored {
        Ok(Some(answer)) => {
            count(server, endpoint.resource);
            answer
        }
        Ok(None) => api::error(StatusCode::INTERNAL_SERVER_ERROR),
        Err(problems) => refused(problems),
    }
}

fn store(
    company: &mut Company,
    kind: Kind,
    body: &Map<String, Value>,
    stamp: &str,
) -> Result<i64, Problems> {
    match kind {
        Kind::Customers => customer::store(company, body, stamp),
        Kind::Estimates => work::store_estimate(company, body, stamp),
        _ => work::store_job(company, body, stamp),
    }
}

fn count(server: &Server, kind: Kind) {
    server.traffic.count(|counters| match kind {
        Kind::Customers => counters.created.customers += 1,
        Kind::Estimates => counters.created.estimates += 1,
        _ => counters.created.jobs += 1,
    });
}

fn refused(problems: Problems) -> Answer {
    payload::json(StatusCode::UNPROCESSABLE_ENTITY, &Value::Array(problems.0))
}
