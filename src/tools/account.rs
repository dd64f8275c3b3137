//! The account: who is connected, and what can be done.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::Fields,
    config::Toolset,
    server::{
        call::Call,
        tool::{Tool, record_output},
        tool_error::ToolError,
    },
    service_fusion::record::Record,
};

const DESCRIPTION: &str = "Who is connected to Service Fusion, the time zone that dates are resolved in, how many requests are left this minute, and what the API cannot do.";

#[derive(Deserialize, JsonSchema)]
struct GetAccount {}

pub(super) fn tools() -> Vec<Tool> {
    let get = Tool::read(
        "get_account",
        "Account",
        DESCRIPTION,
        || record_output("user_id"),
        |call, GetAccount {}| get(call),
    );
    vec![get.in_toolset(Toolset::Extra)]
}

async fn get(call: Call) -> Result<Fields, ToolError> {
    let answer = call.client().get("me", &call.patience).await?;
    let me = Record::new(answer);
    let company = call.company();
    let (left, limit) = company.client.budget().left().await;
    Ok(Fields::new()
        .with("user_id", me.id("id"))
        .with("name", me.name("first_name", "last_name"))
        .with("email", me.text("email"))
        .with("profile", company.profile.clone())
        .with_flag("is_sandbox", company.demo)
        .with("time_zone", call.clock().zone_name())
        .with(
            "now",
            call.clock().now().strftime("%Y-%m-%dT%H:%M").to_string(),
        )
        .with("requests_left", left)
        .with("requests_a_minute", limit)
        .with(
            "not_possible_through_the_api",
            vec![
                "change or delete anything: open the record in Service Fusion and edit it there",
                "assign, reschedule or dispatch a job: Service Fusion's dispatch board",
                "make, send or collect an invoice: the job's Invoice page",
                "turn an estimate into a job: the estimate's own page",
                "read the price book, files, or the company's name",
            ],
        ))
}
