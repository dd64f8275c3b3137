//! Rows of a list, page by page, from where the last answer ended.
//!
//! A walk keeps its place by the row that was delivered last, not by a page number alone: records that are
//! created between two calls push the pages along, and each row must still come exactly once.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::service_fusion::{
    client::{Client, Patience},
    error::Error,
    query::{ListQuery, MAX_PER_PAGE},
    record::Record,
};

/// Pages that one call reads at most when it has to look at every row itself: a third of a minute's allowance.
const MOST_PAGES: u32 = 20;
/// Pages that are under way at once.
const AT_ONCE: usize = 4;

/// A place between two rows of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Packed", into = "Packed")]
pub struct Position {
    /// Rows of the unfiltered list that lie behind.
    pub offset: u64,
    /// Id of the row just before the place.
    pub anchor: i64,
    /// Length of the list when the place was noted.
    pub length: u64,
    /// Matching rows in the whole list, once that is known.
    pub matches: Option<u64>,
    /// Matching rows delivered so far.
    pub delivered: u64,
}

/// The fields in their order, without names.
type Packed = (u64, i64, u64, Option<u64>, u64);

impl From<Packed> for Position {
    fn from((offset, anchor, length, matches, delivered): Packed) -> Self {
        Self {
            offset,
            anchor,
            length,
            matches,
            delivered,
        }
    }
}

impl From<Position> for Packed {
    fn from(place: Position) -> Self {
        (
            place.offset,
            place.anchor,
            place.length,
            place.matches,
            place.delivered,
        )
    }
}

/// How many rows match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    Exact(u64),
    AtLeast(u64),
}

/// What a walk brought.
#[derive(Debug)]
pub struct Found {
    /// Each row with the place right after it.
    pub rows: Vec<(Record, Position)>,
    pub total: Total,
    /// Where to go on, when there may be more.
    pub next: Option<Position>,
    /// Rows looked at, and rows in the list, where rows had to be looked at one by one.
    pub looked_at: Option<(u64, u64)>,
}

type Keep<'a> = Box<dyn Fn(&Record) -> bool + Send + Sync + 'a>;

/// A walk over a list: which rows, how many, from where.
pub struct Walk<'a> {
    client: &'a Arc<Client>,
    patience: &'a Patience,
    query: ListQuery,
    keep: Option<Keep<'a>>,
    progress: Option<&'a (dyn Fn(u32, u32) + Send + Sync)>,
}

struct Page {
    rows: Vec<Record>,
    length: u64,
}

impl<'a> Walk<'a> {
    pub fn new(client: &'a Arc<Client>, patience: &'a Patience, query: ListQuery) -> Self {
        Self {
            client,
            patience,
            query,
            keep: None,
            progress: None,
        }
    }

    /// Keeps only rows that pass; the API has no filter for it, so every row is looked at here.
    #[must_use]
    pub fn keep(mut self, keep: impl Fn(&Record) -> bool + Send + Sync + 'a) -> Self {
        self.keep = Some(Box::new(keep));
        self
    }

