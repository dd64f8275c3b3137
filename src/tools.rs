//! The catalogue: every tool there is, in the order in which clients list them.

use crate::{
    config::Toolset,
    server::tool::{Access, Tool},
};

mod account;
mod customers;
mod dispatch;
mod equipment;
mod estimates;
mod follow_ups;
mod invoices;
mod jobs;
pub mod listed;
mod reference;
mod technicians;

/// The tools of the chosen toolsets; `read_only` leaves out those that create.
pub fn catalog(toolsets: &[Toolset], read_only: bool) -> Vec<Tool> {
    let mut tools: Vec<Tool> = [
        customers::tools(),
        jobs::tools(),
        estimates::tools(),
        technicians::tools(),
        equipment::tools(),
        dispatch::tools(),
        follow_ups::tools(),
        reference::tools(),
        invoices::tools(),
        account::tools(),
    ]
    .into_iter()
    .flatten()
    .filter(|tool| toolsets.contains(&tool.toolset))
    .filter(|tool| !(read_only && tool.access == Access::Creates))
    .collect();
    // The same order in every process keeps clients' prompt caches warm.
    tools.sort_by_key(|tool| tool.name);
    tools
}

/// Why a tool that exists is not offered here; `None` when there is no such tool at all.
pub fn left_out(name: &str) -> Option<String> {
    let all = catalog(&[Toolset::Core, Toolset::Dispatch, Toolset::Extra], false);
    let tool = all.iter().find(|tool| tool.name == name)?;
    Some(match (tool.access, tool.toolset) {
        (Access::Creates, _) => {
            format!("`{name}` creates something and is left out: start without --read-only")
        }
        (_, Toolset::Extra) => format!("`{name}` is in the toolset `extra`: add --toolsets all"),
        _ => format!("`{name}` is left out by --toolsets"),
    })
}
