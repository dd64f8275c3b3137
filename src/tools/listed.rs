//! What the catalogue says of itself, for programs that only name tools: whoever asks the catalogue gets all that its
//! tools do with it.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// A tool by its name, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub name: String,
    pub description: String,
    /// Offered unless it is asked not to be.
    pub by_default: bool,
    pub creates: bool,
}

/// Every tool there is, in the catalogue's order.
pub fn listed() -> &'static [Listed] {
    static LISTED: LazyLock<Vec<Listed>> =
        LazyLock::new(|| serde_json::from_str(include_str!("listed.json")).unwrap_or_default());
    &LISTED
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Toolset, server::tool::Access, tools::catalog};

    #[test]
    fn the_list_is_the_catalogues_and_accepted_as_snapshots_are() {
        let all = catalog(&[Toolset::Core, Toolset::Dispatch, Toolset::Extra], false);
        let all: Vec<Listed> = all
            .iter()
            .map(|tool| Listed {
                name: tool.name.to_owned(),
                description: tool.description.to_owned(),
                by_default: tool.toolset != Toolset::Extra,
                creates: tool.access == Access::Creates,
            })
            .collect();
        if listed() != all && std::env::var("INSTA_UPDATE").is_ok_and(|how| how == "always") {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tools/listed.json");
            let text = serde_json::to_string_pretty(&all).unwrap();
            std::fs::write(file, text + "\n").unwrap();
            return;
        }
        assert_eq!(
            listed(),
            all,
            "`INSTA_UPDATE=always cargo nextest run snapshots readme` writes src/tools/listed.json"
        );
    }
}
