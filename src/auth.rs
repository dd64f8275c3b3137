//! What "signed in" means: an access token that is valid now, and where the next one comes from.

pub mod broker;
mod device;
pub mod lock;
pub mod master_key;
pub mod oauth;
pub mod rotation;
pub mod session;
pub mod steps;
pub mod vault;
