//! The calls as an OpenAPI description: docs/openapi.json.
use serde_json::{Map, Value, json};

use super::argument::{Default, Kind};
use super::{CALLS, Call, Spec};

pub fn document() -> Value {
    let paths: Map<String, Value> = CALLS
        .iter()
        .map(|call| (format!("/mini_buildd/api/{}/", call.name), path(call)))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "mini-buildd",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        },
        "paths": paths,
        "components": {"schemas": {"Problem": problem()}},
    })
}

fn path(call: &Call) -> Value {
    let mut parameters: Vec<Value> = call.arguments.iter().map(parameter).collect();
    if call.confirm {
        parameters.push(json!({
            "name": "confirm",
            "in": "query",
            "required": true,
            "description": "Confirms the call",
            "schema": {"const": call.name},
        }));
    }
    parameters.push(json!({
        "name": "output",
        "in": "query",
        "description": "Form of the answer",
        "schema": {"enum": ["json", "plain", "html"], "default": "json"},
    }));
    json!({
        "get": {
            "operationId": call.name,
            "summary": call.summary(),
            "description": call.doc,
            "x-auth": call.auth.to_string(),
            "parameters": parameters,
            "responses": {
                "200": {
                    "description": "The result",
                    "content": {"application/json": {}, "text/plain": {}, "text/html": {}},
                },
                "default": {
                    "description": "What is wrong",
                    "content": {
                        "application/problem+json": {
                            "schema": {"$ref": "#/components/schemas/Problem"},
                        },
                    },
                },
            },
        },
    })
}

fn parameter(spec: &Spec) -> Value {
    json!({
        "name": spec.name,
        "in": "query",
        "required": spec.default == Default::Required,
        "description": spec.doc,
        "explode": false,
        "schema": schema(spec),
    })
}

fn schema(spec: &Spec) -> Value {
    let mut schema = match spec.kind {
        Kind::Boolean => json!({"enum": ["True", "False"]}),
        Kind::Integer => json!({"type": "integer"}),
        Kind::Text | Kind::Lines => json!({"type": "string"}),
        Kind::List => json!({"type": "array", "items": {"type": "string"}}),
    };
    if let Default::Value(text) = spec.default {
        schema["default"] = match spec.kind {
            Kind::Integer => text.parse::<i64>().map_or(Value::Null, Value::from),
            Kind::List => text.split(',').filter(|part| !part.is_empty()).collect(),
            Kind::Boolean | Kind::Text | Kind::Lines => text.into(),
        };
    }
    schema
}

fn problem() -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "status": {"type": "integer"},
            "title": {"type": "string"},
            "detail": {"type": "string"},
            "instance": {"type": "string"},
        },
    })
}
