//! What an operator does to a company: done in the operator's name, and said at the top of the company's page.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, Uri},
    response::Response,
};

use super::{path_of, posted};
use crate::{
    app::App,
    error::Problem,
    pages::{Instead, Notice, see_other},
    store::{Change, Changed},
    text::is_unseen,
};

/// Characters of a note, and of a reason.
pub(super) const LONGEST: usize = 2_000;

/// Changes a company in an operator's name.
pub(super) async fn change(
    app: &App,
    id: &str,
    change: Change<'_>,
    actor: &str,
) -> Result<Changed, Problem> {
    let now = app.clock.now();
    let changed = app.store.change_tenant(id, change, actor, now).await?;
    changed.ok_or_else(|| Problem::not_found("company"))
}

/// What the operator reads after the act.
pub(super) fn notice(done: Option<&str>) -> Option<Notice> {
    Some(match done? {
        "note" => Notice::ok("The note is kept."),
        "limits" => Notice::ok("The tier and the limits hold from the next call on."),
        "suspended" => Notice::warn(
            "The company is suspended: no new access from now on. Machines that hold a Service Fusion token can go on \
             for up to an hour.",
        ),
        "resumed" => Notice::ok("The company is served again."),
        "revoked" => Notice::ok("The device is revoked: it gets no access any more."),
        "same" => Notice::ok("It was so before; nothing was changed."),
        _ => return None,
    })
}

/// Back to the company's page, where `done` says what happened.
pub(super) fn back(id: &str, done: &str) -> Response {
    see_other(&format!("{}?done={done}", path_of(id)), None)
}

pub(super) async fn note(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Instead> {
    let (operator, form) = posted(&app, &headers, &uri, &body).await?;
    let text = words(form.get("note").unwrap_or_default())?;
    let actor = &operator.visitor.email;
    change(&app, &id, Change::Note(&text), actor).await?;
    Ok(back(&id, "note"))
}

pub(super) async fn resume(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Instead> {
    let (operator, _) = posted(&app, &headers, &uri, &body).await?;
    let actor = &operator.visitor.email;
    let changed = change(&app, &id, Change::Resume, actor).await?;
    Ok(back(&id, if changed.differs { "resumed" } else { "same" }))
}

/// An operator's own words: what is not seen in them is taken out.
pub(super) fn words(text: &str) -> Result<String, Problem> {
    let text = text.replace("\r\n", "\n");
    let text: String = text
        .trim()
        .chars()
        .filter(|c| matches!(c, '\n' | '\t') || !is_unseen(*c))
        .collect();
    if text.chars().count() > LONGEST {
        return Err(Problem::invalid(format!(
            "This text is longer than {LONGEST} characters. Go back and shorten it."
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_as_they_are_read() {
        assert_eq!(words(" two\r\nlines \u{202e}x ").unwrap(), "two\nlines x");
        assert!(words(&"x".repeat(LONGEST + 1)).is_err());
    }
}
