//! Where the secrets of a sign-in are, and where they never are.

use secrecy::ExposeSecret;
use serde_json::json;
use sf_mcp::auth::vault::Means;

use crate::support::{
    Home, Sandbox, Serve,
    sign_in::{GRANTS, command, expire_at_next_search, profile},
};

/// Every file below a folder, in one.
fn contents(folder: &std::path::Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        bytes.extend(if path.is_dir() {
            contents(&path)
        } else {
            std::fs::read(path).unwrap()
        });
    }
    bytes
}

/// The secrets of the sign-in as it is now. The key is in its file, and nowhere else.
fn secrets_of(sandbox: &Sandbox, home: &Home) -> (Vec<String>, String) {
    let opened = profile(sandbox, home).open(None).unwrap();
    let secrets = opened.secrets;
    let Means::Client { secret, .. } = secrets.means else {
        panic!("not a sign-in with a client's secret");
    };
    let mut texts = vec![
        secret.expose_secret().to_owned(),
        secrets.access_token.expose_secret().to_owned(),
    ];
    texts.extend(
        secrets
            .refresh_token
            .map(|token| token.expose_secret().to_owned()),
    );
    (texts, opened.key.to_base64().to_string())
}

#[test]
fn no_secret_is_in_a_file_a_log_an_answer_or_the_process_table() {
    for grant in GRANTS {
        let (sandbox, home) = (Sandbox::with(&["--requests", "0"]), Home::new());
        grant.log_in(&sandbox, &home);
        let mut client = Serve::signed_out(&home)
            .env("SF_MCP_API_URL", &sandbox.origin())
            .env("SF_MCP_LOG", "trace")
            .start();
        let (mut secrets, mut keys, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        for limit in 1..=3 {
            let (now, key) = secrets_of(&sandbox, &home);
            secrets.extend(now);
            keys.push(key);
            expire_at_next_search(&sandbox);
            let answer = client.answer_to_call("search_jobs", &json!({"limit": limit}));
            seen.extend(answer.to_string().into_bytes());
            for arguments in [
                &["status", "--json", "--log", "trace"][..],
                &["doctor", "--log", "trace"],
                &["doctor", "--rotate-key", "--log", "trace"],
            ] {
                let output = command(&sandbox, &home, arguments).output().unwrap();
                seen.extend([output.stdout, output.stderr].concat());
            }
        }
        let (now, key) = secrets_of(&sandbox, &home);
        secrets.extend(now);
        let process = format!("/proc/{}", client.process_id());
        for part in ["cmdline", "environ"] {
            seen.extend(std::fs::read(format!("{process}/{part}")).unwrap_or_default());
        }
        seen.extend(contents(home.path()));
        seen.extend(client.finish().stderr.into_bytes());
        seen.extend(contents(&home.path().join("state")));

        let text = String::from_utf8_lossy(&seen);
        for secret in secrets.iter().chain(&keys) {
            assert!(!text.contains(secret.as_str()), "{grant:?}");
        }
        assert!(!text.contains("Bearer "), "{grant:?}");
        assert_eq!(text.matches(&key).count(), 1, "{grant:?}: in its own file");
        assert!(secrets.len() >= 8 && keys.len() == 3);
    }
}
