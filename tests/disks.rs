//! A sign-in on a disk that is full or cannot be written.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    Ran, Sandbox,
    sign_in::{
        GRANTS, Grant, command, expire_at_next_search, log_in, login_with, refusal_of_new_server,
        server, status, token_requests, tokens_file, works,
    },
    small_disk::SmallDisk,
};

/// The sign-in is for the mounted home, where there is one.
fn on_a_small_disk(grant: Grant) -> Option<(Sandbox, SmallDisk)> {
    let disk = SmallDisk::mount()?;
    let sandbox = Sandbox::with(&["--requests", "0"]);
    grant.log_in(&sandbox, disk.home());
    Some((sandbox, disk))
}

#[test]
fn a_read_only_folder_is_told_and_spends_nothing() {
    let Some((sandbox, disk)) = on_a_small_disk(Grant::Browser) else {
        return;
    };
    let mut client = server(&sandbox, disk.home());
    client.call("search_jobs", &json!({"limit": 1}));
    let before = token_requests(&sandbox);
    disk.make_read_only();

    expire_at_next_search(&sandbox);
    let refused = client.refusal("search_jobs", &json!({"limit": 2}));

    refused.says("Read-only file system");
    refused.says(&disk.home().path().display().to_string());
    refusal_of_new_server(&sandbox, disk.home()).says("Read-only file system");
    assert_eq!(token_requests(&sandbox), before);
    let login = login_with(&sandbox, disk.home(), "sandbox-consumer-secret");
    assert_eq!(login.code, Some(1), "{}", login.stdout);
    assert!(
        login.stderr.contains("Read-only file system"),
        "{}",
        login.stderr
    );

    disk.make_writable();
    client.call("search_jobs", &json!({"limit": 3}));
}

#[test]
fn calls_are_served_from_a_read_only_folder_while_the_token_lasts() {
    for grant in GRANTS {
        let Some((sandbox, disk)) = on_a_small_disk(grant) else {
            return;
        };
        let mut running = server(&sandbox, disk.home());
        running.call("search_jobs", &json!({"limit": 1}));
        let before = token_requests(&sandbox);
        disk.make_read_only();

        running.call("search_jobs", &json!({"limit": 2}));
        works(&sandbox, disk.home());
        assert_eq!(status(&sandbox, disk.home())["signed_in"], true);
        assert_eq!(token_requests(&sandbox), before);
        let rotation = command(&sandbox, disk.home(), &["doctor", "--rotate-key"]).output();
        let rotation = Ran::from(rotation.unwrap());
        assert_eq!(rotation.code, Some(1), "{}", rotation.stdout);
        assert!(rotation.stderr.contains("Read-only"), "{}", rotation.stderr);

        disk.make_writable();
        works(&sandbox, disk.home());
    }
}

/// The side files of a killed process are there, or only some of them.
#[test]
fn a_read_only_folder_with_an_unfinished_log_is_read_or_told() {
    for (without, is_served) in [(None, true), (Some("tokens.db-shm"), false)] {
        let Some((sandbox, disk)) = on_a_small_disk(Grant::ClientCredentials) else {
            return;
        };
        let folder = disk.home().path().join("state/default");
        let writing = Connection::open(tokens_file(disk.home())).unwrap();
        writing
            .execute("UPDATE login SET generation = generation + 1", [])
            .unwrap();
        let side_files = ["tokens.db-wal", "tokens.db-shm"];
        let left = side_files.map(|name| std::fs::read(folder.join(name)).unwrap());
        drop(writing);
        for (name, bytes) in side_files.iter().zip(left) {
            if without != Some(*name) {
                std::fs::write(folder.join(name), bytes).unwrap();
            }
        }
        disk.make_read_only();

        if is_served {
            works(&sandbox, disk.home());
        } else {
            let refused = refusal_of_new_server(&sandbox, disk.home());
            refused.says("tokens.db");
            refused.says("make its folder writable");
        }
        disk.make_writable();
        works(&sandbox, disk.home());
    }
}

#[test]
fn a_login_on_a_full_disk_stores_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let sandbox = Sandbox::start();
    for free_pages in 0..30 {
        disk.fill(free_pages);
        let ran = login_with(&sandbox, disk.home(), "sandbox-consumer-secret");
        disk.make_room();

        if ran.code == Some(0) {
            return works(&sandbox, disk.home());
        }
        assert_eq!(ran.code, Some(1), "{free_pages} pages were free");
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        let status = status(&sandbox, disk.home());
        assert_eq!(
            status["signed_in"], false,
            "{free_pages} pages were free: {}",
            ran.stderr
        );
    }
    panic!("thirty pages are enough for a sign-in");
}

#[test]
fn a_login_on_a_full_disk_leaves_the_earlier_one_in_place() {
    let Some((sandbox, disk)) = on_a_small_disk(Grant::ClientCredentials) else {
        return;
    };
    let mut failures = Vec::new();
    for free_pages in 0..24 {
        disk.fill(free_pages);
        login_with(&sandbox, disk.home(), "sandbox-consumer-secret");
        disk.make_room();

        let mut client = server(&sandbox, disk.home());
        let answer = client.answer_to_call("search_jobs", &json!({"limit": 1}));
        if answer["result"]["isError"] == true {
            let text = &answer["result"]["content"][0]["text"];
            failures.push(format!("{free_pages} pages were free: {text}"));
            log_in(&sandbox, disk.home());
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_renewal_on_a_full_disk_spends_no_refresh_token_that_it_cannot_replace() {
    let Some((sandbox, disk)) = on_a_small_disk(Grant::Browser) else {
        return;
    };
    let mut failures = Vec::new();
    for free_pages in 0..24 {
        let mut client = server(&sandbox, disk.home());
        client.call("search_jobs", &json!({"limit": 1}));
        let before = sandbox.state()["refreshes"].clone();
        disk.fill(free_pages);
        expire_at_next_search(&sandbox);
        let first = client.answer_to_call("search_jobs", &json!({"limit": 2}));
        disk.make_room();
        let after = sandbox.state()["refreshes"].clone();
        let second = client.answer_to_call("search_jobs", &json!({"limit": 3}));

        let is_lost = second["result"]["isError"] == true;
        let is_spent = first["result"]["isError"] == true && after != before;
        if is_lost || is_spent {
            let text = |answer: &Value| answer["result"]["content"][0]["text"].to_string();
            failures.push(format!(
                "{free_pages} pages were free: {before} refreshes, then {after}: {:.300}; then: {:.200}",
                text(&first),
                text(&second)
            ));
        }
        if is_lost {
            Grant::Browser.log_in(&sandbox, disk.home());
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(sandbox.state()["refresh_reuse"], 0);
}

#[test]
fn a_full_disk_is_called_that_and_not_damage() {
    let Some((sandbox, disk)) = on_a_small_disk(Grant::Browser) else {
        return;
    };
    for free_pages in 0..6 {
        let mut client = server(&sandbox, disk.home());
        client.call("search_jobs", &json!({"limit": 1}));
        disk.fill(free_pages);
        expire_at_next_search(&sandbox);
        let renewal = client.refusal("search_jobs", &json!({"limit": 2})).text;
        let login = login_with(&sandbox, disk.home(), "sandbox-consumer-secret").stderr;
        disk.make_room();

        for text in [renewal, login] {
            let words = text.to_lowercase();
            let is_clear = words.contains("full") || words.contains("no space");
            assert!(
                is_clear && !words.contains("damaged"),
                "{free_pages} pages were free: {text}"
            );
        }
    }
}
