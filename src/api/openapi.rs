//! The calls as an OpenAPI description: docs/openapi.json.
use serde_json::{Map, Value, json};

use super::argument::{Default, Kind};
use super::{Auth, CALLS, Call, Spec};

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
        "components": {
            "schemas": {"Problem": problem()},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "As mini-buildd user token add makes it",
                },
                "session": {"type": "apiKey", "in": "cookie", "name": "sessionid"},
            },
        },
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
        "description": "Form of the answer: json, plain, html or html-snippet; anything else is json",
        "schema": {"type": "string", "default": "json"},
    }));
    let mut get = operation(call);
    get["operationId"] = call.name.into();
    get["parameters"] = parameters.into();
    let mut post = operation(call);
    post["operationId"] = format!("post_{}", call.name).into();
    let body = json!({"schema": body(call)});
    post["requestBody"] = json!({
        "description": "The same arguments",
        "content": {"application/json": body, "application/x-www-form-urlencoded": body},
    });
    json!({"get": get, "post": post})
}

/// What is the same whichever way a call is made.
fn operation(call: &Call) -> Value {
    let problem = json!({"schema": {"$ref": "#/components/schemas/Problem"}});
    let anybody = call.auth == Auth::None;
    let security = if anybody {
        json!([])
    } else {
        json!([{"token": []}, {"session": []}])
    };
    json!({
        "summary": call.summary(),
        "description": call.doc,
        "x-auth": call.auth.to_string(),
        "security": security,
        "responses": {
            "200": {
                "description": "The result",
                "content": {"application/json": {}, "text/plain": {}, "text/html": {}},
            },
            "default": {
                "description": "What is wrong; with output html as a page",
                "content": {"application/problem+json": problem, "text/html": {}},
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
        Kind::Boolean => json!({"type": "string", "examples": ["True", "False"]}),
        // Empty is not given.
        Kind::Integer => json!({"anyOf": [{"type": "integer"}, {"const": ""}]}),
        Kind::Text | Kind::Lines => json!({"type": "string"}),
        Kind::List => json!({"type": "array", "items": {"type": "string"}}),
    };
    if spec.default == Default::Required {
        // What is empty counts as not given.
        let field = if spec.kind == Kind::List {
            "minItems"
        } else {
            "minLength"
        };
        schema[field] = 1.into();
    }
    if let Default::Value(text) = spec.default {
        schema["default"] = match spec.kind {
            Kind::Integer => text.parse::<i64>().map_or(Value::Null, Value::from),
            Kind::List => text.split(',').filter(|part| !part.is_empty()).collect(),
            Kind::Boolean | Kind::Text | Kind::Lines => text.into(),
        };
    }
    schema
}

/// Numbers and booleans may be written as in a query; null is not given.
const SCALAR: [&str; 4] = ["string", "number", "boolean", "null"];

/// The object of arguments that a POST has; it is a confirmation itself.
fn body(call: &Call) -> Value {
    let mut properties: Map<String, Value> = call
        .arguments
        .iter()
        .map(|spec| {
            let mut schema = match spec.kind {
                Kind::List => json!({
                    "type": ["array", "string", "number", "boolean", "null"],
                    "items": {"type": ["string", "number", "boolean"]},
                }),
                _ => json!({"type": SCALAR}),
            };
            schema["description"] = spec.doc.into();
            (spec.name.to_owned(), schema)
        })
        .collect();
    let required = call.arguments.iter();
    let required = required.filter(|spec| spec.default == Default::Required);
    let required: Vec<&str> = required.map(|spec| spec.name).collect();
    for name in ["confirm", "output"] {
        properties.insert(name.into(), json!({"type": SCALAR}));
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
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
