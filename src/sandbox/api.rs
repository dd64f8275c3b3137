//! The operations under `/v1`: routing, the checks before them, lists and single records.

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::sandbox::company::Company;
use crate::sandbox::contract::{Action, CONTRACT, Endpoint, Kind};
use crate::sandbox::create;
use crate::sandbox::filter::Filters;
use crate::sandbox::oauth::tokens::Client;
use crate::sandbox::payload::{self, Answer};
use crate::sandbox::query::{Order, Page, Query};
use crate::sandbox::selection::Selection;
use crate::sandbox::server::{Received, Server};
use crate::sandbox::table::{Record, integer};

/// In the order of the real one: path, media types, method, sign-in, rate.
pub(crate) fn answer(server: &Server, received: &Received, instead: Option<Answer>) -> Answer {
    let path = received
        .path()
        .trim_start_matches("/v1")
        .trim_end_matches('/');
    let known: Vec<&Endpoint> = CONTRACT
        .endpoints
        .iter()
        .filter(|endpoint| matches(&endpoint.path, path))
        .collect();
    let mut budget = server.rate_limit.untouched();
    let mut answer = if known.is_empty() {
        instead.unwrap_or_else(|| payload::error_page(StatusCode::NOT_FOUND))
    } else if !accepts_json(received) {
        error(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    } else if let Some(endpoint) = known
        .iter()
        .find(|endpoint| endpoint.method == received.method())
    {
        match client(server, received) {
            Err(refusal) => error(refusal),
            Ok(client) => {
                budget = server.rate_limit.spend(client.id());
                if budget.is_exceeded {
                    error(StatusCode::TOO_MANY_REQUESTS)
                } else {
                    count(server, endpoint);
                    instead.unwrap_or_else(|| run(server, received, endpoint, path))
                }
            }
        }
    } else {
        wrong_method(&known)
    };
    budget.write_headers(&mut answer);
    answer
}

/// Whether a path such as `/customers/7/equipment` fits `/customers/{customer-id}/equipment`.
fn matches(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given))
                if wanted == given || (wanted.starts_with('{') && !given.is_empty()) => {}
            _ => return false,
        }
    }
}

fn accepts_json(received: &Received) -> bool {
    let accept = received.header("accept");
    let is_json_wanted = accept.is_empty()
        || accept.split(',').any(|range| {
            let range = range.split(';').next().unwrap_or_default().trim();
            matches!(range, "*/*" | "application/*" | "application/json")
        });
    let content_type = received.header("content-type");
    let is_json_sent = received.method() != "POST" || content_type.starts_with("application/json");
    is_json_wanted
        && is_json_sent
        && received
            .query
            .get("format")
            .is_none_or(|format| format == "json")
}

fn client(server: &Server, received: &Received) -> Result<Client, StatusCode> {
    let bearer = received
        .header("authorization")
        .strip_prefix("Bearer ")
        .map(str::trim);
    let token = match (bearer, received.query.get("access_token")) {
        (Some(_), Some(_)) => return Err(StatusCode::BAD_REQUEST),
        (Some(token), None) | (None, Some(token)) => token,
        (None, None) => return Err(StatusCode::UNAUTHORIZED),
    };
    server
        .tokens
        .client_of(token)
        .ok_or(StatusCode::UNAUTHORIZED)
}

fn count(server: &Server, endpoint: &Endpoint) {
    let operation = format!("{} {}", endpoint.method, endpoint.path);
    server
        .traffic
        .count(|counters| *counters.by_operation.entry(operation).or_default() += 1);
}

pub(crate) fn error(status: StatusCode) -> Answer {
    let body = CONTRACT.errors.get(status.as_str()).unwrap_or(&Value::Null);
    payload::json(status, body)
}

