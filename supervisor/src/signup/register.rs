//! Step one: a code goes to the address.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    app::App,
    email::Email,
    error::{Problem, ProblemDetails},
    mailer::{Kind, Letter},
    one_time_codes::{self, CodeSent},
    text::is_unseen,
    web::{Json, Source},
};

/// Characters of a company's name.
const LONGEST_COMPANY: usize = 120;

/// Who signs up.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Registration {
    /// What the company is called, up to 120 characters.
    #[schema(example = "Comfort Air", max_length = 120)]
    company: String,
    #[schema(example = "anna@example.com")]
    email: String,
}

/// Ask for a code
///
/// A code of six digits is sent to the address; it is good for ten minutes. The answer is the same whether or not the
/// address is known.
#[utoipa::path(
    post, path = "/api/register", tag = "sign-up", request_body = Registration,
    responses(
        (status = 202, description = "A mail is on its way", body = CodeSent),
        (status = 400, description = "`invalid_request`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn register(
    State(app): State<Arc<App>>,
    source: Source,
    Json(form): Json<Registration>,
) -> Result<(StatusCode, axum::Json<CodeSent>), Problem> {
    let company = company_name(&form.company)?;
    let email = Email::parse(&form.email).map_err(Problem::from)?;
    send_code(&app, source, email, &company).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(CodeSent::now())))
}

/// Writes to the address; what the mail says depends on whether it is known, and nothing else does.
pub(super) async fn send_code(
    app: &App,
    source: Source,
    email: Email,
    company: &str,
) -> Result<(), Problem> {
    let network = source.network();
    let code = app.codes.create(&email, &network, Some(company)).await?;
    let kind = match app.store.owned_tenant(email.as_str()).await? {
        Some(known) => Kind::Known {
            company: known.company,
            code,
        },
        None => Kind::SignUp { code },
    };
    app.mailer.send(Letter {
        to: email,
        kind,
        good_for: one_time_codes::LIFE,
    });
    Ok(())
}

/// A company's name is shown to its people in mails and on pages, so it must be a name and nothing else.
pub fn company_name(text: &str) -> Result<String, Problem> {
    let name = text.trim();
    let length = name.chars().count();
    if length == 0 || length > LONGEST_COMPANY {
        return Err(Problem::invalid(format!(
            "`company` must have 1 to {LONGEST_COMPANY} characters."
        )));
    }
    if name.chars().any(is_unseen) {
        return Err(Problem::invalid(
            "`company` must not contain control characters or line breaks.",
        ));
    }
    // A stranger could send advertising through our mails.
    if name.contains("://") || name.to_ascii_lowercase().contains("www.") {
        return Err(Problem::invalid(
            "`company` must be a name, without web addresses.",
        ));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_company_has_a_name() {
        assert_eq!(
            company_name("  Müller & Söhne  ").unwrap(),
            "Müller & Söhne"
        );
        assert!(company_name(&"ü".repeat(120)).is_ok());
        for text in [
            "",
            "   ",
            "a\nb",
            "a\0b",
            "a\u{202e}b",
            "win at https://example.com",
            "WWW.example.com",
            &"a".repeat(121),
        ] {
            assert_eq!(company_name(text).unwrap_err().code, "invalid_request");
        }
    }
}
