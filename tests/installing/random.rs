//! Whatever a JSON file holds: installing and uninstalling leave it as it was.

use jsonc_parser::{JsonValue, ParseOptions, parse_to_value};
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(Value::from("// a, {b} /* c")),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            object(inner).prop_map(Value::Object),
        ]
    })
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof!["[a-z]{1,6}", ".{0,6}", Just("service-fusion2".to_owned())];
    prop::collection::vec((name, value), 0..6).prop_map(Map::from_iter)
}

/// A file that may have servers, written in one of four ways.
fn file() -> impl Strategy<Value = (Value, String)> {
    let servers = prop::option::of(object(value()));
    (object(value()), servers, 0..4).prop_map(|(mut root, servers, style)| {
        root.remove("mcpServers");
        if let Some(servers) = servers {
            let at = root.len() / 2;
            root.shift_insert(at, "mcpServers".to_owned(), Value::Object(servers));
        }
        let root = Value::Object(root);
        let pretty = serde_json::to_string_pretty(&root).unwrap();
        let text = match style {
            0 => root.to_string(),
            1 => pretty,
            2 => pretty.replace('\n', "\r\n"),
            _ => format!("\u{feff}{}\n", tabs(&pretty)),
        };
        let read = text.trim_start_matches('\u{feff}');
        (serde_json::from_str(read).unwrap(), text)
    })
}

/// The same with tabs at the beginnings of lines.
fn tabs(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let rest = line.trim_start_matches(' ');
        "\t".repeat((line.len() - rest.len()) / 2) + rest
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn read(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap();
    serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap()
}

/// What may stand between two words of a file.
const BETWEEN: [&str; 9] = [
    "",
    "",
    " ",
    "\n",
    "\n    ",
    "\r\n\t",
    " // c, \"}\n",
    "/* , { */",
    " /* \n */ ",
];

/// `value` with blanks, comments and trailing commas as `picks` has them.
fn with_comments(value: &Value, picks: &mut impl Iterator<Item = usize>) -> String {
    let mut next = || picks.next().unwrap_or_default();
    let mut parts = Vec::new();
    let (open, close) = match value {
        Value::Object(members) => {
            for (name, value) in members {
                let (a, b, c) = (BETWEEN[next()], BETWEEN[next()], BETWEEN[next()]);
                let (name, value) = (
                    Value::from(name.as_str()),
                    with_comments(value, &mut next_of(&mut next)),
                );
                parts.push(format!("{a}{name}{b}:{c}{value}"));
            }
            ('{', '}')
        }
        Value::Array(items) => {
            for item in items {
                let a = BETWEEN[next()];
                parts.push(a.to_owned() + &with_comments(item, &mut next_of(&mut next)));
            }
            ('[', ']')
        }
        plain => return plain.to_string(),
    };
    let comma = if !parts.is_empty() && next() % 2 == 0 {
        ","
    } else {
        ""
    };
    let inner = parts.join(&format!("{},", BETWEEN[next()]));
    let (d, e) = (BETWEEN[next()], BETWEEN[next()]);
    format!("{open}{inner}{d}{comma}{e}{close}")
}

fn next_of(next: &mut dyn FnMut() -> usize) -> Box<dyn Iterator<Item = usize> + '_> {
    Box::new(std::iter::from_fn(move || Some(next())))
}

fn meaning(text: &str) -> JsonValue<'_> {
    parse_to_value(text, &ParseOptions::default())
        .unwrap()
        .unwrap()
}

/// Everything but blanks and commas.
fn words(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && *c != ',')
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_other_member_keeps_its_value_and_place((before, text) in file()) {
        let home = Home::new();
        let file = home.put("cursor", &text);
        prop_assert_eq!(install("cursor", &file).unwrap(), Outcome::Added);

        let mut between = read(&file);
        prop_assert_eq!(&between["mcpServers"]["service-fusion"]["command"], "/opt/sf-mcp");
        let servers = between["mcpServers"].as_object_mut().unwrap();
        servers.shift_remove("service-fusion");
        let had_servers = before.get("mcpServers").is_some();
        if !had_servers {
            between.as_object_mut().unwrap().shift_remove("mcpServers");
        }
        prop_assert_eq!(between.to_string(), before.to_string());

        fs::remove_file(backup(&file)).unwrap();
        prop_assert_eq!(uninstall("cursor", &file).unwrap(), Outcome::Removed);
        if had_servers {
            prop_assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
    }
    #[test]
    fn comments_stay_wherever_they_are(
        (value, _) in file(),
        picks in prop::collection::vec(0..BETWEEN.len(), 300),
        client in 0..JSON_CLIENTS.len(),
    ) {
        let client = JSON_CLIENTS[client];
        let mut value = value;
        value.as_object_mut().unwrap().shift_remove("servers");
        let servers = value.as_object_mut().unwrap().shift_remove("mcpServers");
        let servers = servers.unwrap_or_else(|| serde_json::json!({}));
        value[key(client)] = servers;
        let before = with_comments(&value, &mut picks.into_iter());
        let home = Home::new();
        let file = home.put(client, &before);
        prop_assert_eq!(install(client, &file).unwrap(), Outcome::Added);
        prop_assert_eq!(install(client, &file).unwrap(), Outcome::Unchanged);
        fs::remove_file(backup(&file)).unwrap();
        prop_assert_eq!(uninstall(client, &file).unwrap(), Outcome::Removed);
        let after = fs::read_to_string(&file).unwrap();
        prop_assert_eq!(meaning(&after), meaning(&before));
        prop_assert_eq!(words(&after), words(&before), "{}", after);
    }

    #[test]
    fn an_entry_at_any_place_leaves_a_file_that_can_be_read(
        (mut value, _) in file(),
        picks in prop::collection::vec(0..BETWEEN.len(), 300),
        at in 0..4_usize,
    ) {
        let root = value.as_object_mut().unwrap();
        let servers = root.entry("mcpServers").or_insert_with(|| serde_json::json!({}));
        let servers = servers.as_object_mut().unwrap();
        let at = at.min(servers.len());
        servers.shift_insert(at, "service-fusion".to_owned(), serde_json::json!({"command": "x"}));
        let before = with_comments(&value, &mut picks.into_iter());
        let home = Home::new();
        let file = home.put("cursor", &before);
        prop_assert_eq!(uninstall("cursor", &file).unwrap(), Outcome::Removed);
        let after = fs::read_to_string(&file).unwrap();
        value["mcpServers"].as_object_mut().unwrap().shift_remove("service-fusion");
        let expected = value.to_string();
        prop_assert_eq!(meaning(&after), meaning(&expected), "{}\n{}", before, after);
    }
}
