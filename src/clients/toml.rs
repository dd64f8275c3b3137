//! Our section in a TOML file. The parser finds the places; the text around them is not written anew.

use std::{collections::BTreeMap, ops::Range};

use toml_edit::{Array, Document, InlineTable, Item, Key, Table, Value};

use crate::clients::{
    SERVER,
    entry::{Edit, Entry, Previous, Problem, newline},
};

/// Enters `entry` as the section `[key.service-fusion]`.
pub(super) fn install(text: &str, key: &str, entry: &Entry) -> Result<Edit, Problem> {
    let document = parse(text)?;
    let Some((name, old)) = ours(text, &document, key)? else {
        return Ok(Edit::Added(append(text, &section(text, key, entry))));
    };
    let before = read_entry(old);
    let entry = entry.over(before.as_ref());
    if before.as_ref() == Some(&entry) {
        return Ok(Edit::Unchanged);
    }
    let section = section(text, key, &entry);
    let ranges = ranges(text, name, old);
    let rest = cut(text, &ranges);
    // An entry without a section of its own stands where no section may begin.
    let new = match ranges.first() {
        Some(first) if is_section(text, first) => {
            format!("{}{section}{}", &rest[..first.start], &rest[first.start..])
        }
        _ => append(&rest, &section),
    };
    Ok(Edit::Replaced(new, previous(old, before.as_ref(), &entry)))
}

/// Every server in the text with how it is started; `None` for one that is not a program.
pub(super) fn list(text: &str, key: &str) -> Result<Vec<(String, Option<Entry>)>, Problem> {
    let document = parse(text)?;
    let servers = servers(text, &document, key)?;
    let named = servers.iter().flat_map(|servers| servers.iter());
    Ok(named
        .map(|(name, item)| (name.to_owned(), read_entry(item)))
        .collect())
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
    let servers = servers(text, document, key)?;
    Ok(servers.and_then(|servers| servers.get_key_value(SERVER)))
}

/// The sections of all servers.
fn servers<'d>(
    text: &str,
    document: &'d Document<&str>,
    key: &str,
) -> Result<Option<&'d Table>, Problem> {
    match document.get(key) {
        None => Ok(None),
        Some(Item::Table(servers)) => Ok(Some(servers)),
        Some(other) => Err(Problem::at(
            text,
            other.span().map_or(0, |span| span.start),
            format!("`{key}` is not written as sections, `[{key}.NAME]`, so none can be added"),
        )),
    }
}

fn section(text: &str, key: &str, entry: &Entry) -> String {
    let args: Array = entry.args.iter().map(String::as_str).collect();
    let mut settings = vec![
        ("command", Value::from(entry.command.as_str())),
        ("args", Value::from(args)),
    ];
    if !entry.env.is_empty() {
        let env: InlineTable = entry
            .env
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        settings.push(("env", Value::from(env)));
    }
    let newline = newline(text);
    let settings = settings.iter().map(|(name, value)| {
        let value = value.to_string();
        format!("{name} = {}{newline}", value.trim())
    });
    format!("[{key}.{SERVER}]{newline}{}", settings.collect::<String>())
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
    let args = match table.get("args") {
        Some(args) => {
            let words = args.as_array()?.iter();
            words
                .map(|word| word.as_str().map(str::to_owned))
                .collect::<Option<_>>()?
        }
        None => Vec::new(),
    };
    let env = match table.get("env") {
        Some(env) => {
            let variables = env.as_table_like()?.iter();
            variables
                .map(|(name, value)| Some((name.to_owned(), value.as_str()?.to_owned())))
                .collect::<Option<_>>()?
        }
        None => BTreeMap::new(),
    };
    Some(Entry {
        command: table.get("command")?.as_str()?.to_owned(),
        args,
        env,
    })
}

fn previous(item: &Item, old: Option<&Entry>, new: &Entry) -> Previous {
    let Some(table) = item.as_table_like() else {
        return Previous::default();
    };
    let target = ["command", "url"]
        .iter()
        .find_map(|name| table.get(name)?.as_str().map(str::to_owned));
    Previous::of(target, table.iter().map(|(name, _)| name), old, new)
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
