//! Calls of stock's whose engine is yet to come: they check what they are given, and refuse.
use serde_json::Value;

use crate::api::argument::{Argument, Lines, Spec};
use crate::api::call::Running;
use crate::api::{Arguments, Auth, Call, CallError, Context};
use crate::deb::Codename;

use super::arguments::{REPOSITORIES, SOURCE, WHICH_VERSION};

pub(super) const PORT: Call = Call {
    running: true,
    ..call(
        "port",
        "Port a source package that is here to other distributions (not available yet)",
        Auth::Staff,
        &[
            SOURCE.spec,
            FROM_DISTRIBUTION.spec,
            TO_DISTRIBUTIONS.spec,
            WHICH_VERSION.spec,
            OPTIONS.spec,
        ],
    )
};

pub(super) const PORT_EXT: Call = Call {
    running: true,
    ..call(
        "port_ext",
        "Port a source package from elsewhere (not available yet)",
        Auth::Staff,
        &[
            DSC.spec,
            ALLOW_UNAUTHENTICATED.spec,
            DISTRIBUTIONS.spec,
            OPTIONS.spec,
        ],
    )
};

pub(super) const RETRY: Call = Call {
    running: true,
    ..call(
        "retry",
        "Retry a packaging that failed (not available yet)",
        Auth::Staff,
        &[FAILED_KEY.spec],
    )
};

pub(super) const CANCEL: Call = Call {
    running: true,
    ..call(
        "cancel",
        "Cancel a build (not available yet)",
        Auth::Staff,
        &[RUNNING_KEY.spec],
    )
};

pub(super) const WAKE: Call = call(
    "wake",
    "Wake a remote instance (not available yet)",
    Auth::Staff,
    &[REMOTE.spec, SLEEP.spec, ATTEMPTS.spec],
);

pub(super) const HANDSHAKE: Call = Call {
    confirm: false,
    changes: false,
    ..call(
        "handshake",
        "Check whether a signed message is a known remote's, and answer it (not available yet)",
        Auth::None,
        &[SIGNED_MESSAGE.spec],
    )
};

pub(super) const DEBMIRROR: Call = call(
    "debmirror",
    "Make a partial mirror of the repositories (not available yet)",
    Auth::Admin,
    &[
        SUITES.spec,
        ROLLBACKS.spec,
        REPOSITORIES.spec,
        CODENAMES.spec,
        ARCHITECTURES.spec,
        COMPONENTS.spec,
        DESTINATION.spec,
    ],
);

pub(super) const KEYRING_PACKAGES: Call = Call {
    running: true,
    ..call(
        "keyring_packages",
        "Make and upload packages that hold the keys of this instance (not available yet)",
        Auth::Admin,
        &[KEYRING_DISTRIBUTIONS.spec, WITHOUT_MIGRATION.spec],
    )
};

pub(super) const TEST_PACKAGES: Call = Call {
    running: true,
    ..call(
        "test_packages",
        "Make and upload packages that try this instance (not available yet)",
        Auth::Admin,
        &[
            TEST_SOURCES.spec,
            TEST_DISTRIBUTIONS.spec,
            AUTO_PORTS.spec,
            WITH_CHECK.spec,
        ],
    )
};

const fn call(
    name: &'static str,
    doc: &'static str,
    auth: Auth,
    arguments: &'static [Spec],
) -> Call {
    Call {
        name,
        doc,
        auth,
        running: false,
        confirm: true,
        changes: true,
        arguments,
        run,
    }
}

fn run<'a>(context: &'a Context, _: &'a Arguments) -> Running<'a> {
    let name = context.call;
    Box::pin(async move { Err::<Value, _>(CallError::NotAvailable(name)) })
}

const PORT_OPTIONS: &str = "lintian-mode=ignore";

const FROM_DISTRIBUTION: Argument<String> =
    Argument::positional("from_distribution", "The distribution that has it");
const TO_DISTRIBUTIONS: Argument<Vec<String>> =
    Argument::positional("to_distributions", "The distributions to port it to");
const OPTIONS: Argument<String> = Argument::option(
    "options",
    'O',
    PORT_OPTIONS,
    "Upload options, separated by |",
);
const DSC: Argument<String> = Argument::positional("dsc", "URL of the .dsc");
const ALLOW_UNAUTHENTICATED: Argument<bool> = Argument::option(
    "allow_unauthenticated",
    'u',
    "False",
    "Take a .dsc whose signature is of no known key",
);
const DISTRIBUTIONS: Argument<Vec<String>> =
    Argument::positional("distributions", "The distributions to port it to");
const FAILED_KEY: Argument<String> = Argument::positional(
    "bkey",
    "SOURCE/VERSION/TIMECODE/ARCHITECTURE of what failed",
);
const RUNNING_KEY: Argument<String> =
    Argument::positional("bkey", "SOURCE/VERSION/TIMECODE/ARCHITECTURE of the build");
const REMOTE: Argument<String> =
    Argument::required("remote", 'r', "HTTP endpoint of the remote instance");
const SLEEP: Argument<i64> = Argument::option("sleep", 's', "5", "Seconds between two attempts");
const ATTEMPTS: Argument<i64> = Argument::option("attempts", 'a', "3", "How often it is tried");
const SIGNED_MESSAGE: Argument<Lines> =
    Argument::required("signed_message", 'S', "A cleartext signed text");
const SUITES: Argument<Option<Vec<String>>> =
    Argument::computed("suites", 'S', "all_suites", "Only these suites");
const ROLLBACKS: Argument<i64> = Argument::option(
    "rollbacks",
    'r',
    "0",
    "This many rollback distributions of each suite too; below zero: all",
);
const CODENAMES: Argument<Option<Vec<Codename>>> =
    Argument::computed("codenames", 'c', "all_codenames", "Only these codenames");
const ARCHITECTURES: Argument<Vec<String>> = Argument::option(
    "architectures",
    'A',
    "amd64,i386,arm64,armhf,armel,s390x,ppc64el,mipsel,mips64el",
    "Only these architectures",
);
const COMPONENTS: Argument<Vec<String>> = Argument::option(
    "components",
    'C',
    "main,contrib,non-free,main/debian-installer,multiverse,restricted,universe",
    "Only these components",
);
const DESTINATION: Argument<Option<String>> = Argument::computed(
    "destination",
    'D',
    "default_debmirror_destination",
    "Directory of the mirror",
);
const KEYRING_DISTRIBUTIONS: Argument<Option<Vec<String>>> = Argument::computed(
    "distributions",
    'D',
    "active_keyring_distributions",
    "The distributions that get one",
);
const WITHOUT_MIGRATION: Argument<bool> = Argument::option(
    "without_migration",
    'M',
    "False",
    "Leave them where they enter",
);
const TEST_SOURCES: Argument<Vec<String>> = Argument::option(
    "sources",
    'S',
    "mbd-test-archall,mbd-test-cpp,mbd-test-ftbfs",
    "Which packages",
);
const TEST_DISTRIBUTIONS: Argument<Option<Vec<String>>> = Argument::computed(
    "distributions",
    'D',
    "active_experimental_distributions",
    "The distributions to upload them to",
);
const AUTO_PORTS: Argument<Vec<String>> =
    Argument::option("auto_ports", 'A', "", "The distributions to port them to");
const WITH_CHECK: Argument<bool> = Argument::option(
    "with_check",
    'c',
    "False",
    "Wait for them, and fail if one ends as it must not",
);
