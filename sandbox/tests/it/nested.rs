//! Inside of a user namespace, as in an unprivileged container, and what may be forbidden there.
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use crate::root::{helper, launcher};

/// Not a test by itself: what the tests below run in the namespace.
#[test]
fn findings() {
    if std::env::var_os("SANDBOX_TEST_NESTED").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for finding in sandbox::preflight(&helper(), directory.path()) {
        let outcome = finding.problem.map_or_else(
            || "ok".to_owned(),
            |problem| format!("{}; {}", problem.what, problem.remedy.unwrap_or_default()),
        );
        eprintln!("{}: {outcome}", finding.name);
    }
}

/// Findings of a preflight that this script of the host starts, by `"$0" "$@"`.
fn findings_after(script: &str) -> Vec<String> {
    let directory = TempDir::with_prefix("sandbox-test-").unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
    let program = directory.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::copy(helper(), directory.path().join("sandbox-helper")).unwrap();
    let output = launcher()
        .storage_command("/bin/sh")
        .args(["-euc", script])
        .arg(program)
        .args(["--exact", "nested::findings", "--nocapture"])
        .env("SANDBOX_TEST_NESTED", "1")
        .env("TMPDIR", directory.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn sessions_nest() {
    let findings = findings_after(r#"exec "$0" "$@""#);
    assert_eq!(
        findings[..9],
        [
            "subordinate uids: ok",
            "subordinate gids: ok",
            "user namespaces: ok",
            "map of ids: ok",
            "mounts: ok",
            "host name: ok",
            "fresh /proc: ok",
            "devices: ok",
            "overlay: ok"
        ]
    );
}

#[test]
fn forbidden_user_namespaces_are_named_with_their_setting() {
    let findings = findings_after(r#"echo 0 >/proc/sys/user/max_user_namespaces; exec "$0" "$@""#);
    let forbidden = findings
        .iter()
        .find(|line| line.starts_with("user namespaces: "));
    let forbidden = forbidden.unwrap();
    assert!(forbidden.contains("can't make namespaces: "), "{forbidden}");
    assert!(
        forbidden.contains("sysctl -w user.max_user_namespaces="),
        "{forbidden}"
    );
}

#[test]
fn masked_proc_of_an_outer_container_is_named_with_the_engines_options() {
    // All of them: the kernel is content with any /proc that is seen whole.
    let findings = findings_after(
        r#"exec unshare -m sh -euc '
            for proc in $(findmnt -rno TARGET -t proc); do mount --bind /dev/null "$proc"/keys; done
            exec "$0" "$@"' "$0" "$@""#,
    );
    let proc = findings.iter().find(|line| line.starts_with("fresh /proc"));
    let proc = proc.unwrap();
    assert!(proc.contains("can't mount proc on /proc: "), "{proc}");
    assert!(proc.contains("unmask=ALL"), "{proc}");
}
