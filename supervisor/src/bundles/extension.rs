//! The one-click extension of Claude Desktop, `.mcpb`: a zip with a manifest (version 0.3), an icon and sf-mcp.
//!
//! The device token stands in the manifest's `env` and not in `user_config`: there a default does not count as filled
//! in, so the person would have to type what the file already has.

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sf_mcp::{clients::SERVER, extension::Extension};

use crate::{
    app::App,
    archive::{self, Part},
    binaries::Platform,
    bundles::{download, text},
    clients::Client,
    error::Problem,
    store::Tenant,
};

/// Letters of a company's name in its extension's; clients put that before the names of tools, which have 64 at most.
const LETTERS: usize = 12;
const ICON: &[u8] = include_bytes!("../../assets/icon.png");

/// The extension of one company for one platform. sf-mcp is compressed already and is sent without a copy.
pub(super) fn answer(
    app: &App,
    tenant: &Tenant,
    token: &SecretString,
    platform: Platform,
    program: Part,
) -> Result<Response, Problem> {
    let manifest = manifest(&app.config.public_url, tenant, token, platform);
    let pieces = pieces(&manifest, program).map_err(|problem| {
        tracing::error!(%problem, "an extension cannot be packed");
        Problem::internal()
    })?;
    let length: usize = pieces.iter().map(Bytes::len).sum();
    let pieces = pieces.into_iter().map(Ok::<_, std::convert::Infallible>);
    let (name, kind) = Client::Mcpb.file();
    let mut answer = download(name, kind, Body::from_stream(stream::iter(pieces)));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(answer)
}

/// The archive. The manifest comes first.
pub fn pieces(manifest: &Value, program: Part) -> std::io::Result<Vec<Bytes>> {
    let manifest = format!("{manifest:#}\n");
    archive::archive(&[
        Part::pack("manifest.json", false, manifest.as_bytes())?,
        Part::pack("icon.png", false, ICON)?,
        program,
    ])
}

fn manifest(url: &str, tenant: &Tenant, token: &SecretString, platform: Platform) -> Value {
    let mut env = json!({
        "SF_MCP_SUPERVISOR_URL": url,
        "SF_MCP_DEVICE_TOKEN": token.expose_secret(),
    });
    if let Some(zone) = &tenant.time_zone {
        env["SF_MCP_TIME_ZONE"] = json!(zone);
    }
    let extension = Extension {
        name: &name(tenant),
        display_name: &format!("Service Fusion ({})", text::plain(&tenant.company)),
        long_description: "Runs sf-mcp on this computer. It is signed in for your company by the service you got this file from; \
                           keep the file to yourself, and revoke it there when you no longer need it.",
        os: platform.os,
        program: &format!("server/{}", platform.program()),
        env,
        user_config: serde_json::Map::new(),
    };
    extension.manifest()
}

/// A name of its own for each company: an extension replaces another one of the same name and author.
fn name(tenant: &Tenant) -> String {
    let company = text::letters(&tenant.company, LETTERS);
    let id = tenant.id.rsplit('_').next().unwrap_or_default();
    let words = [SERVER, &company, &id[..6.min(id.len())]];
    let words = words.into_iter().filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}
