//! What a client is handed, in the shapes that it reads: a file, install links, a command.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sf_mcp::clients::{SERVER, entry::Entry};

use crate::{
    bundles::{
        asked::COMMAND,
        text::{encoded, word},
    },
    clients::{Client, Form},
};

/// Everything that a bundle is made of.
pub(super) struct Handed<'a> {
    pub(super) client: Client,
    pub(super) form: Form,
    /// This service, without a slash at its end.
    pub(super) url: &'a str,
    /// Where sf-mcp is.
    pub(super) command: &'a str,
    /// On one line.
    pub(super) company: &'a str,
    pub(super) token: &'a str,
    /// Of the company, where it is known.
    pub(super) time_zone: Option<&'a str>,
}

impl Handed<'_> {
    fn mcp(&self) -> String {
        format!("{}/mcp", self.url)
    }

    /// The two variables that sign sf-mcp in, and the company's time zone.
    fn variables(&self) -> Vec<(&'static str, &str)> {
        let mut variables = vec![
            ("SF_MCP_SUPERVISOR_URL", self.url),
            ("SF_MCP_DEVICE_TOKEN", self.token),
        ];
        variables.extend(self.time_zone.map(|zone| ("SF_MCP_TIME_ZONE", zone)));
        variables
    }

    /// How the client starts sf-mcp.
    fn entry(&self) -> Entry {
        let variables = self.variables();
        Entry {
            command: self.command.to_owned(),
            args: vec!["serve".to_owned()],
            env: variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    /// The file's text.
    pub(super) fn file(&self) -> String {
        // Some readers take a backslash at a comment's end for its continuation.
        let of = format!("# {}: Service Fusion\n", self.company);
        match (self.client, self.form) {
            (Client::Env, _) => of + &self.environment(),
            (Client::Codex, Form::Local) => of + &self.snippet(),
            (Client::Codex, Form::Remote) => of + &self.remote_section(),
            (_, Form::Local) => self.snippet(),
            (_, Form::Remote) => self.remote_object(),
        }
    }

    fn snippet(&self) -> String {
        let known = self.client.known();
        known.map_or_else(String::new, |known| known.snippet(&self.entry()))
    }

    fn environment(&self) -> String {
        let mcp = self.mcp();
        let variables = match self.form {
            Form::Local => self.variables(),
            Form::Remote => vec![
                ("SF_MCP_REMOTE_URL", &*mcp),
                ("SF_MCP_REMOTE_TOKEN", self.token),
            ],
        };
        let line = |(name, value): (&str, &str)| format!("{name}={}\n", word(value));
        variables.into_iter().map(line).collect()
    }

    fn remote_section(&self) -> String {
        let url = toml::Value::String(self.mcp());
        format!("[mcp_servers.{SERVER}]\nurl = {url}\n")
    }

    fn remote_object(&self) -> String {
        let key = self.client.known().map_or("mcpServers", |known| known.key);
        format!("{:#}\n", json!({ key: { SERVER: self.server() } }))
    }

    /// One server as the client's JSON describes it.
    fn server(&self) -> Value {
        let typed = self.client != Client::Cursor;
        match self.form {
            Form::Remote if typed => json!({"type": "http", "url": self.mcp()}),
            Form::Remote => json!({"url": self.mcp()}),
            Form::Local => {
                let Entry { command, args, env } = self.entry();
                if typed {
                    json!({"type": "stdio", "command": command, "args": args, "env": env})
                } else {
                    json!({"command": command, "args": args, "env": env})
                }
            }
        }
    }

    /// What a browser opens to install the server, with a title each. A web page is among them only when there is no
    /// token in the link: its host would see it.
    pub(super) fn links(&self) -> Vec<(&'static str, String)> {
        match self.client {
            Client::Cursor => vec![("Cursor", self.cursor_link())],
            Client::VsCode => self.vscode_links(),
            _ => Vec::new(),
        }
    }

    fn cursor_link(&self) -> String {
        let config = encoded(&STANDARD.encode(self.server().to_string()));
        format!("cursor://anysphere.cursor-deeplink/mcp/install?name={SERVER}&config={config}")
    }

    fn vscode_links(&self) -> Vec<(&'static str, String)> {
        let server = self.server();
        let mut named = json!({"name": SERVER});
        if let (Some(named), Some(server)) = (named.as_object_mut(), server.as_object()) {
            named.extend(server.clone());
        }
        let link = |scheme| format!("{scheme}:mcp/install?{}", encoded(&named.to_string()));
        let page = |host| {
            let config = encoded(&server.to_string());
            format!("https://{host}/redirect/mcp/install?name={SERVER}&config={config}")
        };
        let mut links = vec![
            ("VS Code", link("vscode")),
            ("VS Code Insiders", link("vscode-insiders")),
        ];
        if self.form == Form::Remote {
            links.push(("VS Code, web page", page("vscode.dev")));
            links.push(("VS Code Insiders, web page", page("insiders.vscode.dev")));
        }
        links
    }

    /// One line for a terminal.
    pub(super) fn command_line(&self) -> Option<String> {
        let env = self
            .variables()
            .into_iter()
            .map(|(name, value)| format!("--env {}", word(&format!("{name}={value}"))))
            .collect::<Vec<_>>()
            .join(" ");
        let (command, mcp) = (word(self.command), word(&self.mcp()));
        // Claude Code takes a name right after --env for one more variable.
        let line = match (self.client, self.form) {
            (Client::ClaudeCode, Form::Local) => {
                format!("claude mcp add {env} --scope user {SERVER} -- {command} serve")
            }
            (Client::ClaudeCode, Form::Remote) => {
                format!("claude mcp add --transport http --scope user {SERVER} {mcp}")
            }
            (Client::Codex, Form::Local) => {
                format!("codex mcp add {SERVER} {env} -- {command} serve")
            }
            (Client::Codex, Form::Remote) => format!("codex mcp add {SERVER} --url {mcp}"),
            _ => return None,
        };
        Some(line + "\n")
    }

    /// What a person does with it.
    pub(super) fn next(&self) -> Option<String> {
        let client = self.once_there();
        if self.form == Form::Remote {
            return client.map(str::to_owned);
        }
        let signed_in = "Install sf-mcp on that machine first. Then save this file there and run `sf-mcp login --bundle FILE`";
        let Some(known) = self.client.known() else {
            return Some(format!(
                "{signed_in} and `sf-mcp install CLIENT`, or give its lines to a container as environment."
            ));
        };
        let path = if self.command == COMMAND {
            "; ask again with command= and the full path of sf-mcp, because desktop programs search no PATH"
        } else {
            ""
        };
        Some(format!(
            "{signed_in} and `sf-mcp install {}`, which writes the full path of sf-mcp and keeps other servers. {} \
             Administrators can put the file's entry into the configuration themselves{path}.",
            known.name,
            client.unwrap_or_default()
        ))
    }

    /// Once the configuration is there.
    fn once_there(&self) -> Option<&'static str> {
        match (self.client, self.form) {
            (Client::Codex, Form::Remote) => {
                Some("Run `codex mcp login service-fusion`, then start a new Codex session.")
            }
            (Client::ClaudeCode, Form::Remote) => {
                Some("Start a new Claude Code session and sign in under `/mcp`.")
            }
            _ => self.client.known().map(|known| known.next),
        }
    }
}
