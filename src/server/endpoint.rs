//! What a hosted process asked Service Fusion for, said to its service beside the answer: it counts, and the client does not see it.

use rmcp::model::MetaObject;

use crate::service_fusion::client::asked::Asked;

/// Where it stands in a result's `_meta`, as `GET /v1/jobs/{id}`.
pub const ENDPOINT: &str = "com.servicefusion-mcp/endpoint";
/// How the end of such a result begins: `_meta` is its last member and holds nothing else.
const BEGIN: &[u8] = br#","_meta":{"com.servicefusion-mcp/endpoint":""#;
const END: &[u8] = br#""}}"#;

/// The `_meta` of a call's result; none when Service Fusion was not asked.
pub(super) fn said(asked: &Asked) -> Option<MetaObject> {
    let endpoint = asked.endpoint();
    (!endpoint.is_empty()).then(|| {
        let mut meta = MetaObject::new();
        meta.0.insert(ENDPOINT.to_owned(), endpoint.into());
        meta
    })
}

/// Takes the word out of a result's text: what stands before it, without the result's last brace, and the endpoint.
///
/// Nothing is parsed, as every answer passes here. In valid JSON a text that ends like this has that last member: no
/// string can hold its quotes unescaped, and the last brace closes the result itself.
pub fn taken_out(result: &[u8]) -> Option<(&[u8], &str)> {
    let rest = result.strip_suffix(END)?;
    let quote = rest.iter().rposition(|byte| *byte == b'"')?;
    let (before, endpoint) = rest.split_at(quote + 1);
    let before = before.strip_suffix(BEGIN)?;
    Some((before, std::str::from_utf8(endpoint).ok()?))
}

#[cfg(test)]
mod tests {
    use reqwest::Method;
    use rmcp::model::CallToolResult;

    use super::*;

    #[test]
    fn what_is_said_is_taken_out_again() {
        let asked = Asked::default();
        assert!(said(&asked).is_none());
        asked.note(&Method::GET, "jobs/1042");
        let mut result = CallToolResult::success(Vec::new());
        let without = serde_json::to_string(&result).unwrap();
        result.meta = said(&asked);
        let with = serde_json::to_vec(&result).unwrap();
        let (before, endpoint) = taken_out(&with).unwrap();
        assert_eq!(endpoint, "GET /v1/jobs/{id}");
        assert_eq!([before, b"}"].concat(), without.as_bytes());
        assert!(taken_out(without.as_bytes()).is_none());
    }

    #[test]
    fn what_only_looks_like_it_stays() {
        for result in [
            r#"{"content":[],"_meta":{"com.servicefusion-mcp/endpoint":"GET /v1/jobs","more":1}}"#,
            r#"{"content":[],"_meta":{"more":"x","com.servicefusion-mcp/endpoint":"GET /v1/jobs"}}"#,
            r#"{"a":{"b":",\"_meta\":{\"com.servicefusion-mcp/endpoint\":\"GET /v1/jobs"}}"#,
            r#"{"content":[],"_meta":{"com.servicefusion-mcp/endpoint":"a\"b"}}"#,
            r#""}}"#,
            "",
        ] {
            assert!(taken_out(result.as_bytes()).is_none(), "{result}");
        }
    }
}
