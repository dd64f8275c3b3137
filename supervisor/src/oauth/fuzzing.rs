//! For the targets in `fuzz/` alone: how what clients send is read, without HTTP around it.

use axum::http::HeaderMap;
use url::Url;

use super::{client, client_metadata, pkce, redirect, register_client};

/// What a client says of itself.
#[derive(Debug)]
pub struct Described {
    pub name: String,
    pub redirect_uris: Vec<String>,
}

/// The document at `id`.
pub fn document(body: &[u8], id: &str) -> Option<Described> {
    let document = client_metadata::understood(body, id).ok()?;
    Some(Described {
        name: document.client_name,
        redirect_uris: document.redirect_uris,
    })
}

pub fn document_address(id: &str) -> Option<Url> {
    client_metadata::url(id)
}

pub fn registration(body: &[u8]) -> Option<Described> {
    let said = register_client::understood(body).ok()?;
    Some(Described {
        name: said.name,
        redirect_uris: said.redirect_uris,
    })
}

pub fn may_be_named(uri: &str) -> bool {
    redirect::acceptable(uri)
}

pub fn leads_back(registered: &[String], asked: &str) -> bool {
    redirect::matches(registered, asked)
}

pub fn shown_host(uri: &str) -> String {
    redirect::host(uri)
}

/// Id and secret of a client, where the headers have them.
pub fn secret(headers: &HeaderMap) -> Option<(String, String)> {
    client::basic(headers).ok().flatten()
}

pub fn is_challenge(text: &str) -> bool {
    pkce::is_challenge(text)
}

pub fn fits(verifier: &str, challenge: &str) -> bool {
    pkce::fits(verifier, challenge)
}
