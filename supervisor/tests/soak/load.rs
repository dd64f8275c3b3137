//! What companies ask, and whether each gets its own answer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{CALLERS, Dice};
use crate::scale_out::{LEGACY, MODERN, Told, asked, marked, message, told};

/// How marks begin, and nothing else that the sandbox company has.
const MARK: &str = "Zq-";
/// A call takes at most 55 s; what takes longer than this hangs.
const HANGS: Duration = Duration::from_secs(75);

#[derive(Debug)]
pub(super) struct Load {
    pub(super) http: reqwest::Client,
    pub(super) url: String,
    /// One of each company.
    pub(super) tokens: Vec<String>,
    pub(super) jobs: Vec<i64>,
    pub(super) seed: u64,
}

/// What became of calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) good: usize,
    /// By the word that says why.
    pub(super) failures: BTreeMap<String, usize>,
    /// Their clients went away before the answer.
    pub(super) left: usize,
    /// Names of customers that were created.
    pub(super) made: Vec<String>,
    pub(super) wrong: Vec<String>,
    /// What the first failure of each kind said.
    pub(super) said: BTreeMap<String, String>,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.good += other.good;
        self.left += other.left;
        self.made.extend(other.made);
        self.wrong.extend(other.wrong);
        for (why, said) in other.said {
            self.said.entry(why).or_insert(said);
        }
        for (why, count) in other.failures {
            *self.failures.entry(why).or_default() += count;
        }
    }

    fn fail(&mut self, why: &str, told: &Told) {
        *self.failures.entry(why.to_owned()).or_default() += 1;
        let text: String = told.text.chars().take(300).collect();
        self.said.entry(why.to_owned()).or_insert(text);
    }

    pub(super) fn failed(&self) -> usize {
        self.failures.values().sum()
    }

    /// Calls that are usage events for certain.
    pub(super) fn counted(&self) -> usize {
        self.good + self.failed() - self.before_counting()
    }

    /// Calls whose clients left may have been too early to count.
    pub(super) fn perhaps_counted(&self) -> usize {
        self.left + self.before_counting()
    }

    fn before_counting(&self) -> usize {
        self.failures
            .get("database_unavailable")
            .copied()
            .unwrap_or_default()
    }

    /// Customers that are not there once.
    pub(super) fn not_once(&self, customers: &HashMap<String, usize>) -> Vec<String> {
        let ours = customers.iter().filter(|(name, _)| name.starts_with(MARK));
        let twice = ours.filter(|(_, count)| **count > 1);
        let twice = twice.map(|(name, count)| format!("{name} is there {count} times"));
        let lost = self
            .made
            .iter()
            .filter(|name| !customers.contains_key(*name));
        let lost = lost.map(|name| format!("{name} was created and is not there"));
        twice.chain(lost).collect()
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Answered with its mark; asks nothing of Service Fusion.
    Marked,
    /// Answered with the job it asks for.
    Job(i64),
    /// A stream of events, if the program says how far it is.
    Streamed,
    Creating,
}

/// One call of one company.
struct Call {
    tenant: usize,
    id: u64,
    era: &'static str,
    kind: Kind,
    /// The client goes away after so long.
    leaves: Option<Duration>,
}

impl Call {
    /// One word, which begins no other call's.
    fn mark(&self) -> String {
        format!("{MARK}{}-{}-x", self.tenant, self.id)
    }

    fn message(&self) -> Value {
        match self.kind {
            Kind::Marked => marked(self.era, self.id, &self.mark()),
            Kind::Job(job) => message(self.era, self.id, "get_job", &json!({"job_id": job})),
            Kind::Streamed => {
                let mut call = message(self.era, self.id, "search_jobs", &json!({}));
                call["params"]["_meta"]["progressToken"] = json!(self.mark());
                call
            }
            Kind::Creating => {
                let arguments = json!({"name": self.mark(), "allow_duplicate": true});
                message(self.era, self.id, "create_customer", &arguments)
            }
        }
    }

