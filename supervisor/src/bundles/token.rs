//! The token that a bundle carries.

use secrecy::SecretString;
use serde_json::json;

use crate::{
    app::App,
    clients::{Client, Form},
    error::Problem,
    limits::{self, Limit},
    store::{Entry, Member, NewToken, Tenant},
    tokens,
    web::Caller,
};

/// Each bundle leaves a token behind.
const PER_COMPANY: Limit = Limit {
    name: "bundles",
    most: 200,
    window: 60 * 60 * 1000,
};
/// A token as it is handed out, once. There is none where the client signs in by itself.
pub(super) struct Issued {
    pub(super) secret: SecretString,
    /// Its id and name.
    pub(super) device: Option<(String, String)>,
}

/// Whom a bundle is for: a person, or what holds a token of the company.
pub(super) struct Holder<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) member_id: Option<&'a str>,
    pub(super) scopes: &'a str,
    /// For the audit log.
    pub(super) actor: String,
}

impl<'a> Holder<'a> {
    pub(super) async fn of(app: &App, caller: &'a Caller) -> Result<Self, Problem> {
        Ok(Self {
            tenant: &caller.tenant,
            member_id: caller.token.member_id.as_deref(),
            scopes: &caller.token.scopes,
            actor: actor(app, caller).await?,
        })
    }

    pub(super) fn member(tenant: &'a Tenant, member: &'a Member) -> Self {
        Self {
            tenant,
            member_id: Some(&member.id),
            scopes: &member.scopes,
            actor: member.email.clone(),
        }
    }
}

pub(super) async fn issue(
    app: &App,
    holder: &Holder<'_>,
    client: Client,
    form: Form,
) -> Result<Issued, Problem> {
    let (tenant, now) = (holder.tenant, app.clock.now());
    if let Some(reached) = limits::take(&app.store, PER_COMPANY, &tenant.id, now).await? {
        return Err(Problem::too_many(reached.seconds));
    }
    let Some(kind) = client.token(form) else {
        return Ok(Issued {
            secret: String::new().into(),
            device: None,
        });
    };
    let new = tokens::generate(kind)?;
    let name = format!("{}, {}", client.title(), day(now));
    let id = app
        .store
        .add_token(&NewToken {
            tenant_id: &tenant.id,
            member_id: holder.member_id,
            kind,
            name: &name,
            hash: &new.hash,
            client: Some(client.name()),
            form: Some(form.word()),
            scopes: holder.scopes,
            created_at: now,
            expires_at: None,
        })
        .await?;
    let after =
        json!({"token": id, "kind": kind.word(), "client": client.name(), "form": form.word()});
    app.store
        .note(&Entry {
            at: now,
            actor: holder.actor.clone(),
            action: "bundle.create".to_owned(),
            tenant_id: Some(tenant.id.clone()),
            before: None,
            after: Some(after.to_string()),
        })
        .await?;
    Ok(Issued {
        secret: new.token,
        device: Some((id, name)),
    })
}

/// The member's address, or the token of a script. Who is no longer a member gets nothing.
async fn actor(app: &App, caller: &Caller) -> Result<String, Problem> {
    let Some(id) = &caller.token.member_id else {
        return Ok(caller.token.id.clone());
    };
    let member = app.store.member(&caller.tenant.id, id).await?;
    Ok(member.ok_or_else(Problem::unauthorized)?.email)
}

/// The UTC date of Unix milliseconds, such as `2026-11-22`.
fn day(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at)
        .map(|time| time.strftime("%F").to_string())
        .unwrap_or_default()
}
