//! The main endpoint of a call, of which one or many requests may be made.

use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Method;

use crate::service_fusion::reference::List;

/// Shared by all requests of one call.
#[derive(Clone, Debug, Default)]
pub struct Asked(Arc<Mutex<Main>>);

#[derive(Debug, Default)]
struct Main {
    weight: u8,
    endpoint: String,
}

impl Asked {
    /// A create says more of a call than the reads before it, and those more than the lists that names are looked up in.
    pub(crate) fn note(&self, method: &Method, path: &str) {
        let weight = match *method {
            Method::GET if List::ALL.iter().any(|list| list.is_at(path)) => 1,
            Method::GET => 2,
            _ => 3,
        };
        let mut main = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if weight > main.weight {
            *main = Main {
                weight,
                endpoint: endpoint(method, path),
            };
        }
    }

    /// As `GET /v1/jobs/{id}`; empty when nothing was asked.
    pub fn endpoint(&self) -> String {
        let main = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        main.endpoint.clone()
    }
}

/// Without ids and without a query, which would say whose record it is.
fn endpoint(method: &Method, path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let mut text = format!("{method} /v1");
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let name = part.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        text.push('/');
        text.push_str(if name { part } else { "{id}" });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_endpoint_has_no_ids_and_no_names() {
        let asked = Asked::default();
        assert_eq!(asked.endpoint(), "");
        asked.note(&Method::GET, "job-statuses?per-page=50");
        assert_eq!(asked.endpoint(), "GET /v1/job-statuses");
        asked.note(&Method::GET, "jobs/1042?expand=visits&filters[x]=Alvarez");
        asked.note(&Method::GET, "customers/7/equipment");
        assert_eq!(asked.endpoint(), "GET /v1/jobs/{id}");
        asked.note(&Method::POST, "jobs");
        assert_eq!(asked.endpoint(), "POST /v1/jobs");
    }
}
