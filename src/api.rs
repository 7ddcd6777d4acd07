//! What users can ask for: each call is declared once and becomes HTTP route, command, completion and documentation.
