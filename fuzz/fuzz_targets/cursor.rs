//! Cursors: the first line is a text that a client hands back, the second are the arguments it comes with.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use sf_mcp::answer::cursor::{Binding, Error};

fuzz_target!(|input: &str| {
    let (text, arguments) = input.split_once('\n').unwrap_or((input, ""));
    let arguments: Map<String, Value> = serde_json::from_str(arguments).unwrap_or_default();
    let here = Binding::new("search_jobs", &arguments);
    let Ok(cursor) = here.read(text) else {
        return;
    };

    let place = cursor.position;
    let most = [
        place.offset,
        place.length,
        place.delivered,
        place.matches.unwrap_or(0),
    ];
    assert!(
        most.into_iter().all(|number| number <= 1 << 40),
        "{place:?}"
    );
    if let Some(range) = cursor.range() {
        assert!(range.from <= range.to, "{range:?}");
    }
    // It says the same when it is given out again, and other calls do not take it.
    let again = here.cursor(place, cursor.range(), cursor.matched_by.as_deref());
    assert_eq!(here.read(&again).as_ref(), Ok(&cursor));
    let mut others = arguments.clone();
    others.insert("status".to_owned(), Value::from("another than before"));
    for other in [
        Binding::new("search_customers", &arguments),
        Binding::new("search_jobs", &others),
    ] {
        if others != arguments {
            assert_eq!(other.read(text), Err(Error::OtherArguments));
        }
    }
    // `cursor` and `limit` are not among the arguments that it belongs to.
    others = arguments;
    others.insert("cursor".to_owned(), Value::from(text));
    others.insert("limit".to_owned(), Value::from(7));
    assert_eq!(Binding::new("search_jobs", &others).read(text), Ok(cursor));
});
