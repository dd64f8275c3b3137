//! Where traces go: by the variables that OpenTelemetry names, for those who operate a collector know them.
//!
//! What only the exporter needs, it reads itself (headers, the sampler, how much is batched). But it passes over what it
//! cannot use without a word, so what decides whether traces arrive at all is looked at here.

use url::Url;

use crate::config::Error;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// A collector of traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// The whole address that spans are sent to.
    pub endpoint: String,
}

/// The collector that the variables name, if any.
pub(super) fn traces(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Traces>, Error> {
    let says = |name, word: &str| variable(name).is_some_and(|said| said.trim() == word);
    if says("OTEL_SDK_DISABLED", "true") || says("OTEL_TRACES_EXPORTER", "none") {
        return Ok(None);
    }
    let endpoint = match (variable(TRACES_ENDPOINT), variable(ENDPOINT)) {
        (Some(whole), _) => address(TRACES_ENDPOINT, whole.trim())?,
        (None, Some(base)) => {
            let base = address(ENDPOINT, base.trim())?;
            format!("{}/v1/traces", base.trim_end_matches('/'))
        }
        (None, None) => return Ok(None),
    };
    spoken(&variable)?;
    sampled(&variable)?;
    Ok(Some(Traces { endpoint }))
}

/// Collectors are often on another machine of an inner network, so plain http is taken.
fn address(name: &'static str, given: &str) -> Result<String, Error> {
    let url = Url::parse(given).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    url.map(Into::into).ok_or_else(|| Error::Value {
        name,
        // It may hold a password.
        value: given.split('@').next_back().unwrap_or_default().to_owned(),
        accepted: "it must be like `http://127.0.0.1:4318`; a key or a password for the collector stands in OTEL_EXPORTER_OTLP_HEADERS",
    })
}

fn spoken(variable: impl Fn(&str) -> Option<String>) -> Result<(), Error> {
    let named = PROTOCOLS
        .iter()
        .find_map(|name| Some((*name, variable(name)?)));
    match named {
        Some((name, value)) if value.trim() != "http/protobuf" => Err(Error::Value {
            name,
            value,
            accepted: "traces are sent by http/protobuf alone, which collectors take at port 4318",
        }),
        _ => Ok(()),
    }
}

fn sampled(variable: impl Fn(&str) -> Option<String>) -> Result<(), Error> {
    let Some(sampler) = variable(SAMPLER) else {
        return Ok(());
    };
    if !SAMPLERS.contains(&sampler.as_str()) {
        return Err(Error::Value {
            name: SAMPLER,
            value: sampler,
            accepted: "it must be always_on, always_off or traceidratio, or one of these after parentbased_",
        });
    }
    let ratio = variable(SAMPLER_ARG).unwrap_or_default();
    let is_ratio = |ratio: f64| (0.0..=1.0).contains(&ratio);
    if sampler.ends_with("traceidratio") && !ratio.parse().is_ok_and(is_ratio) {
        return Err(Error::Value {
            name: SAMPLER_ARG,
            value: ratio,
            accepted: "it must be a number from 0 to 1, the part of all traces that is recorded",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let found = traces(|name| {
            let mut variables = variables.iter();
            let found = variables.find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        let endpoint = found.map(|found| found.map(|traces| traces.endpoint));
        endpoint.map_err(|problem| problem.to_string())
    }

    #[test]
    fn nothing_is_sent_unless_an_endpoint_is_set() {
        assert_eq!(set(&[]), Ok(None));
        assert_eq!(set(&[("OTEL_SERVICE_NAME", "x")]), Ok(None));
        let here = (ENDPOINT, "http://127.0.0.1:4318");
        assert_eq!(set(&[here, ("OTEL_SDK_DISABLED", "true")]), Ok(None));
        assert_eq!(set(&[here, ("OTEL_TRACES_EXPORTER", "none")]), Ok(None));
        // Nor is a wrong sampler anything then.
        assert_eq!(set(&[(SAMPLER, "sometimes")]), Ok(None));
    }

    #[test]
    fn the_address_is_the_base_or_the_whole() {
        for (name, given, whole) in [
            (
                ENDPOINT,
                "http://collector:4318",
                "http://collector:4318/v1/traces",
            ),
            (
                ENDPOINT,
                "https://c.example/otlp/",
                "https://c.example/otlp/v1/traces",
            ),
            (
                TRACES_ENDPOINT,
                "https://c.example/spans",
                "https://c.example/spans",
            ),
        ] {
            let found = set(&[(name, given), (SAMPLER, "parentbased_always_on")]);
            assert_eq!(found, Ok(Some(whole.to_owned())));
        }
        let both = set(&[(ENDPOINT, "http://a:1"), (TRACES_ENDPOINT, "http://b:2/x")]);
        assert_eq!(both, Ok(Some("http://b:2/x".to_owned())));
    }

    #[test]
    fn what_would_lose_traces_in_silence_is_refused() {
        let here = (ENDPOINT, "http://127.0.0.1:4318");
        for (variables, told) in [
            (&[(ENDPOINT, "collector:4318")][..], ENDPOINT),
            (&[(ENDPOINT, "http://c:1/?key=1")][..], "_HEADERS"),
            (&[(PROTOCOLS[1], "grpc"), here], "http/protobuf"),
            (&[(SAMPLER, "sometimes"), here], "always_on"),
            (&[(SAMPLER, "traceidratio"), here], SAMPLER_ARG),
            (
                &[
                    (SAMPLER, "parentbased_traceidratio"),
                    (SAMPLER_ARG, "7"),
                    here,
                ],
                "0 to 1",
            ),
        ] {
            let problem = set(variables).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
        let secret = set(&[(ENDPOINT, "https://user:s3cret@c.example")]).unwrap_err();
        assert!(!secret.contains("s3cret"), "{secret}");
    }
}
