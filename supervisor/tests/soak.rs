//! A long run with churn and faults, after which everything is as it was: `tests/soak` runs it.
//!
//! Companies call through nginx at three real replicas in both eras, while their sf-mcp processes are killed and
//! replaced, access tokens end every few seconds, Service Fusion fails in many ways, and replicas are restarted.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::{Value, json};
use sf_mcp::sandbox;

use self::{
    load::{Load, Tally},
    measure::{Measured, tables},
    trouble::Trouble,
};
use crate::{
    scale_out::{ScaledOut, customers, is_possible},
    support::{sf_mcp, until},
};

mod load;
mod measure;
mod trouble;

/// Callers at once.
const CALLERS: usize = 24;
/// How long Service Fusion's access tokens are good.
const TOKEN_LIFE: Duration = Duration::from_secs(6);
/// How long a child that nobody asks lives, in seconds.
const IDLE: u64 = 2;

/// What a run is asked for by the environment.
#[derive(Clone, Copy, Debug)]
struct Plan {
    tenants: usize,
    seconds: u64,
    seed: u64,
}

impl Plan {
    fn read() -> Self {
        let number = |name: &str, usual: u64| {
            let text = std::env::var(name).ok();
            text.map_or(usual, |text| text.parse().unwrap())
        };
        Self {
            tenants: usize::try_from(number("SF_SUPERVISOR_SOAK_TENANTS", 200)).unwrap(),
            seconds: number("SF_SUPERVISOR_SOAK_SECONDS", 120),
            seed: number("SF_SUPERVISOR_SOAK_SEED", u64::from(std::process::id())),
        }
    }
}

/// Numbers that look random and are the same for a seed.
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes minutes to hours: run tests/soak"]
async fn after_a_long_run_everything_is_as_it_was() {
    assert!(
        is_possible(),
        "a soak needs PostgreSQL and nginx: run tests/soak"
    );
    let plan = Plan::read();
    eprintln!("{plan:?}");
    let mut scaled = started(plan).await;
    let load = Arc::new(load_of(&scaled, plan).await);

    // Everybody once; then the same for twice as long.
    let mut tally = load.everybody().await;
    let mut rows = vec![at_rest(&scaled, "after each company's first calls", &tally).await];
    let mut trouble = Trouble::new(plan.seed);
    for title in ["after half of the run", "after the run"] {
        let (half, ()) = tokio::join!(
            load.run(Duration::from_secs(plan.seconds) / 2),
            trouble.make(&mut scaled, Duration::from_secs(plan.seconds) / 2)
        );
        tally.add(half);
        rows.push(at_rest(&scaled, title, &tally).await);
    }
    let tables = tables(&scaled.around.database).await;
    let made = customers(&scaled).await;
    let processes = stopped(&mut scaled, &trouble).await;
    let counted = scaled.counted().await;

    print(&rows, &tally, &trouble, counted);
    let mut wrong = tally.wrong.clone();
    wrong.extend(measure::what_grew(&rows, &tables));
    wrong.extend(tally.not_once(&made));
    wrong.extend(
        processes
            .iter()
            .map(|process| format!("process {process} is still there")),
    );
    let all = i64::try_from(tally.counted()).unwrap();
    let perhaps = i64::try_from(tally.perhaps_counted()).unwrap();
    if !(all..=all + perhaps).contains(&counted) {
        wrong.push(format!(
            "{all} to {} calls were made, {counted} are counted",
            all + perhaps
        ));
    }
    if !wrong.is_empty() {
        eprintln!("nginx said:\n{}", unusual(&scaled.nginx.errors()));
    }
    let count = wrong.len();
    wrong.truncate(20);
    assert!(
        wrong.is_empty(),
        "{count} things are wrong, such as {wrong:#?}"
    );
    // Or nothing was tried.
    assert!(tally.good * 2 > tally.counted(), "{tally:?}");
}

/// The last lines of nginx's log, but for those about a replica that is away: another one has the call then.
fn unusual(log: &str) -> String {
    let lines = log.lines().rev();
    let mut lines: Vec<&str> = lines
        .filter(|line| !line.contains("connect() failed"))
        .take(20)
        .collect();
    lines.reverse();
    lines.join("\n")
}

async fn started(plan: Plan) -> ScaledOut {
    let options = sandbox::Options {
        control: true,
        requests_per_window: 0,
        token_life: TOKEN_LIFE,
        ..sandbox::Options::default()
    };
    // Fewer than there are companies, and more than can be busy.
    let most = (plan.tenants / 6).max(CALLERS);
    let children = format!("[children]\nmost = {most}\nidle = {IDLE}\n");
    ScaledOut::with(options, |_| sf_mcp(), &children).await
}

/// Companies that are connected, and what they ask.
async fn load_of(scaled: &ScaledOut, plan: Plan) -> Load {
    let mut tokens = Vec::new();
    for number in 0..plan.tenants {
        let email = format!("owner{number}@example.com");
        tokens.extend(scaled.connected(&email, 1).await);
    }
    Load {
        http: scaled.http.clone(),
        url: scaled.url.clone(),
        tokens,
        jobs: jobs(scaled).await,
        seed: plan.seed,
    }
}

/// Ids of jobs in the sandbox.
async fn jobs(scaled: &ScaledOut) -> Vec<i64> {
    let token = crate::scale_out::sandbox_token(scaled).await;
    let url = format!("{}/v1/jobs?per-page=50", scaled.around.sandbox.origin());
    let answer = reqwest::Client::new().get(url).bearer_auth(token).send();
    let answer = answer.await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let items = answer["items"].as_array().unwrap().iter();
    items.map(|job| job["id"].as_i64().unwrap()).collect()
}

/// What there is once nobody calls and the last child has ended.
async fn at_rest(scaled: &ScaledOut, title: &'static str, tally: &Tally) -> Measured {
    scaled.faults(&json!([])).await;
    let clear = format!("{}/sandbox/faults", scaled.around.sandbox.origin());
    let cleared = reqwest::Client::new().delete(clear).send().await.unwrap();
    assert_eq!(cleared.status(), 204);
    until("end of the last child", async || {
        let running = scaled.replicas.iter().flatten();
        let mut children = running.flat_map(|replica| measure::children_of(replica.process()));
        children.next().is_none().then_some(())
    })
    .await;
    Measured::now(scaled, title, tally.counted()).await
}

/// Stops the replicas as a service manager does; returns which of all their processes are still there.
async fn stopped(scaled: &mut ScaledOut, trouble: &Trouble) -> BTreeSet<u32> {
    for number in 0..3 {
        scaled.stop(number).await;
    }
    let all = trouble.processes.iter().copied();
    all.filter(|process| measure::is_ours(*process)).collect()
}

fn print(rows: &[Measured], tally: &Tally, trouble: &Trouble, counted: i64) {
    eprintln!("\n{}", measure::table(rows));
    eprintln!(
        "{} calls good, {} failed in words ({:?}), {} left by their clients; {counted} counted",
        tally.good,
        tally.failed(),
        tally.failures,
        tally.left
    );
    for (why, said) in &tally.said {
        eprintln!("  {why}: {said}");
    }
    eprintln!(
        "{} customers created; {} children killed, {} faults, {} replicas restarted, {} processes seen",
        tally.made.len(),
        trouble.killed,
        trouble.faults,
        trouble.restarted,
        trouble.processes.len()
    );
}
