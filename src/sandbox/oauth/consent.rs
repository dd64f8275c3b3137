//! The page that asks whether an app may use the account, and the way back to the app.

use hyper::StatusCode;
use hyper::header::{
    CONTENT_SECURITY_POLICY, HeaderValue, LOCATION, REFERRER_POLICY, X_FRAME_OPTIONS,
};

use crate::sandbox::APP_CLIENT_ID;
use crate::sandbox::payload::{self, Answer};
use crate::sandbox::query::Query;
use crate::sandbox::server::{Received, Server};

/// Where the answer goes when the request names no redirect URI.
const REGISTERED_REDIRECT_URI: &str = "http://127.0.0.1:8765/callback";

const PAGE: &str = include_str!("consent.html");

pub(crate) fn page(received: &Received) -> Answer {
    match checked(&received.query) {
        Ok(_) => consent_page(&received.query),
        Err(answer) => *answer,
    }
}

pub(crate) fn decision(server: &Server, received: &Received) -> Answer {
    let form = Query::parse(&String::from_utf8_lossy(&received.body));
    let redirect_uri = match checked(&form) {
        Ok(redirect_uri) => redirect_uri,
        Err(answer) => return *answer,
    };
    if form.text("decision") == "allow" {
        let code = server.tokens.new_code(form.get("redirect_uri"));
        return back(redirect_uri, &form, &[("code", &code)]);
    }
    back(
        redirect_uri,
        &form,
        &[
            ("error", "access_denied"),
            ("error_description", "The user denied the request."),
        ],
    )
}

/// The redirect URI, or the answer to a request that may not be asked about.
fn checked(query: &Query) -> Result<&str, Box<Answer>> {
    let redirect_uri = query.get("redirect_uri").unwrap_or(REGISTERED_REDIRECT_URI);
    // An unproven address is never redirected to (RFC 6749, 4.1.2.1).
    if query.text("client_id") != APP_CLIENT_ID {
        return Err(Box::new(refused(
            "This application is not registered with the sandbox.",
        )));
    }
    if !is_registered(redirect_uri) {
        return Err(Box::new(refused(
            "The redirect address is not one registered for this application.",
        )));
    }
    if query.text("response_type") != "code" {
        return Err(Box::new(back(
            redirect_uri,
            query,
            &[("error", "unsupported_response_type")],
        )));
    }
    Ok(redirect_uri)
}

/// As in RFC 8252: on loopback the port is the app's own choice.
fn is_registered(redirect_uri: &str) -> bool {
    let Some(rest) = redirect_uri.strip_prefix("http://") else {
        return false;
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let port = ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .find_map(|host| authority.strip_prefix(host));
    let is_port = |port: &str| {
        port.is_empty()
            || port
                .strip_prefix(':')
                .is_some_and(|port| port.parse::<u16>().is_ok())
    };
    port.is_some_and(is_port)
        && !path.contains(|character: char| character == '#' || character.is_ascii_control())
}

fn back(redirect_uri: &str, query: &Query, parameters: &[(&str, &str)]) -> Answer {
    let state = query.get("state").map(|state| ("state", state));
    let mut added = form_urlencoded::Serializer::new(String::new());
    added.extend_pairs(parameters.iter().copied().chain(state));
    let separator = if redirect_uri.contains('?') { '&' } else { '?' };
    let target = format!("{redirect_uri}{separator}{}", added.finish());
    let Ok(location) = HeaderValue::try_from(target) else {
        return refused("The redirect address is unusable.");
    };
    let mut answer = payload::html(StatusCode::FOUND, String::new());
    answer.headers_mut().insert(LOCATION, location);
    answer
}

fn consent_page(query: &Query) -> Answer {
    let names = ["response_type", "client_id", "redirect_uri", "state"];
    let hidden = names
        .map(|name| {
            query
                .get(name)
                .map_or_else(String::new, |value| hidden_field(name, value))
        })
        .concat();
    let target = escaped(query.get("redirect_uri").unwrap_or(REGISTERED_REDIRECT_URI));
    let mut answer = payload::html(
        StatusCode::OK,
        PAGE.replace("{hidden}", &hidden)
            .replace("{target}", &target),
    );
    let headers = answer.headers_mut();
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

fn hidden_field(name: &str, value: &str) -> String {
    let value = escaped(value);
    format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">\n")
}

fn refused(reason: &str) -> Answer {
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><title>Not allowed</title><h1>Not allowed</h1><p>{reason}</p></html>\n"
    );
    payload::html(StatusCode::BAD_REQUEST, page)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // The page is a template: a value must not bring placeholders of its own.
            '{' => out.push_str("&#123;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_loopback_port_is_registered_and_nothing_else() {
        for uri in [
            "http://127.0.0.1:49152/cb",
            "http://localhost/cb",
            "http://[::1]:1/",
            "http://127.0.0.1:9?x=1",
        ] {
            assert!(is_registered(uri), "{uri}");
        }
        for uri in [
            "https://example.com/cb",
            "http://127.0.0.1.example.com/cb",
            "http://127.0.0.1@example.com/",
            "http://127.0.0.1:80@example.com/",
            "http://127.0.0.1:x/",
            "http://localhost:1/#part",
            "javascript:alert(1)",
        ] {
            assert!(!is_registered(uri), "{uri}");
        }
    }

    #[test]
    fn values_cannot_leave_their_attribute() {
        assert_eq!(
            escaped("\"><script>'&"),
            "&quot;&gt;&lt;script&gt;&#39;&amp;"
        );
    }
}
