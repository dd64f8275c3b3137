//! Jobs: the work orders.

mod create;
mod doubts;
mod get;
mod search;

use crate::server::tool::Tool;

pub(super) fn tools() -> Vec<Tool> {
    vec![search::tool(), get::tool(), create::tool()]
}