    /// Is told the pages read and the pages there are.
    #[must_use]
    pub fn progress(mut self, progress: &'a (dyn Fn(u32, u32) + Send + Sync)) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Up to `limit` rows from `from` on.
    pub async fn take(self, limit: usize, from: Option<Position>) -> Result<Found, Error> {
        match self.keep {
            None => self.straight(limit, from).await,
            Some(_) => self.sifted(limit, from).await,
        }
    }

    /// All rows, as far as 1,000 reach.
    pub async fn all(self) -> Result<Found, Error> {
        let limit = (MOST_PAGES * MAX_PER_PAGE) as usize;
        self.take(limit, None).await
    }

    async fn straight(&self, limit: usize, from: Option<Position>) -> Result<Found, Error> {
        let wanted = u32::try_from(limit)
            .unwrap_or(MAX_PER_PAGE)
            .clamp(1, MAX_PER_PAGE);
        let (mut offset, mut held) = self.start(from).await?;
        // A walk that goes on reads whole pages: one of them has just been read to find its place.
        let per_page = if from.is_some() { MAX_PER_PAGE } else { wanted };
        let delivered_before = from.map_or(0, |position| position.delivered);
        let mut rows: Vec<(Record, Position)> = Vec::new();
        let mut length;
        loop {
            let page = match held.take() {
                Some(page) => page,
                None => self.page(offset, per_page).await?,
            };
            length = page.length;
            let skip = usize::try_from(offset % u64::from(per_page)).unwrap_or(0);
            let before = offset;
            for row in page.rows.into_iter().skip(skip) {
                if offset >= length || rows.len() == limit {
                    break;
                }
                offset += 1;
                let position = Position {
                    offset,
                    anchor: row.id("id").unwrap_or_default(),
                    length,
                    matches: Some(length),
                    delivered: delivered_before + rows.len() as u64 + 1,
                };
                rows.push((row, position));
            }
            if rows.len() == limit || offset >= length || offset == before {
                break;
            }
            self.report(rows.len(), limit);
        }
        let next = (offset < length)
            .then(|| rows.last().map(|(_, position)| *position))
            .flatten();
        Ok(Found {
            rows,
            total: Total::Exact(length),
            next,
            looked_at: None,
        })
    }

    async fn sifted(&self, limit: usize, from: Option<Position>) -> Result<Found, Error> {
        let (start, held) = self.start(from).await?;
        let first_page = page_number(start, MAX_PER_PAGE);
        let first = match held {
            Some(page) => page,
            None => self.page(start, MAX_PER_PAGE).await?,
        };
        let length = first.length;
        let last_page = u32::try_from(length.div_ceil(u64::from(MAX_PER_PAGE))).unwrap_or(u32::MAX);
        let stop_page = last_page.min(first_page.saturating_add(MOST_PAGES - 1));
        let known = from.and_then(|position| position.matches);
        // Counting to the end is worth it only where the end is in reach.
        let count_all = known.is_none() && stop_page == last_page;

        let mut sieve = Sieve::new(self.keep.as_ref(), limit, start, length, from);
        let skip = usize::try_from(start % u64::from(MAX_PER_PAGE)).unwrap_or(0);
        let left = usize::try_from(length.saturating_sub(start)).unwrap_or(usize::MAX);
        sieve.add(first.rows.into_iter().skip(skip).take(left));
        let mut pages = stream::iter(first_page + 1..=stop_page)
            .map(|page| self.fetch(page, MAX_PER_PAGE))
            .buffered(AT_ONCE);
        let mut read = first_page;
        while (count_all || !sieve.is_full()) && !sieve.has_all() {
            match pages.next().await {
                None => break,
                Some(Ok(page)) => sieve.add(page.rows.into_iter()),
                // What was found so far is worth more than an error; the cursor goes on from here.
                Some(Err(problem)) if problem.retryable() => break,
                Some(Err(problem)) => return Err(problem),
            }
            read += 1;
            self.report_pages(read - first_page + 1, stop_page - first_page + 1);
        }
        Ok(sieve.finish(start, length, read >= last_page))
    }

    fn report_pages(&self, read: u32, of: u32) {
        if let Some(progress) = self.progress {
            progress(read, of);
        }
    }

    fn report(&self, rows: usize, limit: usize) {
        if let Some(progress) = self.progress {
            progress(
                u32::try_from(rows).unwrap_or(u32::MAX),
                u32::try_from(limit).unwrap_or(u32::MAX),
            );
        }
    }

    /// Where to begin, and the page that holds that row when it was read on the way.
    ///
    /// Rows are created, moved and removed between two calls, so the row delivered last is looked for:
    /// where it was, then where the list's change of length would have pushed it, then next to that.
    async fn start(&self, from: Option<Position>) -> Result<(u64, Option<Page>), Error> {
        let Some(position) = from else {
            return Ok((0, None));
        };
        let per_page = u64::from(MAX_PER_PAGE);
        let last = position.offset.saturating_sub(1);
        let mut page = self
            .page(last.min(position.length.saturating_sub(1)), MAX_PER_PAGE)
            .await?;
        let shifted = last
            .saturating_add(page.length)
            .saturating_sub(position.length);
        let places = [
            last,
            shifted,
            last + per_page,
            last.saturating_sub(per_page),
            shifted.saturating_add(per_page),
        ];
        let length = page.length.max(1);
        let mut tried: Vec<u32> = Vec::new();
        for place in places.into_iter().filter(|place| *place < length) {
            let number = page_number(place, MAX_PER_PAGE);
            if tried.contains(&number) {
                continue;
            }
            if !tried.is_empty() || number != page_number(last, MAX_PER_PAGE) {
                page = self.fetch(number, MAX_PER_PAGE).await?;
            }
            tried.push(number);
            let found = page
                .rows
                .iter()
                .position(|row| row.id("id") == Some(position.anchor));
            if let Some(index) = found {
                let start = u64::from(number - 1) * per_page + index as u64 + 1;
                let held = (!start.is_multiple_of(per_page)).then_some(page);
                return Ok((start, held));
            }
        }
        tracing::debug!("the row delivered last is gone; the walk goes on by number");
        Ok((position.offset, None))
    }

    /// The page of `per_page` rows that holds row `offset`.
    async fn page(&self, offset: u64, per_page: u32) -> Result<Page, Error> {
        self.fetch(page_number(offset, per_page), per_page).await
    }

    async fn fetch(&self, number: u32, per_page: u32) -> Result<Page, Error> {
        let mut answer = self
            .client
            .get(&self.query.page(number, per_page), self.patience)
            .await?;
        let rows = Record::items(&mut answer);
        let length = answer
            .pointer("/_meta/totalCount")
            .and_then(Value::as_u64)
            .unwrap_or(rows.len() as u64);
        Ok(Page { rows, length })
    }
}

/// Pages count from 1. Beyond all lists there are none: a cursor may say any place.
fn page_number(offset: u64, per_page: u32) -> u32 {
    let before = u32::try_from(offset / u64::from(per_page)).unwrap_or(u32::MAX);
    before.min(u32::MAX - MOST_PAGES - 1) + 1
}

/// Collects matching rows and keeps count.
struct Sieve<'a> {
    keep: Option<&'a Keep<'a>>,
    limit: usize,
    rows: Vec<(Record, Position)>,
    more: bool,
    offset: u64,
    position: Position,
    matched: u64,
}

