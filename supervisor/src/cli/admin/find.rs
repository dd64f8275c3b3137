//! Which company a person means.

use anyhow::anyhow;

use crate::{cli::Failure, cli::admin::Desk, store::Overview};

impl Desk {
    /// The company of that id, name or owner's address.
    pub(super) async fn find(&self, named: &str) -> Result<Overview, Failure> {
        let all = self.store.overviews().await?;
        Ok(find(&all, named)
            .map_err(|problem| anyhow!(problem))?
            .clone())
    }
}

fn find<'a>(all: &'a [Overview], named: &str) -> Result<&'a Overview, String> {
    if let Some(found) = all.iter().find(|one| one.tenant.id == named) {
        return Ok(found);
    }
    let wanted = named.trim().to_lowercase();
    let found: Vec<&Overview> = all
        .iter()
        .filter(|one| names(one).any(|name| name == wanted))
        .collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(unknown(all, named, &wanted)),
        several => Err(format!(
            "several companies are called `{named}`; name one by its id:{}",
            lines(several)
        )),
    }
}

/// What a company may be called, in lower case.
fn names(one: &Overview) -> impl Iterator<Item = String> {
    let company = std::iter::once(one.tenant.company.trim().to_lowercase());
    company.chain(one.owners.clone())
}

fn unknown(all: &[Overview], named: &str, wanted: &str) -> String {
    let close: Vec<&Overview> = all
        .iter()
        .filter(|one| {
            names(one).any(|name| {
                (wanted.len() > 2 && name.contains(wanted)) || distance(&name, wanted) <= 2
            })
        })
        .take(5)
        .collect();
    if close.is_empty() {
        format!("there is no company `{named}`; `sf-supervisor admin tenants` lists all")
    } else {
        format!(
            "there is no company `{named}`; did you mean:{}",
            lines(&close)
        )
    }
}

fn lines(those: &[&Overview]) -> String {
    let lines = those.iter().map(|one| {
        let owner = one.owners.first().map_or("no owner", String::as_str);
        let company = crate::cli::shown::plain(&one.tenant.company);
        ["\n  ", &one.tenant.id, "  ", &company, " (", owner, ")"].concat()
    });
    lines.collect()
}

/// Letters to insert, remove or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let replaced = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn typing_mistakes_are_counted() {
        for (a, b, mistakes) in [
            ("acme", "acme", 0),
            ("acme", "acne", 1),
            ("acme", "cme", 1),
            ("", "ab", 2),
            ("é", "e", 1),
        ] {
            assert_eq!(distance(a, b), mistakes, "{a} {b}");
        }
    }
}