    /// Sorts an answer; what is not this call's own is wrong.
    fn judge(&self, told: &Told, tally: &mut Tally) {
        let answer = last_message(told);
        let said = || {
            format!(
                "{} {:?}: {} {}",
                self.mark(),
                self.kind,
                told.status,
                told.text
            )
        };
        if told.status == 503 && answer["code"] == "database_unavailable" {
            tally.fail("database_unavailable", told);
        } else if told.status != 200 || answer["id"] != self.id {
            tally.wrong.push(said());
        } else if let Some(reason) = answer["error"]["data"]["reason"].as_str() {
            tally.fail(reason, told);
        } else if answer["result"]["isError"] == true {
            let code = &answer["result"]["structuredContent"]["code"];
            tally.fail(code.as_str().unwrap_or("error"), told);
        } else if self.is_own(&answer, &told.text) {
            tally.good += 1;
            if matches!(self.kind, Kind::Creating) {
                tally.made.push(self.mark());
            }
        } else {
            tally.wrong.push(said());
        }
    }

    fn is_own(&self, answer: &Value, text: &str) -> bool {
        let content = &answer["result"]["structuredContent"];
        // Whatever else it is: no other call's mark is in it.
        let marks = text.matches(MARK).count();
        let own = text.matches(&self.mark()).count();
        match self.kind {
            Kind::Marked => own > 0 && marks == own,
            Kind::Creating => content["created"] == true && own > 0 && marks == own,
            Kind::Job(job) => content["job_id"] == job && marks == 0,
            Kind::Streamed => content["jobs"].is_array() && marks == own,
        }
    }
}

/// The answer itself, or the last event of a stream.
fn last_message(told: &Told) -> Value {
    if !told.body.is_null() {
        return told.body.clone();
    }
    let mut lines = told.text.lines().rev();
    let last = lines.find_map(|line| line.strip_prefix("data: "));
    let last = last.unwrap_or_default();
    serde_json::from_str(last).unwrap_or_default()
}

impl Load {
    /// Each company calls twice.
    pub(super) async fn everybody(&self) -> Tally {
        let next = AtomicU64::new(0);
        let callers = (0..CALLERS).map(async |_| {
            let mut tally = Tally::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let tenant = usize::try_from(number).unwrap();
                if tenant >= self.tokens.len() {
                    return tally;
                }
                for (id, kind) in [(1, Kind::Marked), (2, Kind::Job(self.jobs[0]))] {
                    let call = Call {
                        tenant,
                        id,
                        era: if id == 1 { MODERN } else { LEGACY },
                        kind,
                        leaves: None,
                    };
                    self.make(&call, &mut tally).await;
                }
            }
        });
        sum(futures_util::future::join_all(callers).await)
    }

    /// Callers at once call for whatever company, for so long.
    pub(super) async fn run(&self, time: Duration) -> Tally {
        let end = Instant::now() + time;
        // Ids of both halves differ, as names of customers are made of them.
        let first = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap() * 1000;
        let next = AtomicU64::new(first);
        let callers = (0..CALLERS).map(|caller| {
            let next = &next;
            let mut dice = Dice(self.seed.wrapping_add(u64::try_from(caller).unwrap()));
            async move {
                let mut tally = Tally::default();
                while Instant::now() < end {
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    self.make(&self.any(&mut dice, id), &mut tally).await;
                }
                tally
            }
        });
        sum(futures_util::future::join_all(callers).await)
    }

    fn any(&self, dice: &mut Dice, id: u64) -> Call {
        let kind = match dice.below(16) {
            0..8 => Kind::Marked,
            8..12 => Kind::Job(self.jobs[dice.below(self.jobs.len())]),
            12..14 => Kind::Streamed,
            _ => Kind::Creating,
        };
        let leaves = dice.below(20) == 0 && !matches!(kind, Kind::Creating);
        let patience = Duration::from_millis(u64::try_from(dice.below(40)).unwrap());
        Call {
            tenant: dice.below(self.tokens.len()),
            id,
            era: [MODERN, LEGACY][dice.below(2)],
            kind,
            leaves: leaves.then_some(patience),
        }
    }

    async fn make(&self, call: &Call, tally: &mut Tally) {
        let token = &self.tokens[call.tenant];
        let request = asked(&self.http, &self.url, token, &call.message());
        let patience = call.leaves.unwrap_or(HANGS);
        match tokio::time::timeout(patience, told(request)).await {
            Ok(told) => call.judge(&told, tally),
            Err(_) if call.leaves.is_some() => tally.left += 1,
            Err(_) => tally.wrong.push(format!("{} hangs", call.mark())),
        }
    }
}

fn sum(tallies: Vec<Tally>) -> Tally {
    let mut all = Tally::default();
    for tally in tallies {
        all.add(tally);
    }
    all
}
