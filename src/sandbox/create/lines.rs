//! The rows of a new job or estimate: what is sold, worked and spent, and what it adds up to.

use serde_json::{Map, Value, json};

use crate::sandbox::company::Company;
use crate::sandbox::company::catalogue::{Item, PRODUCTS, SERVICES};
use crate::sandbox::company::charges::{self, money, sum};
use crate::sandbox::company::reference::AUTO_CHARGE;
use crate::sandbox::contract::Kind;
use crate::sandbox::create::customer::{dated, default};
use crate::sandbox::create::{Problems, hours};
use crate::sandbox::table::{fields, integer};

pub(crate) type Body = Map<String, Value>;

pub(crate) fn rows<'a>(body: &'a Body, name: &str) -> &'a [Value] {
    body.get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

pub(crate) fn priced(
    company: &Company,
    body: &Body,
    kind: Kind,
    stamp: &str,
    problems: &mut Problems,
) -> Body {
    let services = sold(body, "service", &SERVICES, stamp, problems);
    let products = sold(body, "product", &PRODUCTS, stamp, problems);
    let charges = other_charges(
        body,
        sum(&services, "total") + sum(&products, "total"),
        stamp,
    );
    let labor = hours::labor(company, body, stamp, problems);
    let expenses = hours::expenses(company, body, stamp, problems);
    let tax = sum(&products, "total") * 0.0825;
    let discount: f64 = charges
        .iter()
        .filter(|row| row["is_discount"] == true)
        .filter_map(|row| row["total"].as_f64())
        .sum();
    let lines = sum(&services, "total") + sum(&products, "total") + sum(&charges, "total")
        - 2.0 * discount
        + tax;
    let billable: Vec<Value> = expenses
        .iter()
        .filter(|row| row["is_billable"] == true)
        .cloned()
        .collect();
    let (labor_total, billable_total) = (sum(&labor, "total"), sum(&billable, "amount"));
    let total = money(lines + labor_total + billable_total);
    let mut out = fields(json!({
        "taxes_fees_total": money(lines), "total": total, "due_total": total,
        "cost_total": money(sum(&services, "cost") + sum(&products, "cost") + sum(&expenses, "amount")),
        "services": services, "products": products, "other_charges": charges,
    }));
    for (name, defaults) in [
        ("tasks", json!({"type": "Misc", "is_completed": false})),
        ("notes", json!({})),
        ("tags", json!({})),
    ] {
        out.insert(
            name.into(),
            with_defaults(rows(body, name), &defaults, stamp),
        );
    }
    if kind == Kind::Jobs {
        out.insert("labor_charges".into(), json!(labor));
        out.insert("expenses".into(), json!(expenses));
        out.insert("drive_labor_total".into(), money(labor_total));
        out.insert("billable_expenses_total".into(), money(billable_total));
    }
    out
}

fn with_defaults(rows: &[Value], defaults: &Value, stamp: &str) -> Value {
    let rows = rows.iter().cloned().map(|mut row| {
        dated(&mut row, stamp);
        for (name, value) in defaults.as_object().into_iter().flatten() {
            default(&mut row, name, value.clone());
        }
        row
    });
    rows.collect()
}

fn sold(
    body: &Body,
    kind: &str,
    catalogue: &[Item],
    stamp: &str,
    problems: &mut Problems,
) -> Vec<Value> {
    let plural = format!("{kind}s");
    let mut out = Vec::new();
    for (index, row) in rows(body, &plural).iter().enumerate() {
        let wanted = &row[kind];
        let item = catalogue
            .iter()
            .find(|item| integer(wanted) == Some(item.id) || wanted.as_str() == Some(item.name));
        let Some(item) = item else {
            let title = if kind == "service" {
                "Service"
            } else {
                "Product"
            };
            problems.add(
                &format!("{plural}[{index}].{kind}"),
                format!("{title} can not be found."),
            );
            continue;
        };
        out.push(line(item, kind, row, index, stamp));
    }
    out
}

fn line(item: &Item, kind: &str, row: &Value, index: usize, stamp: &str) -> Value {
    let quantity = integer(&row["multiplier"]).unwrap_or(1);
    let mut line = charges::line(item, kind, quantity, stamp);
    for name in ["name", "description", "tax", "is_show_rate_items"] {
        if !row[name].is_null() {
            line[name] = row[name].clone();
        }
    }
    if let Some(rate) = row["rate"].as_f64() {
        line["rate"] = money(rate);
        line["total"] = money(rate * charges::real(quantity));
    }
    if let Some(cost) = row["cost"].as_f64() {
        line["cost"] = money(cost);
        line["actual_cost"] = money(cost);
    }
    line["item_index"] = json!(index + 1);
    line
}

/// Left out, the charges flagged "add always" are added; an empty list keeps them away.
fn other_charges(body: &Body, net: f64, stamp: &str) -> Vec<Value> {
    if !body.contains_key("other_charges") {
        return vec![charges::charge(AUTO_CHARGE.0, AUTO_CHARGE.1, false, stamp)];
    }
    let added = rows(body, "other_charges").iter().map(|row| {
        let name = row["other_charge"]
            .as_str()
            .map_or_else(|| row["other_charge"].to_string(), str::to_owned);
        let is_discount = name.to_lowercase().contains("discount");
        let rate = row["rate"].as_f64().unwrap_or(if name == AUTO_CHARGE.0 {
            AUTO_CHARGE.1
        } else {
            0.0
        });
        let is_percentage = row["is_percentage"] == true;
        let amount = if is_percentage {
            net * rate / 100.0
        } else {
            rate
        };
        let mut charge = charges::charge(&name, amount, is_discount, stamp);
        charge["rate"] = money(rate);
        charge["is_percentage"] = json!(is_percentage);
        charge
    });
    added.collect()
}
