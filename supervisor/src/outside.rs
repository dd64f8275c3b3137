//! The HTTP client for Service Fusion alone. It is made when it is first needed: it holds all of the system's
//! certificates, and a service that nobody uses needs none.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use sf_mcp::auth::oauth;

/// Clones share one client.
#[derive(Clone, Debug, Default)]
pub struct Outside(Arc<OnceLock<reqwest::Client>>);

impl Outside {
    /// It follows no redirects.
    pub fn client(&self) -> Result<&reqwest::Client, oauth::Error> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(30))
            .user_agent(concat!("sf-supervisor/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|problem| {
            oauth::Error::Unavailable(format!(
                "the HTTP client cannot be made: {problem}; are the system's certificates installed?"
            ))
        })?;
        Ok(self.0.get_or_init(|| client))
    }
}
