//! A report as lines of cells, its totals last.

use std::collections::BTreeMap;

use serde_json::Value;

use super::csv;

const FIGURES: [&str; 4] = ["calls", "errors", "duration_ms", "bytes"];

/// Adds the names of the companies to a report by tenant.
pub fn name_companies(report: &mut Value, names: Vec<(String, String)>) {
    let names: BTreeMap<String, String> = names.into_iter().collect();
    for row in report["rows"].as_array_mut().into_iter().flatten() {
        let id = row["tenant"].as_str().unwrap_or_default();
        row["company"] = names.get(id).map_or("", String::as_str).into();
    }
}

/// Heads and cells, the totals last.
pub fn cells(report: &Value) -> (Vec<&str>, Vec<Vec<String>>) {
    let by = report["by"].as_str().unwrap_or_default();
    let mut heads = vec![by];
    if by == "tenant" {
        heads.push("company");
    }
    let labels = heads.len();
    heads.extend(FIGURES);
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let mut rows: Vec<Vec<String>> = report["rows"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| heads.iter().map(|head| text(&row[head])).collect())
        .collect();
    let mut totals = vec!["total".to_owned()];
    totals.resize(labels, String::new());
    totals.extend(
        FIGURES
            .iter()
            .map(|head| report["totals"][head].to_string()),
    );
    rows.push(totals);
    (heads, rows)
}

pub fn csv(report: &Value) -> String {
    let (heads, rows) = cells(report);
    let lines = rows
        .iter()
        .map(|row| csv::line(row.iter().map(String::as_str)));
    csv::line(heads) + &lines.collect::<String>()
}
