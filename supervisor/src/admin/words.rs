//! What programs call things, in words for operators.

use serde_json::Value;

use crate::store::State;

/// Actions of the audit log and what they are called.
pub(super) const ACTIONS: [(&str, &str); 18] = [
    ("tenant.register", "signed up"),
    ("tenant.activate", "connected Service Fusion"),
    ("tenant.reconnect", "connected Service Fusion again"),
    ("tenant.tier", "set tier and limits"),
    ("tenant.suspend", "suspended"),
    ("tenant.resume", "resumed"),
    ("tenant.note", "changed the note"),
    ("tenant.time_zone", "set the time zone"),
    ("tenant.delete", "deleted the company"),
    ("member.invite", "invited a person"),
    ("member.change", "changed what a person may do"),
    ("member.remove", "removed a person"),
    ("device.enrol", "added a device"),
    ("device.revoke", "revoked a device"),
    ("bundle.create", "made a bundle"),
    ("oauth.allow", "allowed an AI client"),
    ("oauth.revoke", "ended an AI client"),
    ("keys.rotate", "changed the master key"),
];

pub(super) fn action(action: &str) -> &str {
    let known = ACTIONS.iter().find(|(name, _)| *name == action);
    known.map_or(action, |(_, words)| words)
}

/// A value of the audit log: JSON as `name: value`, anything else as it is.
pub(super) fn value(text: Option<&str>) -> String {
    let Some(text) = text else {
        return "nothing".to_owned();
    };
    match serde_json::from_str(text) {
        Ok(value) => spoken(&value),
        Err(_) => text.to_owned(),
    }
}

fn spoken(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(spoken).collect();
            values.join(", ")
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", name.replace('_', " "), spoken(value)))
                .collect();
            fields.join(", ")
        }
    }
}

/// How a call ended.
pub(super) fn outcome(status: &str) -> &str {
    match status {
        "ok" => "went well",
        "refused" => "Service Fusion refused it",
        "rate_limited" => "over the limit",
        "signed_out" => "connection to Service Fusion lost",
        "unreachable" => "Service Fusion not reached",
        "timeout" => "took too long",
        "cancelled" => "cancelled by the client",
        "error" => "failed",
        other => other,
    }
}

/// A state, and the look of its badge.
pub(super) fn state(state: State) -> (&'static str, &'static str) {
    match state {
        State::New => ("new", "quiet"),
        State::Active => ("active", "ok"),
        State::Disconnected => ("connection lost", "bad"),
        State::Suspended => ("suspended", "warn"),
    }
}

/// 1234567 as 1,234,567.
pub(super) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "−" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share of calls, to a tenth of a percent; something is never nothing.
pub(super) fn share(part: i64, whole: i64) -> String {
    if whole <= 0 {
        return "–".to_owned();
    }
    let tenths = (part * 1000 + whole / 2) / whole;
    if part > 0 && tenths == 0 {
        return "under 0.1 %".to_owned();
    }
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_audit_log_are_readable() {
        let text =
            r#"{"tier":"pro","limits":{"per_minute":5},"why":null,"suspended":true,"note":""}"#;
        assert_eq!(
            value(Some(text)),
            "tier: pro, limits: per minute: 5, why: none, suspended: yes, note: empty"
        );
        assert_eq!(value(Some("plain <b>")), "plain <b>");
        assert_eq!(value(None), "nothing");
        assert_eq!(action("tenant.tier"), "set tier and limits");
        assert_eq!(action("other.act"), "other.act");
    }

    #[test]
    fn figures_are_readable() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(grouped(number), text);
        }
        for (part, whole, text) in [
            (0, 0, "–"),
            (0, 5, "0.0 %"),
            (1, 3, "33.3 %"),
            (1, 10_000, "under 0.1 %"),
            (5, 5, "100.0 %"),
        ] {
            assert_eq!(share(part, whole), text);
        }
    }
}
