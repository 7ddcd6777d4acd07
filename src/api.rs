//! What users can ask for: each call is declared once and becomes HTTP route, command, completion and documentation.
//!
//! Reading order: [`argument`] describes and reads what a call is given, [`call`] is a call and the checks before it
//! runs, [`calls`] holds them all, [`json`] writes results as stock does, [`openapi`] and [`markdown`] describe the
//! calls to others.
pub mod argument;
pub mod call;
pub mod calls;
pub mod json;
pub mod markdown;
pub mod openapi;

pub use argument::{Arguments, Spec};
pub use call::{Auth, Call, CallError, Caller, Context};
pub use calls::{CALLS, find};
