//! Files that are missing, broken, protected or elsewhere.

use super::*;

#[test]
fn a_missing_file_is_created_for_its_owner_alone() {
    for client in JSON_CLIENTS.iter().chain(&["codex"]) {
        let home = Home::new();
        let file = home.file(client);
        assert_eq!(install(client, &file).unwrap(), Outcome::Added);
        assert!(fs::read_to_string(&file).unwrap().contains("/opt/sf-mcp"));
        assert!(!backup(&file).exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&file), 0o600);
            if *client != "claude-code" {
                assert_eq!(mode(file.parent().unwrap()), 0o700);
            }
        }
        assert_eq!(uninstall(client, &file).unwrap(), Outcome::Removed);
        assert!(file.exists());
        assert_eq!(uninstall(client, &file).unwrap(), Outcome::Absent);
    }
}

#[test]
fn a_missing_file_stays_missing_when_there_is_nothing_to_take_out() {
    let home = Home::new();
    assert_eq!(
        uninstall("cursor", &home.file("cursor")).unwrap(),
        Outcome::Absent
    );
    assert!(!home.path(".cursor").exists());
}

#[test]
fn a_broken_file_is_left_alone_and_the_place_is_said() {
    let json = [
        ("{\n  \"KEY\": {\n    \"a\" 1\n  }\n}", "line 3, column 9"),
        ("{\n  \"KEY\": {}\n  \"b\": 1\n}", "line 2, column"),
        ("{\n  \"KEY\": {\n", "line"),
        ("{'KEY': {}}", "line 1, column 2"),
        ("{} {}", "line 1, column 4"),
        ("[]", "line 1, column 1"),
        ("{\r\n  \"KEY\": []\r\n}", "line 2, column"),
        ("{\n  \"KEY\": null\n}", "line 2, column"),
        ("{\n  \"KEY\": \"x\"\n}", "line 2, column"),
    ];
    let toml = [
        ("a = 1\nb = \n", "line 2, column 5"),
        ("[mcp_servers\n", "line 1"),
        ("a = 1\na = 2\n", "line 2, column 1"),
        ("x = 1\nmcp_servers = \"x\"\n", "line 2, column 15"),
        ("mcp_servers = { a = {} }\n", "line 1, column 15"),
        ("[[mcp_servers]]\n", "line 1"),
    ];
    let json = JSON_CLIENTS
        .iter()
        .flat_map(|client| json.map(|shape| (*client, shape)));
    let toml = toml.map(|shape| ("codex", shape));
    for (client, (shape, place)) in json.chain(toml) {
        let home = Home::new();
        let text = shape.replace("KEY", key(client));
        let file = home.put(client, &text);
        for outcome in [install(client, &file), uninstall(client, &file)] {
            let message = outcome.unwrap_err().to_string();
            assert!(message.contains(place), "{text}: {message}");
            assert!(message.starts_with(file.to_str().unwrap()), "{message}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert!(!backup(&file).exists());
    }
}

#[test]
fn a_file_in_another_encoding_is_left_alone() {
    let home = Home::new();
    let file = home.put("cursor", b"{\n  \"a\": \"\xff\xfe\"\n}");
    let message = install("cursor", &file).unwrap_err().to_string();
    assert!(
        message.contains("line 2, column 9: this is not UTF-8"),
        "{message}"
    );
}

#[test]
fn a_deep_file_is_refused_and_not_a_crash() {
    let home = Home::new();
    let file = home.put("cursor", "[".repeat(200_000));
    assert!(install("cursor", &file).is_err());
    let file = home.put("codex", format!("a = {}", "[".repeat(200_000)));
    assert!(install("codex", &file).is_err());
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn is_root(home: &Home) -> bool {
        fs::metadata(home.0.path()).unwrap().uid() == 0
    }

    #[test]
    fn the_mode_is_kept_in_the_file_and_its_backup() {
        let home = Home::new();
        let file = home.put("cursor", "{}");
        set_mode(&file, 0o640);
        install("cursor", &file).unwrap();
        for path in [&file, &backup(&file)] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o640);
        }
        let names = fs::read_dir(file.parent().unwrap()).unwrap();
        assert_eq!(names.count(), 2, "no draft is left");
    }

    #[test]
    fn a_symbolic_link_stays_one() {
        let home = Home::new();
        fs::create_dir_all(home.path("dotfiles")).unwrap();
        fs::create_dir_all(home.path(".cursor")).unwrap();
        let target = home.path("dotfiles/mcp.json");
        symlink("../dotfiles/mcp.json", home.file("cursor")).unwrap();
        // At first it points to nothing.
        install("cursor", &home.file("cursor")).unwrap();
        assert!(fs::read_to_string(&target).unwrap().contains("/opt/sf-mcp"));
        uninstall("cursor", &home.file("cursor")).unwrap();
        assert!(!fs::read_to_string(&target).unwrap().contains("/opt/sf-mcp"));
        assert!(
            fs::symlink_metadata(home.file("cursor"))
                .unwrap()
                .is_symlink()
        );
        assert!(backup(&home.file("cursor")).is_file());
    }

    #[test]
    fn a_write_protected_file_stays_as_it_is() {
        let home = Home::new();
        let file = home.put("cursor", "{}");
        set_mode(&file, 0o444);
        let message = install("cursor", &file).unwrap_err().to_string();
        assert!(message.contains("write-protected"), "{message}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "{}");
        assert!(!backup(&file).exists());
    }

    #[test]
    fn a_read_only_folder_is_named_and_the_file_stays() {
        let home = Home::new();
        if is_root(&home) {
            return read_only_for_root();
        }
        let file = home.put("cursor", "{}");
        set_mode(file.parent().unwrap(), 0o500);
        let message = install("cursor", &file).unwrap_err().to_string();
        set_mode(file.parent().unwrap(), 0o700);
        assert!(
            message.contains("cannot write") && message.contains(".cursor"),
            "{message}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), "{}");
    }

    /// Modes do not stop root; a folder of /proc does.
    fn read_only_for_root() {
        let message = install("cursor", Path::new("/proc/mcp.json"))
            .unwrap_err()
            .to_string();
        assert!(message.contains("cannot write /proc/mcp.json"), "{message}");
        assert!(message.contains("nothing was changed"), "{message}");
    }
}
