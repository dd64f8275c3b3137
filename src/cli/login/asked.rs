//! What a person is told and asked at a login: where the id and secret are found, and the two themselves.

use std::io::{BufRead, IsTerminal};

use anyhow::Context;
use secrecy::SecretString;

use crate::cli::{
    Exit, Failure,
    login::{browser::Redirect, hidden},
};

const CONSUMER: &str = "\
sf-mcp needs an id and a secret that Service Fusion makes for your company. An administrator finds
them in Service Fusion under My Office > Developer Settings, as an \"OAuth Consumer\" (make one if
there is none). Paste them here; the secret is not shown, and neither is sent to anybody else.";

const APP: &str = "\
You will sign in to Service Fusion in your browser. That needs an app there, made once: an
administrator opens My Office > Developer Settings > Connected Apps and chooses \"Add New OAuth
App\", with any name and this redirect URL (which must be the same, letter by letter):";

const PORT: &str = "\
The number in it is another one each time. To keep one, stop with Ctrl+C and run
`sf-mcp login --browser --port 8765`.";

const APP_IDS: &str = "\
Service Fusion then shows the app's client id and client secret. Paste them here; the secret is
not shown.";

/// How often an empty answer is asked for again.
const TRIES: usize = 3;

/// Says where the credentials come from, and for a login in the browser which address to register.
pub(super) fn explain(redirect: Option<&Redirect>, asking: bool, port_given: bool) {
    match (redirect, asking) {
        (None, true) => eprintln!("{CONSUMER}\n"),
        (None, false) => {}
        (Some(redirect), false) => {
            eprintln!(
                "The app's redirect URL in Service Fusion must be {}",
                redirect.address
            );
        }
        (Some(redirect), true) => {
            eprintln!("{APP}\n\n  {}\n", redirect.address);
            if !port_given {
                eprintln!("{PORT}\n");
            }
            eprintln!("{APP_IDS}\n");
        }
    }
}

/// The id as given, or as typed at the terminal.
pub(super) fn client_id(given: Option<&str>) -> Result<String, Failure> {
    if let Some(id) = given {
        let id = filled("client id", id)?;
        if std::env::var("SF_MCP_CLIENT_ID").is_ok_and(|set| set.trim() == id) {
            eprintln!("Client id: {id} (SF_MCP_CLIENT_ID is set; unset it to be asked)");
        }
        return Ok(id);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "there is no terminal to ask on; give --client-id and --client-secret-stdin",
        ));
    }
    until_filled("client id", || {
        eprint!("Client id: ");
        line_of_stdin("asking for the client id")
    })
}

/// The secret, from stdin or as typed at the terminal without being shown.
pub(super) fn client_secret(from_stdin: bool) -> Result<SecretString, Failure> {
    if from_stdin {
        let line = line_of_stdin("reading the client secret from stdin")?.unwrap_or_default();
        return Ok(filled("client secret", &line)?.into());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "there is no terminal to ask on; pass the secret with --client-secret-stdin",
        ));
    }
    let secret = until_filled("client secret", || {
        hidden::line("Client secret (not shown): ").context("asking for the client secret")
    })?;
    Ok(secret.into())
}

/// `None` when there is nothing more to read.
pub(super) fn line_of_stdin(doing: &'static str) -> Result<Option<String>, Failure> {
    let mut line = String::new();
    let read = std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context(doing)?;
    Ok((read > 0).then_some(line))
}

pub(super) fn filled(what: &str, text: &str) -> Result<String, Failure> {
    match text.trim() {
        "" => Err(Failure::new(
            Exit::Usage,
            format!("the {what} is empty; nothing was stored"),
        )),
        text => Ok(text.to_owned()),
    }
}

/// A person has ended the input (Ctrl+D), or pressed Ctrl+C where that is not a signal.
fn stopped() -> Failure {
    // The cursor is still behind the question.
    eprintln!();
    Failure::new(Exit::Failed, "Stopped; nothing was stored.")
}

/// Asks again when only Enter was pressed, but not for ever. `ask` returns `None` when the person wants no more.
pub(super) fn until_filled<E: Into<Failure>>(
    what: &str,
    mut ask: impl FnMut() -> Result<Option<String>, E>,
) -> Result<String, Failure> {
    for left in (0..TRIES).rev() {
        let text = ask().map_err(Into::into)?.ok_or_else(stopped)?;
        if let Ok(text) = filled(what, &text) {
            return Ok(text);
        }
        if left > 0 {
            eprintln!(
                "That was empty. Type or paste the {what} and press Enter, or stop with Ctrl+C."
            );
        }
    }
    filled(what, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answers: &[&str]) -> (Option<String>, usize) {
        let mut asked = 0;
        let outcome = until_filled("client id", || {
            asked += 1;
            Ok::<_, Failure>(answers.get(asked - 1).map(|text| (*text).to_owned()))
        });
        (outcome.ok(), asked)
    }

    #[test]
    fn an_empty_answer_is_asked_for_again_but_not_for_ever() {
        assert_eq!(asked(&[" id \n"]), (Some("id".to_owned()), 1));
        assert_eq!(asked(&["\n", "  \n", "id\n"]), (Some("id".to_owned()), 3));
        assert_eq!(asked(&["\n", "\n", "\n", "id\n"]), (None, 3));
        assert_eq!(asked(&[]), (None, 1));
    }
}
