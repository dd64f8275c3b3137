//! Tokens, codes and secrets as they are shown to us: lines of headers, an empty one, and what stands for a body, a code
//! and a form at once.

#![no_main]

use axum::http::header::AUTHORIZATION;
use libfuzzer_sys::fuzz_target;
use sf_fuzz::{head_and_body, headers};
use sf_supervisor::{
    oauth::fuzzing::{fits, is_challenge, secret},
    one_time_codes::code_in,
    params::Params,
    token::rejected,
    tokens, web,
};

fuzz_target!(|input: &[u8]| {
    let (head, body) = head_and_body(input);
    let headers = headers(&head);
    let sent = headers.get_all(AUTHORIZATION).iter().count();
    let bearer = web::bearer(&headers);
    if let Some(token) = bearer {
        assert!(sent == 1 && (1..=256).contains(&token.len()) && token.trim() == token);
        assert!(tokens::hash(token).len() == 43 && tokens::hash(token) != token);
        assert!(tokens::hash(&format!("{token} ")) != tokens::hash(token));
    }
    if let Some((id, secret)) = secret(&headers) {
        assert!(sent == 1 && bearer.is_none(), "{id} {secret}");
    }

    if let Ok(Some(hash)) = rejected(body) {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        assert!(hash.len() == 64 && hash.bytes().all(is_digit));
        assert!(String::from_utf8_lossy(body).to_lowercase().contains(&hash));
    }
    let text = String::from_utf8_lossy(body);
    if let Some(code) = code_in(&text) {
        assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(code_in(&code), Some(code));
    }
    if is_challenge(&text) {
        assert!(!fits(&text, &text), "a challenge is no verifier of itself");
    }
    form(body);
});

/// A parameter counts when it comes once and is not empty.
fn form(body: &[u8]) {
    let params = Params::parse(body);
    let pairs: Vec<_> = url::form_urlencoded::parse(body).collect();
    let mut repeats = false;
    for (name, _) in &pairs {
        let values: Vec<_> = pairs
            .iter()
            .filter(|(other, value)| other == name && !value.is_empty())
            .collect();
        repeats |= values.len() > 1;
        match (params.get(name), values.as_slice()) {
            (Some(value), [(_, only)]) => assert_eq!(value, only),
            (None, [_]) | (Some(_), _) => panic!("{name} is {:?}", params.get(name)),
            (None, _) => {}
        }
    }
    assert_eq!(params.repeated().is_some(), repeats);
}
