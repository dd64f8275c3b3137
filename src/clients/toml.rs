//! Our section in a TOML file. The parser finds the places; the text around them is not written anew.

use std::ops::Range;

use toml_edit::{Array, Document, Item, Key, Table, Value};

use crate::clients::{
    SERVER,
    entry::{Edit, Entry, Previous, Problem, newline},
};

/// Enters `entry` as the section `[key.service-fusion]`.
pub(super) fn install(text: &str, key: &str, entry: &Entry) -> Result<Edit, Problem> {
    let document = parse(text)?;
    let section = section(text, key, entry);
    let Some((name, old)) = ours(text, &document, key)? else {
        return Ok(Edit::Added(append(text, &section)));
    };
    if read_entry(old).as_ref() == Some(entry) {
        return Ok(Edit::Unchanged);
    }
    let ranges = ranges(text, name, old);
    let rest = cut(text, &ranges);
    // An entry without a section of its own stands where no section may begin.
    let new = match ranges.first() {
        Some(first) if is_section(text, first) => {
            format!("{}{section}{}", &rest[..first.start], &rest[first.start..])
        }
        _ => append(&rest, &section),
    };
    Ok(Edit::Replaced(new, previous(old)))
}

/// The text without our section and what that was; `None` when there is none.
pub(super) fn uninstall(text: &str, key: &str) -> Result<Option<(String, Option<Entry>)>, Problem> {
    let document = parse(text)?;
    let Some((name, item)) = ours(text, &document, key)? else {
        return Ok(None);
    };
    let mut ranges = ranges(text, name, item);
    if let Some(first) = ranges.first_mut().filter(|first| is_section(text, first)) {
        first.start = before_blank_line(text, first);
    }
    Ok(Some((cut(text, &ranges), read_entry(item))))
}

fn parse(text: &str) -> Result<Document<&str>, Problem> {
    Document::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let what = format!("this is not TOML: {}", error.message().replace('\n', ", "));
        Problem::at(text, at, what)
    })
}

fn ours<'d>(
    text: &str,
    document: &'d Document<&str>,
    key: &str,
) -> Result<Option<(&'d Key, &'d Item)>, Problem> {
    match document.get(key) {
        None => Ok(None),
        Some(Item::Table(servers)) => Ok(servers.get_key_value(SERVER)),
        Some(other) => Err(Problem::at(
            text,
            other.span().map_or(0, |span| span.start),
            format!("`{key}` is not written as sections, `[{key}.NAME]`, so none can be added"),
        )),
    }
}

fn section(text: &str, key: &str, entry: &Entry) -> String {
    let command = Value::from(entry.command.as_str());
    let args: Array = entry.args.iter().map(String::as_str).collect();
    let args = Value::from(args);
    let lines = [
        format!("[{key}.{SERVER}]"),
        format!("command = {}", command.to_string().trim()),
        format!("args = {}", args.to_string().trim()),
    ];
    lines.map(|line| line + newline(text)).concat()
}

fn append(text: &str, section: &str) -> String {
    let newline = newline(text);
    let end = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        newline
    };
    let blank = if text.trim().is_empty() { "" } else { newline };
    format!("{text}{end}{blank}{section}")
}

fn read_entry(item: &Item) -> Option<Entry> {
    let table = item.as_table_like()?;
    let args = table.get("args")?.as_array()?.iter();
    Some(Entry {
        command: table.get("command")?.as_str()?.to_owned(),
        args: args
            .map(|word| word.as_str().map(str::to_owned))
            .collect::<Option<_>>()?,
    })
}

fn previous(item: &Item) -> Previous {
    let Some(table) = item.as_table_like() else {
        return Previous::default();
    };
    let target = ["command", "url"]
        .iter()
        .find_map(|name| table.get(name)?.as_str().map(str::to_owned));
    let names = table.iter().map(|(name, _)| name);
    let lost = names.filter(|name| !["command", "args", "url"].contains(name));
    Previous {
        target,
        lost: lost.map(str::to_owned).collect(),
    }
}

/// The whole lines that make up an item, in the file's order.
fn ranges(text: &str, name: &Key, item: &Item) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    collect(name, item, &mut parts);
    let mut lines: Vec<Range<usize>> = parts.iter().map(|part| whole_lines(text, part)).collect();
    lines.sort_by_key(|range| range.start);
    lines.dedup();
    lines
}

fn collect(name: &Key, item: &Item, parts: &mut Vec<Range<usize>>) {
    match item {
        Item::None => {}
        Item::Value(value) => {
            if let (Some(name), Some(value)) = (name.span(), value.span()) {
                parts.push(name.start..value.end);
            }
        }
        Item::Table(table) => collect_table(table, parts),
        Item::ArrayOfTables(tables) => {
            for table in tables {
                collect_table(table, parts);
            }
        }
    }
}

/// A section reaches from its header to its last value, with the comments in between.
fn collect_table(table: &Table, parts: &mut Vec<Range<usize>>) {
    let mut values = Vec::new();
    for (name, _) in table {
        let Some((name, item)) = table.get_key_value(name) else {
            continue;
        };
        let dotted = item.as_table().is_some_and(Table::is_dotted);
        let into = if item.is_value() || dotted {
            &mut values
        } else {
            &mut *parts
        };
        collect(name, item, into);
    }
    let header = table
        .span()
        .filter(|_| !table.is_dotted() && !table.is_implicit());
    match header {
        Some(header) => {
            let last = values.iter().map(|value| value.end).max();
            parts.push(header.start..last.unwrap_or(header.end).max(header.end));
        }
        None => parts.append(&mut values),
    }
}

fn is_section(text: &str, range: &Range<usize>) -> bool {
    text[range.start..].trim_start().starts_with('[')
}

fn whole_lines(text: &str, part: &Range<usize>) -> Range<usize> {
    let start = text[..part.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[part.end..]
        .find('\n')
        .map_or(text.len(), |at| part.end + at + 1);
    start..end
}

/// The start of one empty line before `range`, which installing put there.
fn before_blank_line(text: &str, range: &Range<usize>) -> usize {
    let before = &text[..range.start];
    ["\r\n", "\n"]
        .iter()
        .find_map(|end| before.strip_suffix(end))
        .filter(|line| line.ends_with('\n'))
        .map_or(range.start, str::len)
}

fn cut(text: &str, ranges: &[Range<usize>]) -> String {
    let mut rest = text.to_owned();
    for range in ranges.iter().rev() {
        rest.replace_range(range.clone(), "");
    }
    rest
}