fn wrong_method(known: &[&Endpoint]) -> Answer {
    let methods = known
        .iter()
        .map(|endpoint| endpoint.method.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let mut body = CONTRACT.errors.get("405").cloned().unwrap_or_default();
    body["message"] = json!(format!(
        "Method Not Allowed. This url can only handle the following request methods: {methods}.\n"
    ));
    let mut answer = payload::json(StatusCode::METHOD_NOT_ALLOWED, &body);
    if let Ok(methods) = HeaderValue::from_str(&methods) {
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}

fn run(server: &Server, received: &Received, endpoint: &Endpoint, path: &str) -> Answer {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match endpoint.action {
        Action::One => server.read(|company| one(company, endpoint, &segments, &received.query)),
        Action::List => server.read(|company| list(company, endpoint, &segments, &received.query)),
        Action::Create => create::answer(server, received, endpoint),
    }
}

fn one(company: &Company, endpoint: &Endpoint, segments: &[&str], query: &Query) -> Answer {
    let id = segments.last().and_then(|id| id.parse().ok());
    let found = match endpoint.resource {
        Kind::Me => Some(&company.me),
        kind => company
            .table(kind)
            .zip(id)
            .and_then(|(table, id)| table.find(id)),
    };
    // Equipment is found only below the customer who owns it.
    let owner = segments.get(1).and_then(|id| id.parse::<i64>().ok());
    let found = found.filter(|record| {
        endpoint.resource != Kind::Equipment || integer(record.get("customer_id")) == owner
    });
    found.map_or_else(
        || error(StatusCode::NOT_FOUND),
        |record| single(StatusCode::OK, record, query),
    )
}

pub(crate) fn single(status: StatusCode, record: &Record, query: &Query) -> Answer {
    let mut body = Vec::with_capacity(2048);
    Selection::new(record.resource, query.text("fields"), query.text("expand"))
        .write_single(&mut body, record);
    payload::json_bytes(status, body)
}

fn list(company: &Company, endpoint: &Endpoint, segments: &[&str], query: &Query) -> Answer {
    let Some(table) = company.table(endpoint.resource) else {
        return error(StatusCode::NOT_FOUND);
    };
    let filters = Filters::new(table.resource, query);
    let owner = segments
        .get(1)
        .map(|id| id.parse::<i64>().unwrap_or_default());
    let mut records: Vec<&Record> = table
        .records()
        .iter()
        .filter(|record| owner.is_none() || integer(record.get("customer_id")) == owner)
        .filter(|record| filters.is_empty() || filters.allow(company, record))
        .collect();
    Order::new(table.resource, query).apply(&mut records);
    let page = Page::new(query, records.len());
    let selection = Selection::new(table.resource, query.text("fields"), query.text("expand"));
    let rows = records.get(page.range()).unwrap_or_default();
    envelope(rows, &page, &selection, &table.resource.expand)
}

fn envelope(rows: &[&Record], page: &Page, selection: &Selection, expandable: &[String]) -> Answer {
    let mut body = Vec::with_capacity(1024 * (rows.len() + 1));
    body.extend_from_slice(b"{\"items\":[");
    for (index, record) in rows.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        selection.write_row(&mut body, record);
    }
    let meta = json!({
        "totalCount": page.total, "pageCount": page.count, "currentPage": page.current, "perPage": page.size,
    });
    body.extend_from_slice(
        format!("],\"_expandable\":{},\"_meta\":{meta}}}", json!(expandable)).as_bytes(),
    );
    let mut answer = payload::json_bytes(StatusCode::OK, body);
    let headers = [
        ("x-pagination-total-count", page.total),
        ("x-pagination-page-count", page.count),
        ("x-pagination-current-page", page.current),
        ("x-pagination-per-page", page.size),
    ];
    for (name, value) in headers {
        answer
            .headers_mut()
            .insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_fits_its_template_segment_by_segment() {
        assert!(matches(
            "/customers/{customer-id}/equipment",
            "/customers/7/equipment"
        ));
        assert!(!matches(
            "/customers/{customer-id}",
            "/customers/7/equipment"
        ));
        assert!(!matches("/customers/{customer-id}", "/customers/"));
        assert!(!matches("/me", "/you"));
    }
}
