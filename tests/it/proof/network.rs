//! The network that apt gets in a build where pasta can't give it one.
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use mini_buildd::model::EventType;
use tempfile::TempDir;

use crate::base::Base;
use crate::buildd::Buildd;
use crate::small_source::SmallSource;

#[test]
fn build_goes_on_with_the_hosts_network_where_pasta_hangs() {
    const NAME: &str = "mbd-hanging-pasta";
    let fake = TempDir::with_prefix("mini-buildd-test-").unwrap();
    let program = fake.path().join("pasta");
    fs::write(&program, "#!/bin/sh\necho waiting >&2\nexec sleep 1000\n").unwrap();
    // It runs with a session's ids.
    for path in [fake.path(), &program] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", fake.path().display());
    let base = Base::get();
    let mut buildd = Buildd::made(base.home("hanging-pasta"));
    buildd.start_with(&[("PATH", &path)]);
    let source = SmallSource {
        name: NAME,
        ..SmallSource::default()
    };
    let tree = source.write(&base.directory("hanging-pasta-work"));
    let version = format!("1.0{}", buildd.suffix);
    let changes = buildd.uploader.build_source(&tree, &version, &buildd.dist);
    buildd.curl(&changes);
    buildd.ended(NAME, EventType::Installed);
    let log = buildd.build_logs(NAME).concat();
    let reason = "\nW: Network: the host's, not through pasta: can't begin a session: \
                  can't connect the network by pasta: ";
    assert!(log.contains(reason), "{log}");
    assert!(log.contains(" did not start within 10 s: waiting"), "{log}");
}
