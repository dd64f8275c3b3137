//! The lines of a job or estimate and what they add up to.

use serde_json::{Value, json};

use crate::sandbox::company::catalogue::{Item, PRODUCTS, SERVICES, Work};
use crate::sandbox::company::reference::{AUTO_CHARGE, TAX};

pub(crate) struct Lines {
    pub(crate) services: Vec<Value>,
    pub(crate) products: Vec<Value>,
    pub(crate) other_charges: Vec<Value>,
    /// With fees, discount and tax, as the API's "taxes and fees" total has it.
    pub(crate) total: f64,
    pub(crate) cost: f64,
}

impl Lines {
    pub(crate) fn of(work: &Work, quantity: i64, has_discount: bool, since: &str) -> Self {
        let services: Vec<Value> = work
            .services
            .iter()
            .map(|&at| line(&SERVICES[at], "service", 1, since))
            .collect();
        let products: Vec<Value> = work
            .products
            .iter()
            .map(|&at| line(&PRODUCTS[at], "product", quantity, since))
            .collect();
        Self::with(services, products, has_discount, since)
    }

    pub(crate) fn none() -> Self {
        Self {
            services: Vec::new(),
            products: Vec::new(),
            other_charges: Vec::new(),
            total: 0.0,
            cost: 0.0,
        }
    }

    pub(crate) fn with(
        services: Vec<Value>,
        products: Vec<Value>,
        has_discount: bool,
        since: &str,
    ) -> Self {
        let mut other_charges = vec![charge(AUTO_CHARGE.0, AUTO_CHARGE.1, false, since)];
        let net = sum(&services, "total") + sum(&products, "total");
        let discount = if has_discount {
            rounded(net * 0.1)
        } else {
            0.0
        };
        if has_discount {
            // A discount stands there with a positive total and a flag.
            other_charges.push(charge("Comfort Club Discount 10%", discount, true, since));
        }
        let tax = sum(&products, "total") * 0.0825;
        Self {
            total: rounded(net + AUTO_CHARGE.1 - discount + tax),
            cost: rounded(sum(&services, "cost") + sum(&products, "cost")),
            services,
            products,
            other_charges,
        }
    }
}

pub(crate) fn line(item: &Item, kind: &str, quantity: i64, since: &str) -> Value {
    let mut line = json!({
        "name": item.name, "description": null, "multiplier": quantity, "rate": money(item.rate),
        "total": money(item.rate * real(quantity)), "cost": money(item.cost * real(quantity)),
        "actual_cost": money(item.cost * real(quantity)), "item_index": 1, "parent_index": 0, "created_at": since,
        "updated_at": since, "is_show_rate_items": true, "tax": if kind == "product" { json!(TAX) } else { json!(null) },
    });
    line[kind] = json!(item.name);
    line[format!("{kind}_list_id")] = json!(item.id);
    line
}

pub(crate) fn charge(name: &str, amount: f64, is_discount: bool, since: &str) -> Value {
    json!({
        "name": name, "rate": if is_discount { money(10.0) } else { money(amount) }, "total": money(amount),
        "charge_index": 1, "parent_index": 1, "is_percentage": is_discount, "is_discount": is_discount,
        "created_at": since, "updated_at": since, "other_charge": name,
        "other_charge_id": if is_discount { 249 } else { 248 },
    })
}

pub(crate) fn sum(rows: &[Value], name: &str) -> f64 {
    rows.iter().filter_map(|row| row[name].as_f64()).sum()
}

pub(crate) fn rounded(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

/// Quantities and minutes are small.
pub(crate) fn real(count: i64) -> f64 {
    f64::from(i32::try_from(count).unwrap_or(i32::MAX))
}

/// Whole amounts are written as integers.
pub(crate) fn money(amount: f64) -> Value {
    let amount = rounded(amount);
    if amount.fract() == 0.0 && amount.abs() < 1e15 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and far below the limit"
        )]
        let whole = amount as i64;
        return json!(whole);
    }
    json!(amount)
}
