//! From an e-mail address to an active company: `register` sends a code, `confirm` spends it, `activate` brings the
//! credentials. The answers are the same whether or not the address is known.

pub mod activate;
pub mod browser;
pub mod callback;
pub mod confirm;
pub mod connect;
pub mod pages;
mod proof;
pub mod register;
