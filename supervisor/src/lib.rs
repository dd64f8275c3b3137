//! sf-supervisor: lends sf-mcp to many companies. It signs people up, keeps their credentials, hands out access
//! tokens and client configurations, and counts calls.
//!
//! Features ([`signup`], [`usage`], …) answer HTTP and never import one another; parts ([`store`], [`mailer`], …)
//! know no HTTP. [`app::App`] stands between them; `docs/architecture.md` has the whole of it.

pub mod account;
pub mod admin;
pub mod admission;
pub mod app;
pub mod archive;
pub mod binaries;
pub mod broker;
pub mod browser;
pub mod bundles;
pub mod charts;
pub mod child;
pub mod children;
pub mod cli;
pub mod clients;
pub mod clock;
pub mod config;
pub mod connections;
pub mod devices;
pub mod email;
pub mod error;
pub mod fleet;
pub mod front;
pub mod gateway;
pub mod hosts;
pub mod housekeeping;
pub mod ids;
pub mod in_flight;
pub mod limits;
pub mod logging;
pub mod mailer;
pub mod master_key;
pub mod members;
pub mod metrics;
pub mod oauth;
pub mod one_time_codes;
pub mod openapi;
pub mod outside;
pub mod pages;
pub mod params;
pub mod portal;
pub mod rate;
pub mod router;
pub mod scopes;
pub mod server;
pub mod sign_in;
pub mod signup;
pub mod skim;
pub mod store;
pub mod text;
pub mod time_zone;
pub mod token;
pub mod tokens;
pub mod traces;
pub mod usage;
pub mod vault;
pub mod visitor;
pub mod web;
