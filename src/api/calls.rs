//! All calls: one a file, or one a matter.
mod arguments;
mod builds;
mod debdiff;
mod dput_conf;
mod engine;
mod items;
mod jobs;
mod ls;
mod migrate;
mod packages;
mod pub_key;
mod remove;
mod set_user_key;
mod setup;
mod show;
mod snapshot;
mod sources_list;
mod status;
mod subscribe;
mod unavailable;
mod uploaders;

use super::Call;

/// In stock's order; those that it lacks last.
pub const CALLS: &[Call] = &[
    status::CALL,
    pub_key::CALL,
    dput_conf::CALL,
    sources_list::CALL,
    ls::CALL,
    show::CALL,
    debdiff::CALL,
    migrate::CALL,
    remove::CALL,
    unavailable::PORT,
    unavailable::PORT_EXT,
    unavailable::RETRY,
    unavailable::CANCEL,
    set_user_key::CALL,
    subscribe::SUBSCRIBE,
    subscribe::UNSUBSCRIBE,
    engine::REMAKE_CHROOTS,
    engine::START,
    engine::STOP,
    unavailable::WAKE,
    unavailable::HANDSHAKE,
    engine::CRONJOB,
    uploaders::CALL,
    snapshot::LS,
    snapshot::CREATE,
    snapshot::DELETE,
    unavailable::DEBMIRROR,
    unavailable::KEYRING_PACKAGES,
    unavailable::TEST_PACKAGES,
    setup::CALL,
    packages::CALL,
    jobs::LIST,
    jobs::SHOW,
    builds::LIST,
    builds::SHOW,
    builds::LOG,
    items::LIST,
    items::SHOW,
    items::PUT,
    items::DELETE,
    items::ACTION,
];

pub fn find(name: &str) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.name == name)
}
