//! How much of a tier is spent: the generic cell rate algorithm in its form as a leaking bucket, and a count by day.

use crate::config::Tier;

/// One call, in the unit of a debt.
pub const CALL: i64 = 1_000_000;
pub const DAY: i64 = 24 * 60 * 60 * 1000;
/// A clock that was set back by more than this does not keep anybody waiting.
pub const SET_BACK: i64 = 60_000;

/// What a tenant has spent. The rate's part is a debt that shrinks with time, so it means the same in every tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// In millionths of a call, as of `at`.
    pub debt: i64,
    /// Unix ms.
    pub at: i64,
    /// Start of the UTC day that `calls` belong to, in Unix ms.
    pub day: i64,
    pub calls: i64,
}

/// What a tier says to one more call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    LetIn,
    TooFast,
    EnoughToday,
    /// As many calls as the tier allows are under way; this one was not counted.
    TooMany,
}

/// How a tenant stands in its tier after a call was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub tier: Tier,
    pub verdict: Verdict,
    /// Calls that may be made at once.
    pub left: i64,
    /// Seconds until `left` is the tier's burst again.
    pub whole_in: i64,
    pub left_today: i64,
    /// Seconds until the next UTC day.
    pub day_ends_in: i64,
    /// Seconds until the next call is let in; 0 when that is now.
    pub wait: i64,
}

/// The start of the UTC day.
pub fn day_of(now: i64) -> i64 {
    now - now.rem_euclid(DAY)
}

/// Whether a tier lets nobody in at all.
pub fn is_shut(tier: Tier) -> bool {
    tier.per_minute == 0 || tier.per_day == 0
}

/// Calls at once after a pause; one at least, or nothing would ever be let in.
pub fn burst(tier: Tier) -> i64 {
    i64::from(tier.burst.max(1))
}

/// Calls a minute. More than this is no limit, and would not fit the arithmetic.
pub fn per_minute(tier: Tier) -> i64 {
    i64::from(tier.per_minute.min(10_000_000))
}

impl Spent {
    /// Judges one more call, and counts it when it is let in.
    pub fn take(&mut self, tier: Tier, now: i64) -> Verdict {
        let (debt, calls) = (self.debt_at(tier, now), self.calls_on(day_of(now)));
        if is_shut(tier) || calls >= i64::from(tier.per_day) {
            return Verdict::EnoughToday;
        }
        if debt + CALL > burst(tier) * CALL {
            return Verdict::TooFast;
        }
        *self = Self {
            debt: debt + CALL,
            at: if self.at > now + SET_BACK {
                now
            } else {
                self.at.max(now)
            },
            day: self.day_or(day_of(now)),
            calls: calls + 1,
        };
        Verdict::LetIn
    }

    /// What is left, once a call was judged.
    pub fn standing(&self, tier: Tier, verdict: Verdict, now: i64) -> Standing {
        let debt = self.debt_at(tier, now);
        let room = burst(tier) * CALL - debt;
        let day_ends_in = seconds(day_of(now) + DAY - now);
        Standing {
            tier,
            verdict,
            left: (room / CALL).max(0),
            whole_in: seconds(leaks_in(debt, tier)),
            left_today: (i64::from(tier.per_day) - self.calls_on(day_of(now))).max(0),
            day_ends_in,
            wait: match verdict {
                Verdict::LetIn => 0,
                Verdict::TooFast => seconds(leaks_in(CALL - room, tier)).max(1),
                Verdict::EnoughToday => day_ends_in.max(1),
                // Calls take about that long.
                Verdict::TooMany => 1,
            },
        }
    }

    fn debt_at(&self, tier: Tier, now: i64) -> i64 {
        let passed = (now - self.at).clamp(0, DAY);
        // A minute's calls in 60,000 ms.
        (self.debt - passed * per_minute(tier) * 50 / 3).max(0)
    }

    fn calls_on(&self, day: i64) -> i64 {
        if self.day_or(day) == self.day {
            self.calls
        } else {
            0
        }
    }

    /// Around midnight another clock may be a little ahead; its day goes on.
    fn day_or(&self, day: i64) -> i64 {
        if self.day == day + DAY { self.day } else { day }
    }
}

/// Milliseconds until so much debt is gone.
fn leaks_in(debt: i64, tier: Tier) -> i64 {
    let rate = per_minute(tier).max(1) * 50;
    (debt.max(0).saturating_mul(3) + rate - 1) / rate
}

fn seconds(milliseconds: i64) -> i64 {
    (milliseconds + 999) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_800_000_000_000 - 1_800_000_000_000 % DAY + DAY / 2;
    const FREE: Tier = Tier {
        per_minute: 20,
        burst: 20,
        per_day: 500,
        in_flight: 8,
    };

    fn let_in(spent: &mut Spent, tier: Tier, now: i64, tries: usize) -> usize {
        let verdicts = (0..tries).map(|_| spent.take(tier, now));
        verdicts
            .filter(|verdict| *verdict == Verdict::LetIn)
            .count()
    }

    #[test]
    fn a_burst_then_a_steady_rate() {
        let mut spent = Spent::default();
        assert_eq!(let_in(&mut spent, FREE, NOON, 50), 20);
        let standing = spent.standing(FREE, Verdict::TooFast, NOON);
        assert_eq!(
            (standing.left, standing.wait, standing.whole_in),
            (0, 3, 60)
        );
        assert_eq!(let_in(&mut spent, FREE, NOON + 2_999, 5), 0);
        assert_eq!(let_in(&mut spent, FREE, NOON + 3_000, 5), 1);
        assert_eq!(let_in(&mut spent, FREE, NOON + 63_000, 50), 20);
    }

    #[test]
    fn a_day_ends_at_midnight_utc() {
        let tier = Tier { per_day: 3, ..FREE };
        let mut spent = Spent::default();
        let late = day_of(NOON) + DAY - 1_000;
        assert_eq!(let_in(&mut spent, tier, late, 5), 3);
        assert_eq!(spent.take(tier, late), Verdict::EnoughToday);
        let standing = spent.standing(tier, Verdict::EnoughToday, late);
        assert_eq!((standing.left_today, standing.wait), (0, 1));
        assert_eq!(let_in(&mut spent, tier, late + 1_000, 5), 3);
        // Another replica's clock is a second behind.
        assert_eq!(spent.take(tier, late), Verdict::EnoughToday);
    }

    #[test]
    fn another_tier_holds_at_once() {
        let mut spent = Spent::default();
        let_in(&mut spent, FREE, NOON, 20);
        let more = Tier {
            per_minute: 600,
            burst: 300,
            per_day: 1000,
            in_flight: 8,
        };
        assert_eq!(let_in(&mut spent, more, NOON, 1000), 280);
        assert_eq!(let_in(&mut spent, FREE, NOON, 1), 0);
        let shut = Tier {
            per_minute: 0,
            ..more
        };
        assert_eq!(let_in(&mut spent, shut, NOON + DAY, 1), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_waiting() {
        let mut spent = Spent::default();
        let_in(&mut spent, FREE, NOON + DAY / 4, 19);
        assert_eq!(let_in(&mut spent, FREE, NOON, 1), 1);
        assert_eq!(let_in(&mut spent, FREE, NOON + 3_000, 1), 1);
    }
}
