//! The manifest (version 0.3) of a one-click extension, `.mcpb`: what a release's and a company's say alike.

use serde_json::{Map, Value, json};

use crate::{clients::SERVER, tools::listed::listed};

/// What differs from one extension to the next. There is one program in each and so one platform, which needs no
/// overrides.
#[derive(Clone, Debug)]
pub struct Extension<'a> {
    /// An extension replaces another one of the same name and author.
    pub name: &'a str,
    pub display_name: &'a str,
    pub long_description: &'a str,
    /// In Node's words: `darwin`, `linux` or `win32`.
    pub os: &'a str,
    /// Where the program is in the archive.
    pub program: &'a str,
    pub env: Value,
    /// What the client asks the person for; an empty object for nothing.
    pub user_config: Map<String, Value>,
}

impl Extension<'_> {
    /// `manifest.json`; the icon beside it is `icon.png`.
    pub fn manifest(&self) -> Value {
        let tools = listed().iter().filter(|tool| tool.by_default);
        let tools = tools.map(|tool| json!({"name": tool.name, "description": tool.description}));
        let mut manifest = json!({
            "manifest_version": "0.3",
            "name": self.name,
            "display_name": self.display_name,
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Customers, jobs, estimates and the dispatch board of Service Fusion",
            "long_description": self.long_description,
            "author": {"name": "sf-mcp"},
            "icon": "icon.png",
            "license": "Apache-2.0 OR MIT",
            "keywords": ["service fusion", "field service", "dispatch"],
            "server": {
                "type": "binary",
                "entry_point": self.program,
                "mcp_config": {
                    "command": format!("${{__dirname}}/{}", self.program),
                    "args": ["serve"],
                    "env": self.env,
                },
            },
            "tools": tools.collect::<Vec<_>>(),
            "prompts_generated": true,
            "compatibility": {"platforms": [self.os]},
        });
        if !self.user_config.is_empty() {
            manifest["user_config"] = Value::Object(self.user_config.clone());
        }
        manifest
    }

    /// The one of a release, for nobody in particular. Both fields may stay empty where `sf-mcp login` was done: the
    /// client then hands the placeholder itself over, which counts as nothing.
    pub fn of_a_release<'a>(os: &'a str, program: &'a str) -> Extension<'a> {
        let asked = json!({
            "client_id": {
                "type": "string",
                "title": "Client id",
                "description": "Of an OAuth Consumer: in Service Fusion under My Office > Developer Settings. \
                                Leave it empty if `sf-mcp login` was done on this computer.",
                "required": false,
            },
            "client_secret": {
                "type": "string",
                "title": "Client secret",
                "description": "The secret that belongs to the client id.",
                "required": false,
                "sensitive": true,
            },
        });
        Extension {
            name: SERVER,
            display_name: "Service Fusion",
            long_description: "Runs sf-mcp on this computer. It reads customers, jobs, estimates, technicians and equipment of your company \
                               and creates customers, jobs and estimates; it changes and deletes nothing.",
            os,
            program,
            env: json!({
                "SF_MCP_CLIENT_ID": "${user_config.client_id}",
                "SF_MCP_CLIENT_SECRET": "${user_config.client_secret}",
            }),
            user_config: asked.as_object().cloned().unwrap_or_default(),
        }
    }
}
