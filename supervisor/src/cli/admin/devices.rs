//! A company's devices and tokens, and the audit log.

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::{
    cli::{
        Failure,
        admin::Desk,
        shown::{self, Shown, moment, time},
    },
    store::{Entry, parsed},
    tokens::Kind,
};

pub(super) async fn list(desk: &Desk, named: &str) -> Result<Shown, Failure> {
    let one = desk.find(named).await?;
    let mut tokens = desk.store.tokens_of(&one.tenant.id, Kind::Device).await?;
    tokens.extend(desk.store.tokens_of(&one.tenant.id, Kind::Bearer).await?);
    let rows: Vec<Vec<String>> = tokens
        .iter()
        .map(|token| {
            vec![
                token.name.clone(),
                token.kind.word().to_owned(),
                token.client.clone().unwrap_or_default(),
                token.form.clone().unwrap_or_default(),
                time(token.created_at),
                token.last_used_at.map_or_else(|| "never".to_owned(), time),
                token.id.clone(),
            ]
        })
        .collect();
    let text = if rows.is_empty() {
        format!(
            "{} has no devices and no tokens.",
            shown::plain(&one.tenant.company)
        )
    } else {
        shown::table(
            &[
                "name",
                "kind",
                "client",
                "form",
                "created",
                "last used",
                "id",
            ],
            &rows,
        )
    };
    let devices: Vec<Value> = tokens
        .iter()
        .map(|token| {
            json!({
                "id": token.id,
                "name": token.name,
                "kind": token.kind.word(),
                "client": token.client,
                "form": token.form,
                "member": token.member_id,
                "created_at": moment(Some(token.created_at)),
                "expires_at": moment(token.expires_at),
                "last_used_at": moment(token.last_used_at),
            })
        })
        .collect();
    Ok(Shown::new(
        text,
        json!({"tenant": one.tenant.id, "devices": devices}),
    ))
}

pub(super) async fn revoke(desk: &Desk, named: &str, id: &str) -> Result<Shown, Failure> {
    let one = desk.find(named).await?;
    let company = shown::plain(&one.tenant.company);
    let revoked = desk
        .store
        .revoke_for(&one.tenant.id, id, &desk.actor, desk.now)
        .await?;
    if !revoked {
        return Err(anyhow!(
            "{company} has no device or token `{id}` that is not revoked; `sf-supervisor admin devices {}` lists them",
            one.tenant.id
        )
        .into());
    }
    Ok(Shown::new(
        format!(
            "{id} of {company} is revoked: no new access from now on. A machine that holds a Service Fusion token can go \
             on for up to an hour."
        ),
        json!({"tenant": one.tenant.id, "revoked": id}),
    ))
}

pub(super) async fn audit(desk: &Desk, named: Option<&str>, limit: i64) -> Result<Shown, Failure> {
    let tenant_id = match named {
        // A deleted company has only its id left.
        Some(id) if id.starts_with("ten_") => Some(id.to_owned()),
        Some(named) => Some(desk.find(named).await?.tenant.id),
        None => None,
    };
    let entries = desk.store.entries(tenant_id.as_deref(), limit).await?;
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            vec![
                time(entry.at),
                entry.actor.clone(),
                entry.action.clone(),
                entry.tenant_id.clone().unwrap_or_default(),
                difference(entry),
            ]
        })
        .collect();
    let text = if rows.is_empty() {
        "No entries.".to_owned()
    } else {
        shown::table(&["at", "actor", "action", "company id", "change"], &rows)
    };
    let entries: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!({
                "at": moment(Some(entry.at)),
                "actor": entry.actor,
                "action": entry.action,
                "tenant": entry.tenant_id,
                "before": shown_value(entry.before.as_deref()),
                "after": shown_value(entry.after.as_deref()),
            })
        })
        .collect();
    Ok(Shown::new(text, json!({"entries": entries})))
}

fn difference(entry: &Entry) -> String {
    match (&entry.before, &entry.after) {
        (Some(before), Some(after)) => format!("{before} → {after}"),
        (Some(before), None) => format!("{before} → nothing"),
        (None, Some(after)) => after.clone(),
        (None, None) => String::new(),
    }
}

/// JSON where it is JSON, else the text.
fn shown_value(text: Option<&str>) -> Value {
    match (parsed(text), text) {
        (Value::Null, Some(text)) => text.into(),
        (value, _) => value,
    }
}
