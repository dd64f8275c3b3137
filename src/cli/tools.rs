//! `sf-mcp tools`: the catalogue as a person reads it.

use std::fmt::Write as _;

use crate::{
    cli::{Exit, Failure, print},
    config::{Config, Toolset},
    server::tool::{Access, Tool},
    tools,
};

pub(super) fn run(config: &Config, json: bool) -> Result<Exit, Failure> {
    let tools = tools::catalog(&config.toolsets, config.read_only);
    if json {
        let definitions: Vec<_> = tools.iter().map(Tool::definition).collect();
        print(&serde_json::to_string_pretty(
            &serde_json::json!({"tools": definitions}),
        )?);
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    for (toolset, heading) in [
        (Toolset::Core, "core"),
        (Toolset::Dispatch, "dispatch"),
        (Toolset::Extra, "extra (only with --toolsets all)"),
    ] {
        let members: Vec<&Tool> = tools
            .iter()
            .filter(|tool| tool.toolset == toolset)
            .collect();
        if members.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{heading}");
        for tool in members {
            let mark = if tool.access == Access::Creates {
                " (creates)"
            } else {
                ""
            };
            let _ = writeln!(
                text,
                "  {}{mark}: {}",
                tool.name,
                first_sentence(tool.description)
            );
            let _ = writeln!(text, "      {}", arguments(tool));
        }
        text.push('\n');
    }
    text.push_str("Call one from here: sf-mcp call TOOL name=value ... [--demo] [--json]");
    print(&text);
    Ok(Exit::Done)
}

fn first_sentence(description: &str) -> &str {
    description
        .split_once(". ")
        .map_or(description, |(first, _)| first)
}

/// The names of the arguments, required ones first and marked.
fn arguments(tool: &Tool) -> String {
    let schema = tool.schema();
    let required: Vec<&str> = schema
        .get("required")
        .and_then(|names| names.as_array())
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str())
        .collect();
    let all = schema
        .get("properties")
        .and_then(|properties| properties.as_object());
    let optional = all
        .into_iter()
        .flat_map(|all| all.keys())
        .filter(|name| !required.contains(&name.as_str()));
    required
        .iter()
        .map(|name| format!("{name}*"))
        .chain(optional.cloned())
        .collect::<Vec<_>>()
        .join(" ")
}
