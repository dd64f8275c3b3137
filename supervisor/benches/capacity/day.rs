//! A working day of many companies, call by call.
//!
//! Who calls: of 100 companies 60 are light (10 calls a day), 30 ordinary (60), 9 heavy (300) and 1 automated (2,000,
//! evenly over the day and night). People call from 7 to 18 h in one of four time zones of North America, most between
//! 8 and 10 and after 13 h, in conversations: on average six calls, 25 s apart. A call asks Service Fusion 1.5 times.

const DAY: usize = 24 * 3600;
/// Service Fusion's access tokens last this long.
const TOKEN: u32 = 3600;
const REQUESTS_A_CALL: f64 = 1.5;
/// What Service Fusion allows a company in a minute.
const ALLOWED: f64 = 60.0;
const CALLS_IN_A_CONVERSATION: f64 = 6.0;
const BETWEEN_CALLS: f64 = 25.0;
/// Tools that a company's people use; most calls are for few of them.
const TOOLS: usize = 8;

/// Share of the companies and calls a day.
const KINDS: [(f64, f64); 4] = [(0.60, 10.0), (0.30, 60.0), (0.09, 300.0), (0.01, 2000.0)];
const AUTOMATED: usize = 3;
/// Hours from UTC to local time, and the share of companies there.
const ZONES: [(u32, f64); 4] = [(5, 0.47), (6, 0.30), (7, 0.07), (8, 0.16)];
/// How busy the hours from 7 to 18 are.
const HOURS: [f64; 11] = [0.5, 1.6, 1.5, 1.1, 0.9, 0.6, 1.2, 1.2, 1.0, 0.8, 0.6];

/// A call: when, in seconds of the day (UTC), and for which tool.
type Call = (u32, u8);

/// The calls of each company, in order.
pub(crate) struct Day(Vec<Vec<Call>>);

/// What keeping processes for some time takes.
pub(crate) struct Children {
    pub(crate) most: i64,
    pub(crate) started: usize,
    pub(crate) busiest_minute: f64,
}

impl Day {
    pub(crate) fn simulate(tenants: usize, seed: u64) -> Self {
        let mut chance = Chance(seed);
        Self((0..tenants).map(|_| calls_of_one(&mut chance)).collect())
    }

    pub(crate) fn calls(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    pub(crate) fn active(&self) -> usize {
        self.0.iter().filter(|calls| !calls.is_empty()).count()
    }

    pub(crate) fn busiest_minute(&self) -> f64 {
        busiest_minute(self.0.iter().flatten().map(|(at, _)| *at))
    }

    /// Times at which a call finds the company's access token at its end.
    fn renewed(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|calls| {
            let mut good_until = 0;
            let mut times = Vec::new();
            for (at, _) in calls {
                if *at >= good_until {
                    good_until = at + TOKEN;
                    times.push(*at);
                }
            }
            times
        })
    }

    pub(crate) fn renewals(&self) -> usize {
        self.renewed().count()
    }

    pub(crate) fn renewals_in_busiest_hour(&self) -> usize {
        let mut hours = [0; 24];
        for at in self.renewed() {
            hours[at as usize / 3600] += 1;
        }
        hours.into_iter().max().unwrap()
    }

    pub(crate) fn beyond_the_limit(&self) -> usize {
        let beyond = |calls: &&Vec<Call>| {
            let mut minutes = vec![0_u32; DAY / 60];
            for (at, _) in *calls {
                minutes[*at as usize / 60] += 1;
            }
            let most = minutes.into_iter().max().unwrap();
            f64::from(most) * REQUESTS_A_CALL > ALLOWED
        };
        self.0.iter().filter(beyond).count()
    }

    /// Rows of sums over so many minutes: one for each tool of each company in each of them. Clients and outcomes that
    /// differ make more.
    pub(crate) fn sums(&self, minutes: u32) -> usize {
        let of_one = |calls: &Vec<Call>| {
            let mut rows: Vec<_> = calls
                .iter()
                .map(|(at, tool)| (at / (minutes * 60), tool))
                .collect();
            rows.sort_unstable();
            rows.dedup();
            rows.len()
        };
        self.0.iter().map(of_one).sum()
    }

    /// A process lives from a call that finds none until nobody has called for so many seconds.
    pub(crate) fn children(&self, idle: u32) -> Children {
        let mut change = vec![0_i64; DAY + idle as usize + 2];
        let mut starts = Vec::new();
        for calls in &self.0 {
            let mut until = None;
            for (at, _) in calls {
                let runs_on = until.is_some_and(|until| *at <= until);
                if !runs_on {
                    if let Some(until) = until {
                        change[until as usize + 1] -= 1;
                    }
                    change[*at as usize] += 1;
                    starts.push(*at);
                }
                until = Some(at + idle);
            }
            if let Some(until) = until {
                change[until as usize + 1] -= 1;
            }
        }
        let mut alive = 0;
        let counts = change.into_iter().map(|change| {
            alive += change;
            alive
        });
        Children {
            most: counts.max().unwrap(),
            started: starts.len(),
            busiest_minute: busiest_minute(starts.into_iter()),
        }
    }
}

fn busiest_minute(times: impl Iterator<Item = u32>) -> f64 {
    let mut minutes = vec![0_u32; DAY / 60];
    for at in times {
        minutes[at as usize / 60] += 1;
    }
    f64::from(minutes.into_iter().max().unwrap())
}

fn calls_of_one(chance: &mut Chance) -> Vec<Call> {
    let kind = chance.pick(&KINDS.map(|(share, _)| share));
    let zone = ZONES[chance.pick(&ZONES.map(|(_, share)| share))].0;
    let mean = KINDS[kind].1;
    let mut calls = Vec::new();
    if kind == AUTOMATED {
        let mut at = 0.0;
        loop {
            at += chance.until_next(DAY as f64 / mean);
            if at >= DAY as f64 {
                break;
            }
            calls.push((at as u32, chance.tool()));
        }
        return calls;
    }
    for _ in 0..chance.times(mean / CALLS_IN_A_CONVERSATION) {
        let hour = 7 + chance.pick(&HOURS) as u32 + zone;
        let mut at = f64::from(hour * 3600) + chance.one() * 3600.0;
        // One call at least, then on with the odds that make the mean.
        loop {
            calls.push((at as u32 % DAY as u32, chance.tool()));
            if chance.one() < 1.0 / CALLS_IN_A_CONVERSATION {
                break;
            }
            at += chance.until_next(BETWEEN_CALLS);
        }
    }
    calls.sort_unstable();
    calls
}

/// Numbers that look random and are the same in each run.
struct Chance(u64);

impl Chance {
    /// From 0 to below 1.
    fn one(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An index, by shares.
    fn pick(&mut self, shares: &[f64]) -> usize {
        let mut at = self.one() * shares.iter().sum::<f64>();
        for (index, share) in shares.iter().enumerate() {
            at -= share;
            if at < 0.0 {
                return index;
            }
        }
        shares.len() - 1
    }

    fn until_next(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.one()).ln()
    }

    /// A Poisson number.
    fn times(&mut self, mean: f64) -> usize {
        let (mut left, mut times) = (mean, 0);
        loop {
            left -= self.until_next(1.0);
            if left < 0.0 {
                return times;
            }
            times += 1;
        }
    }

    /// Half of all calls are for the first, half of the others for the second.
    fn tool(&mut self) -> u8 {
        (-self.one().log2()).min(TOOLS as f64 - 1.0) as u8
    }
}
