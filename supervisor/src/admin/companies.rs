//! `/admin`: all companies, with search, filters, order and pages in the address.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use url::form_urlencoded::Serializer;

use super::{figures::day_start, path_of, usage::Period, words};
use crate::{
    app::App,
    pages::{
        Frame, Instead, Notice,
        moment::{day, moment_or_never},
        nav::{self, Desk},
        page,
    },
    params::Params,
    store::{Listed, Sort, State as Condition, Wanted},
    visitor,
};

/// Companies of a page.
const PAGE: i64 = 50;
/// Characters that are looked for.
const LONGEST: usize = 100;
const SORTS: [(&str, Sort, &str); 4] = [
    ("company", Sort::Company, "Company"),
    ("calls", Sort::Calls, "Calls today"),
    ("seen", Sort::Seen, "Last seen"),
    ("created", Sort::Created, "Created"),
];

#[derive(Template)]
#[template(path = "admin/companies.html")]
struct Companies<'a> {
    frame: Frame,
    asked: &'a Asked,
    states: Vec<(&'static str, &'static str)>,
    tiers: Vec<&'a str>,
    heads: Vec<Head>,
    rows: Vec<Row>,
    shown: String,
    before: Option<String>,
    after: Option<String>,
    is_filtered: bool,
    period: Period,
}

/// The head of a column by which one may sort.
struct Head {
    key: &'static str,
    text: &'static str,
    href: String,
    /// For `aria-sort`, or empty.
    order: &'static str,
}

struct Row {
    href: String,
    company: String,
    owner: String,
    state: (&'static str, &'static str),
    tier: String,
    calls: String,
    seen: String,
    created: String,
}

/// What the address asks for; what it says wrongly is as if it said nothing.
#[derive(Clone, Debug, Default)]
struct Asked {
    text: String,
    state: Option<Condition>,
    tier: String,
    sort: &'static str,
    is_reversed: bool,
    page: i64,
}

impl Asked {
    fn from(query: &str) -> Self {
        let params = Params::parse(query.as_bytes());
        let text = params.get("q").unwrap_or_default().trim();
        let sort = params.get("sort").unwrap_or("seen");
        let (sort, is_reversed) = sort
            .strip_prefix('-')
            .map_or((sort, false), |sort| (sort, true));
        let known = SORTS.iter().find(|(key, _, _)| *key == sort);
        let page = params.get("page").and_then(|page| page.parse().ok());
        Self {
            text: text.chars().take(LONGEST).collect(),
            state: params.get("state").and_then(Condition::named),
            tier: params.get("tier").unwrap_or_default().to_owned(),
            sort: known.map_or("seen", |(key, _, _)| key),
            is_reversed: is_reversed && known.is_some(),
            page: page.unwrap_or(1).clamp(1, 1_000_000),
        }
    }

    fn state_word(&self) -> &'static str {
        self.state.map_or("", Condition::word)
    }

    /// As the field in the form has it.
    fn sort_word(&self) -> String {
        let turned = if self.is_reversed { "-" } else { "" };
        format!("{turned}{}", self.sort)
    }

    fn wanted(&self) -> Wanted<'_> {
        let sort = SORTS.iter().find(|(key, _, _)| *key == self.sort);
        Wanted {
            text: &self.text,
            state: self.state,
            tier: &self.tier,
            sort: sort.map(|(_, sort, _)| *sort).unwrap_or_default(),
            is_reversed: self.is_reversed,
        }
    }

    /// The address of another page or order.
    fn address(&self, sort: &str, page: i64) -> String {
        let mut query = Serializer::new(String::new());
        for (name, value) in [
            ("q", self.text.as_str()),
            ("state", self.state_word()),
            ("tier", &self.tier),
            ("sort", if sort == "seen" { "" } else { sort }),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        if page > 1 {
            query.append_pair("page", &page.to_string());
        }
        let query = query.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/admin{mark}{query}")
    }

    fn heads(&self) -> Vec<Head> {
        SORTS
            .iter()
            .map(|(key, _, text)| {
                let is_current = *key == self.sort;
                // Names begin at A, times and figures with the largest.
                let ascends = (*key == "company") != self.is_reversed;
                Head {
                    key,
                    text,
                    href: if is_current && !self.is_reversed {
                        self.address(&format!("-{key}"), 1)
                    } else {
                        self.address(key, 1)
                    },
                    order: match (is_current, ascends) {
                        (false, _) => "",
                        (true, true) => "ascending",
                        (true, false) => "descending",
                    },
                }
            })
            .collect()
    }
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Instead> {
    let operator = visitor::operator(&app, &headers).await?;
    let query = query.unwrap_or_default();
    let mut asked = Asked::from(&query);
    let now = app.clock.now();
    let total = app.store.count_companies(asked.wanted()).await?;
    let pages = ((total + PAGE - 1) / PAGE).max(1);
    asked.page = asked.page.min(pages);
    let offset = (asked.page - 1) * PAGE;
    let found = (app.store)
        .companies(asked.wanted(), day_start(now), (offset, PAGE))
        .await?;
    let deleted = query.split('&').any(|pair| pair == "done=deleted");
    let sort = asked.sort_word();
    let other = |page| asked.address(&sort, page);
    let list = Companies {
        frame: operator
            .visitor
            .frame(&app, "Companies")
            .nav(nav::operator(Desk::Tenants))
            .notice(deleted.then(|| Notice::ok("The company is deleted."))),
        states: Condition::ALL
            .map(|state| (state.word(), words::state(state).0))
            .into(),
        tiers: app.config.tiers.keys().map(String::as_str).collect(),
        heads: asked.heads(),
        shown: format!(
            "{} to {} of {}",
            words::grouped(offset + 1),
            words::grouped(offset + i64::try_from(found.len()).unwrap_or_default()),
            words::grouped(total)
        ),
        rows: found.into_iter().map(row).collect(),
        before: (asked.page > 1).then(|| other(asked.page - 1)),
        after: (asked.page < pages).then(|| other(asked.page + 1)),
        is_filtered: !asked.text.is_empty() || asked.state.is_some() || !asked.tier.is_empty(),
        period: Period::usual(now),
        asked: &asked,
    };
    Ok(page(StatusCode::OK, &list, None))
}

fn row(one: Listed) -> Row {
    Row {
        href: path_of(&one.tenant.id),
        company: one.tenant.company,
        owner: one.owner,
        state: words::state(one.state),
        tier: one.tenant.tier,
        calls: words::grouped(one.calls_today),
        seen: moment_or_never(one.tenant.seen_at),
        created: day(one.tenant.created_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_what_was_asked_for() {
        let asked = Asked::from("q=A%26B+%3Cb%3E&state=active&tier=pro&sort=-company&page=3");
        assert_eq!(asked.text, "A&B <b>");
        assert_eq!(
            asked.address(&asked.sort_word(), 4),
            "/admin?q=A%26B+%3Cb%3E&state=active&tier=pro&sort=-company&page=4"
        );
        let company = &asked.heads()[0];
        assert_eq!(company.order, "descending");
        assert!(company.href.ends_with("sort=company"));
    }

    #[test]
    fn what_is_not_known_is_as_if_it_was_not_said() {
        let asked = Asked::from("state=rich&sort=-id%3Bdrop&page=-5&q=w&q=x");
        assert_eq!(asked.address(&asked.sort_word(), asked.page), "/admin");
        let first = &asked.heads()[2];
        assert_eq!(
            (first.order, first.href.as_str()),
            ("descending", "/admin?sort=-seen")
        );
    }
}
