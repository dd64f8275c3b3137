//! The hosting service that lends the tokens: is it there, and does it still accept this device?

use crate::{
    auth::{
        broker::{Broker, Error},
        vault::Means,
    },
    cli::{
        Exit, company,
        doctor::{Check, Finding},
        status,
    },
    config::{Config, Credentials},
    service_fusion::client::build_http,
};

/// `None` for a sign-in that nobody lends. Asking for a token spends nothing there.
pub(super) async fn look(config: &Config) -> Option<Check> {
    let (device, seconds) = device(config)?;
    let http = build_http().ok()?;
    let host = device.host();
    let finding = match device.lend(&http, None).await {
        Ok(_) => Finding::Good(format!("{host} accepts this device")),
        Err(Error::Unavailable { reason, .. }) if seconds > 0 => Finding::Odd(format!(
            "{host} cannot be reached; calls go on for another {} ({reason})",
            status::duration(seconds)
        )),
        Err(problem @ Error::Unavailable { .. }) => bad(&problem, Exit::Unreachable),
        Err(problem @ Error::Revoked { .. }) => Finding::Bad {
            problem: format!("{problem}. Get a new bundle there"),
            exit: Exit::SignedOut,
        },
        Err(problem) => bad(&problem, Exit::SignedOut),
    };
    Some(Check::new("hosting service", finding))
}

fn bad(problem: &Error, exit: Exit) -> Finding {
    Finding::Bad {
        problem: problem.to_string(),
        exit,
    }
}

/// The device, and for how many seconds the token that it was lent still lives.
fn device(config: &Config) -> Option<(Broker, i64)> {
    if config.demo || Credentials::from_environment().is_some() {
        return None;
    }
    let profile = company::profile(config).ok()??;
    match (profile.open(None), profile.device) {
        (Ok(opened), _) => match &opened.secrets.means {
            Means::Device(broker) => Some((broker.clone(), status::left(&opened.secrets))),
            Means::Client { .. } => None,
        },
        (Err(_), device) => device.map(|device| (device, 0)),
    }
}
