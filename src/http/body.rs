//! Arguments of a call in the body of a POST: JSON, or a form.
use axum::body::{Body, to_bytes};
use axum::extract::{Form, FromRequest as _, Request};
use axum::http::{StatusCode, header};
use serde_json::{Map, Value};

/// Keys and signed messages are the largest arguments.
const LIMIT: usize = 1 << 20;
const FORM: &str = "application/x-www-form-urlencoded";

#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("The body is larger than {LIMIT} bytes, or was cut off")]
    Large,
    #[error("The body must be application/json or application/x-www-form-urlencoded")]
    Kind,
    #[error("The body is no JSON object: {0}")]
    Json(#[from] serde_json::Error),
    #[error("The body is no form: {0}")]
    Form(String),
    #[error("Argument {0} must be a text, a number, a boolean or a list of these")]
    Value(String),
}

impl Refused {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Refused::Large => StatusCode::PAYLOAD_TOO_LARGE,
            Refused::Kind => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refused::Json(_) | Refused::Form(_) | Refused::Value(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Arguments as a query would have them; none where the body is empty.
pub(super) async fn read(request: Request) -> Result<Vec<(String, String)>, Refused> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    let bytes = to_bytes(request.into_body(), LIMIT).await;
    let bytes = bytes.map_err(|_| Refused::Large)?;
    match &*kind {
        _ if bytes.is_empty() => Ok(Vec::new()),
        "application/json" => pairs(serde_json::from_slice(&bytes)?),
        FORM => {
            let form = Request::post("/").header(header::CONTENT_TYPE, FORM);
            let form = form
                .body(Body::from(bytes))
                .map_err(|fault| Refused::Form(fault.to_string()))?;
            let Form(pairs) = Form::from_request(form, &())
                .await
                .map_err(|refused| Refused::Form(refused.body_text()))?;
            Ok(pairs)
        }
        _ => Err(Refused::Kind),
    }
}

fn pairs(arguments: Map<String, Value>) -> Result<Vec<(String, String)>, Refused> {
    arguments
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| match text(&value) {
            Some(text) => Ok((name, text)),
            None => Err(Refused::Value(name)),
        })
        .collect()
}

/// As a query has it; `None`: it has no such form.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => {
            let texts: Option<Vec<String>> = values.iter().map(text).collect();
            // A comma would make two of one.
            let texts = texts.filter(|texts| texts.iter().all(|text| !text.contains(',')))?;
            Some(texts.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: Value) -> Result<Vec<(String, String)>, String> {
        pairs(serde_json::from_value(value).unwrap()).map_err(|refused| refused.to_string())
    }

    #[test]
    fn json_becomes_what_a_query_says() {
        let given = json!({"source": "hello", "full": true, "rollbacks": -1, "types": ["deb", "deb-src"], "version": null});
        let expected = [
            ("source", "hello"),
            ("full", "True"),
            ("rollbacks", "-1"),
            ("types", "deb,deb-src"),
        ];
        assert_eq!(
            of(given).unwrap(),
            expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn what_no_argument_can_be_is_named() {
        for value in [
            json!({"a": {}}),
            json!({"a": [null]}),
            json!({"a": ["b,c"]}),
        ] {
            assert_eq!(
                of(value).unwrap_err(),
                "Argument a must be a text, a number, a boolean or a list of these"
            );
        }
    }
}
