//! What goes wrong while companies call.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Dice, measure};
use crate::scale_out::ScaledOut;

/// Something happens this often.
const PACE: Duration = Duration::from_millis(300);
/// So often it is the restart of a replica.
const RESTART: usize = 40;

#[derive(Debug)]
pub(super) struct Trouble {
    dice: Dice,
    steps: usize,
    pub(super) killed: usize,
    pub(super) faults: usize,
    pub(super) restarted: usize,
    /// Every process of a replica that was ever seen.
    pub(super) processes: BTreeSet<u32>,
}

impl Trouble {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            steps: 0,
            killed: 0,
            faults: 0,
            restarted: 0,
            processes: BTreeSet::new(),
        }
    }

    /// Makes trouble for so long. The first replica is never restarted: its memory is measured.
    pub(super) async fn make(&mut self, scaled: &mut ScaledOut, time: Duration) {
        let end = Instant::now() + time;
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while Instant::now() < end {
            pace.tick().await;
            self.steps += 1;
            if self.steps.is_multiple_of(RESTART) {
                let number = 1 + self.restarted % 2;
                scaled.stop(number).await;
                scaled.start_again(number).await;
                self.restarted += 1;
            } else if self.dice.below(2) == 0 {
                self.kill_a_child(scaled);
            } else {
                scaled.faults(&self.any_fault()).await;
                self.faults += 1;
            }
        }
    }

    fn kill_a_child(&mut self, scaled: &ScaledOut) {
        let running = scaled.replicas.iter().flatten();
        let children: Vec<u32> = running
            .flat_map(|replica| measure::children_of(replica.process()))
            .collect();
        self.processes.extend(&children);
        if children.is_empty() {
            return;
        }
        let process = children[self.dice.below(children.len())];
        let process = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
        // It may have ended by itself.
        if kill_process(process, Signal::KILL).is_ok() {
            self.killed += 1;
        }
    }

    fn any_fault(&mut self) -> Value {
        let faults = [
            json!({"kind": "status", "status": 503}),
            json!({"kind": "status", "status": 500, "html": true}),
            json!({"kind": "status", "status": 429, "retry_after": 1}),
            json!({"kind": "latency", "ms": 300, "times": 5}),
            json!({"kind": "drop_before"}),
            json!({"kind": "drop_after"}),
            json!({"kind": "truncate"}),
            json!({"kind": "malformed"}),
            json!({"kind": "empty"}),
            json!({"kind": "expire_tokens"}),
        ];
        json!([faults[self.dice.below(faults.len())]])
    }
}
