//! The README's table of tools is the catalogue's; it is accepted as snapshots are.

use std::fmt::Write as _;

use serde_json::Value;

use crate::support::{Home, run};

const BEGIN: &str = "<!-- tools: begin (tests compare this table with the catalogue) -->\n";
const END: &str = "<!-- tools: end -->";

fn tools(arguments: &[&str]) -> Vec<Value> {
    let ran = run(&Home::new(), arguments);
    let mut catalogue: Value = serde_json::from_str(&ran.stdout).unwrap();
    serde_json::from_value(catalogue["tools"].take()).unwrap()
}

#[test]
fn the_readme_lists_every_tool_as_the_catalogue_describes_it() {
    let offered = tools(&["tools", "--json"]);
    let mut table = String::from("| tool | | does |\n|---|---|---|\n");
    for tool in tools(&["tools", "--json", "--toolsets", "all"]) {
        let default = offered.iter().any(|other| other["name"] == tool["name"]);
        let creates = tool["annotations"]["readOnlyHint"] == false;
        let mark = match (default, creates) {
            (true, true) => "creates",
            (true, false) => "",
            (false, _) => "`--toolsets all`",
        };
        let description = tool["description"].as_str().unwrap();
        let sentence = description
            .split_once(". ")
            .map_or(description, |(first, _)| first);
        let name = tool["name"].as_str().unwrap();
        writeln!(
            table,
            "| `{name}` | {mark} | {} |",
            sentence.trim_end_matches('.')
        )
        .unwrap();
    }

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(file).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (listed, after) = rest.split_once(END).unwrap();

    // As the snapshots are.
    if listed != table && std::env::var("INSTA_UPDATE").is_ok_and(|how| how == "always") {
        std::fs::write(file, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert!(
        listed == table,
        "`INSTA_UPDATE=always cargo nextest run readme` puts this table into README.md:\n{table}"
    );
}
