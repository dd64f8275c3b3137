//! Where a member goes into an object's text, and how it comes out again.

use jsonc_parser::{ast::Object, common::Ranged};
use serde_json::Value;

use crate::clients::json::layout::Layout;

const WHITE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Puts a member behind the last one of `object`.
pub(super) fn insert(
    text: &str,
    root: &Object,
    object: &Object,
    name: &str,
    value: &Value,
) -> String {
    let layout = Layout::of_object(text, root, object);
    let member = layout.member(name, value);
    let Some(last) = object.properties.last() else {
        return insert_first(text, object, &layout, &member);
    };
    let end = last.end();
    let comma = comma_after(text, end);
    let behind_comma = comma.map_or(end, |at| at + 1);
    let at = if layout.inline {
        behind_comma
    } else {
        end_of_remarks(text, behind_comma)
    };
    // A file with a comma behind its last member keeps one there.
    let (before, after) = if comma.is_some() {
        ("", ",")
    } else {
        (",", "")
    };
    format!(
        "{}{before}{}{}{member}{after}{}",
        &text[..end],
        &text[end..at],
        layout.gap(),
        &text[at..]
    )
}

fn insert_first(text: &str, object: &Object, layout: &Layout, member: &str) -> String {
    let close = object.end() - 1;
    let comments = text[object.start() + 1..close].trim_end();
    let (gap, end) = if layout.inline {
        (String::new(), String::new())
    } else {
        (layout.gap(), layout.gap_outside())
    };
    format!(
        "{}{comments}{gap}{member}{end}{}",
        &text[..=object.start()],
        &text[close..]
    )
}

/// Takes one member out, with its comma and its line.
pub(super) fn remove(text: &str, object: &Object, at: usize) -> String {
    let ours = &object.properties[at];
    let comma = comma_after(text, ours.end());
    let end = comma.map_or(ours.end(), |at| at + 1);
    let blank_from = text[..ours.start()].trim_end_matches(WHITE).len();
    let (inside, close) = (object.start() + 1, object.end() - 1);
    if format!("{}{}", &text[inside..ours.start()], &text[end..close])
        .trim()
        .is_empty()
    {
        return format!("{}{}", &text[..inside], &text[close..]);
    }
    let own_line = text[blank_from..ours.start()].contains('\n');
    let (start, end) = match comma {
        _ if own_line && ends_line(&text[end..]) => (blank_from, end),
        Some(_) => (ours.start(), end + blanks(&text[end..])),
        None if own_line && may_end_in_comment(&text[..blank_from]) => (ours.start(), end),
        None => (blank_from, end),
    };
    let mut before = text[..start].to_owned();
    if comma.is_none()
        && let Some(previous) = at.checked_sub(1).map(|at| &object.properties[at])
        && let Some(comma) = comma_after(text, previous.end())
    {
        before.remove(comma);
    }
    before + &text[end..]
}

fn blanks(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t']).len()
}

/// A comment to the line's end needs that end. Two slashes in a string are taken for one: it costs a blank.
fn may_end_in_comment(text: &str) -> bool {
    text.lines().last().is_some_and(|line| line.contains("//"))
}

/// Whether nothing but a comment to the line's end follows.
fn ends_line(text: &str) -> bool {
    let rest = &text[blanks(text)..];
    rest.is_empty() || rest.starts_with(['\n', '\r']) || rest.starts_with("//")
}

/// The comma that follows `from`, behind blanks and comments.
fn comma_after(text: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        match comment_end(text, at) {
            Some(end) => at = end,
            None => return trimmed.starts_with(',').then_some(at),
        }
    }
}

/// Where the comments that follow `from` on its line end; `from` when there are none.
fn end_of_remarks(text: &str, from: usize) -> usize {
    let mut end = from;
    loop {
        let rest = &text[end..];
        let at = end + rest.len() - rest.trim_start_matches([' ', '\t']).len();
        match comment_end(text, at) {
            Some(after) => end = after,
            None => return end,
        }
    }
}

fn comment_end(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at..];
    if rest.starts_with("//") {
        let line = rest.find('\n').map_or(rest, |end| &rest[..end]);
        return Some(at + line.trim_end_matches('\r').len());
    }
    let inside = rest.strip_prefix("/*")?;
    Some(at + 2 + inside.find("*/").map_or(inside.len(), |end| end + 2))
}
