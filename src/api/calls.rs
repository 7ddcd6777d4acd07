//! All calls, one a file.
mod dput_conf;
mod pub_key;
mod sources_list;
mod status;

use super::Call;

/// In stock's order.
pub const CALLS: &[Call] = &[
    status::CALL,
    pub_key::CALL,
    dput_conf::CALL,
    sources_list::CALL,
];

pub fn find(name: &str) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.name == name)
}
