//! The clients: which forms each has, whether a token is in its file, and what the file is called.

use sf_mcp::clients;

use crate::tokens::Kind;

/// Where the client's requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// To sf-mcp on the client's machine.
    Local,
    /// To this service's `/mcp`.
    Remote,
}

impl Form {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    ClaudeDesktop,
    ClaudeCode,
    Cursor,
    VsCode,
    Codex,
    Env,
    Mcpb,
}

impl Client {
    pub(super) const ALL: [Self; 7] = [
        Self::ClaudeDesktop,
        Self::ClaudeCode,
        Self::Cursor,
        Self::VsCode,
        Self::Codex,
        Self::Env,
        Self::Mcpb,
    ];

    /// As it stands in the address.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => "claude-desktop",
            Self::ClaudeCode => "claude-code",
            Self::Cursor => "cursor",
            Self::VsCode => "vscode",
            Self::Codex => "codex",
            Self::Env => "env",
            Self::Mcpb => "mcpb",
        }
    }

    pub(super) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|client| client.name() == name)
    }

    /// What sf-mcp knows of the client; nothing of the two that are no configuration file.
    pub(super) fn known(self) -> Option<&'static clients::Client> {
        clients::Client::find(self.name())
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Env => "Environment file",
            Self::Mcpb => "Claude Desktop extension",
            _ => self.known().map_or(self.name(), |known| known.title),
        }
    }

    /// The first is the default. Claude Desktop takes remote servers in its settings, not from a file.
    pub(super) fn forms(self) -> &'static [Form] {
        match self {
            Self::ClaudeDesktop | Self::Mcpb => &[Form::Local],
            _ => &[Form::Local, Form::Remote],
        }
    }

    /// The kind of token in the file; `None` where the client signs in by OAuth.
    pub(super) fn token(self, form: Form) -> Option<Kind> {
        match (form, self) {
            (Form::Local, _) => Some(Kind::Device),
            (Form::Remote, Self::Env) => Some(Kind::Bearer),
            (Form::Remote, _) => None,
        }
    }

    pub(super) fn has_command(self) -> bool {
        matches!(self, Self::ClaudeCode | Self::Codex)
    }

    /// The file's name and content type.
    pub(super) fn file(self) -> (&'static str, &'static str) {
        const JSON: &str = "application/json";
        match self {
            Self::ClaudeDesktop => ("claude_desktop_config.json", JSON),
            // `.mcp.json`, but browsers take away the dot.
            Self::ClaudeCode => ("service-fusion.mcp.json", JSON),
            Self::Cursor | Self::VsCode => ("mcp.json", JSON),
            Self::Codex => ("config.toml", "application/toml"),
            Self::Env => ("service-fusion.env", "text/plain; charset=utf-8"),
            Self::Mcpb => ("service-fusion.mcpb", "application/octet-stream"),
        }
    }
}