impl<'a> Sieve<'a> {
    fn new(
        keep: Option<&'a Keep<'a>>,
        limit: usize,
        start: u64,
        length: u64,
        from: Option<Position>,
    ) -> Self {
        let delivered = from.map_or(0, |position| position.delivered);
        Self {
            keep,
            limit,
            rows: Vec::new(),
            more: false,
            offset: start,
            position: Position {
                offset: start,
                anchor: from.map_or(0, |position| position.anchor),
                length,
                matches: from.and_then(|position| position.matches),
                delivered,
            },
            matched: delivered,
        }
    }

    /// Whether every row that was counted on an earlier page has been delivered.
    fn has_all(&self) -> bool {
        self.position
            .matches
            .is_some_and(|matches| self.position.delivered >= matches)
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.limit
    }

    fn add(&mut self, rows: impl Iterator<Item = Record>) {
        for row in rows {
            self.offset += 1;
            let kept = self.keep.is_none_or(|keep| keep(&row));
            self.matched += u64::from(kept);
            if self.is_full() {
                self.more |= kept;
                continue;
            }
            self.position.offset = self.offset;
            self.position.anchor = row.id("id").unwrap_or_default();
            if kept {
                self.position.delivered += 1;
                self.rows.push((row, self.position));
            }
        }
    }

    fn finish(mut self, start: u64, length: u64, at_end: bool) -> Found {
        let total = match self.position.matches {
            Some(matches) => Total::Exact(matches),
            None if at_end => Total::Exact(self.matched),
            None => Total::AtLeast(self.matched),
        };
        if let Total::Exact(matches) = total {
            self.position.matches = Some(matches);
            for (_, position) in &mut self.rows {
                position.matches = Some(matches);
            }
        }
        let unread = (!at_end || self.more) && !self.has_all();
        Found {
            next: unread.then_some(self.position),
            rows: self.rows,
            total,
            looked_at: Some((start.max(self.offset), length)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_on_a_page() {
        let last = u32::MAX - MOST_PAGES;
        let most = u64::from(u32::MAX) * u64::from(MAX_PER_PAGE);
        for (offset, page) in [
            (0, 1),
            (49, 1),
            (50, 2),
            (most, last),
            (most + 49, last),
            (u64::MAX, last),
        ] {
            assert_eq!(page_number(offset, MAX_PER_PAGE), page, "{offset}");
        }
    }
}
