//! The computer that a page is shown on, and what computers are called.

use axum::http::HeaderMap;

use crate::binaries::Platform;

/// A computer, as far as its browser tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) os: &'static str,
    pub(super) name: &'static str,
}

/// What the browser says of its computer; a phone runs none of the programs.
pub(super) fn machine(headers: &HeaderMap) -> Option<Machine> {
    let said = headers
        .get("sec-ch-ua-platform")
        .or(headers.get("user-agent"));
    let said = said.and_then(|said| said.to_str().ok()).unwrap_or_default();
    if ["Android", "iPhone", "iPad"]
        .iter()
        .any(|phone| said.contains(phone))
    {
        return None;
    }
    [
        ("Windows", "win32", "Windows"),
        ("mac", "darwin", "macOS"),
        ("Mac", "darwin", "macOS"),
        ("Linux", "linux", "Linux"),
    ]
    .into_iter()
    .find(|(word, ..)| said.contains(word))
    .map(|(_, os, name)| Machine { os, name })
}

/// As people call it.
pub(super) fn words(platform: Platform) -> String {
    match (platform.os, platform.arch) {
        ("darwin", "arm64") => "macOS, Apple chip".to_owned(),
        ("darwin", _) => "macOS, Intel chip".to_owned(),
        ("win32", "x64") => "Windows".to_owned(),
        ("win32", _) => "Windows on ARM".to_owned(),
        ("linux", "x64") => "Linux".to_owned(),
        _ => "Linux on ARM".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_tells_its_computer() {
        let told = |name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(
                axum::http::HeaderName::from_static(name),
                axum::http::HeaderValue::from_static(value),
            )]);
            machine(&headers).map(|machine| machine.os)
        };
        assert_eq!(told("sec-ch-ua-platform", "\"macOS\""), Some("darwin"));
        assert_eq!(told("sec-ch-ua-platform", "\"Windows\""), Some("win32"));
        let safari = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15";
        assert_eq!(told("user-agent", safari), Some("darwin"));
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101";
        assert_eq!(told("user-agent", firefox), Some("linux"));
        let phone = "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36";
        assert_eq!(told("user-agent", phone), None);
        assert_eq!(told("user-agent", "curl/8"), None);
    }
}
