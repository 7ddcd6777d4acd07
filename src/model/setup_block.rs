//! What a builder may do in a chroot before a build, by stock's names.
//!
//! Stock's builders run these as root, in the order that a distribution names them. A builder of this program sets apt
//! up itself and runs none; `mini-buildd internals` shows and runs them.

/// One of them, a shell script that runs as root inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetupBlock {
    pub name: &'static str,
    pub description: &'static str,
    /// For sh(1) with `-e`; `$CONFIG` is the directory `.config` of an unpacked buildrequest.
    pub script: &'static str,
}

/// What a distribution has that names none.
pub const DEFAULT: &str = "apt-setup apt-update ccache eatmydata";

macro_rules! install {
    ($package:literal) => {
        concat!(
            "apt-get --quiet --yes --no-install-recommends -o Acquire::Languages=none -o Dpkg::Use-Pty=false \\\n\
             \t-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confnew install ",
            $package
        )
    };
}

macro_rules! apt_option {
    ($name:literal, $option:literal, $when:literal) => {
        SetupBlock {
            name: $name,
            description: concat!("Tells apt: ", $option, " (", $when, "); before apt-setup"),
            script: concat!(
                "echo '",
                $option,
                ";' >/etc/apt/apt.conf.d/00mbd-",
                $name,
                "\n"
            ),
        }
    };
}

pub const SETUP_BLOCKS: [SetupBlock; 16] = [
    SetupBlock {
        name: "apt-setup",
        description: "Gives apt the keys, sources and preferences of the buildrequest, and what it needs for HTTPS",
        script: concat!(
            "cp \"$CONFIG/apt_keys\" /etc/apt/trusted.gpg.d/mini-buildd-buildrequest.asc\n\
             if grep --quiet https:// \"$CONFIG/apt_sources.list\"; then\n\t",
            install!("ca-certificates"),
            "\n\tif [ -s \"$CONFIG/ssl_cert\" ]; then\n\
             \t\tcp \"$CONFIG/ssl_cert\" /usr/local/share/ca-certificates/mini-buildd-buildrequest.crt\n\
             \t\tupdate-ca-certificates\n\tfi\nfi\n\
             cp \"$CONFIG/apt_sources.list\" /etc/apt/sources.list\n\
             cp \"$CONFIG/apt_preferences\" /etc/apt/preferences\n\
             cat /etc/apt/sources.list /etc/apt/preferences\n"
        ),
    },
    SetupBlock {
        name: "apt-update",
        description: "Updates apt's lists, with more patience at each try",
        script: "for seconds in 10 40 80 160 320; do\n\
                 \tif timeout \"$seconds\" apt-get --quiet -o Acquire::Languages=none update; then\n\
                 \t\tapt-cache policy\n\t\texit 0\n\tfi\n\
                 \techo \"W: no update within $seconds seconds\" >&2\n\tsleep 10\ndone\nexit 1\n",
    },
    SetupBlock {
        name: "ccache",
        description: "Installs ccache, for the config block of the same name",
        script: concat!(install!("ccache"), "\n"),
    },
    SetupBlock {
        name: "eatmydata",
        description: "Makes fsync(2) and its like do nothing, where eatmydata can be installed",
        script: concat!(
            "if ",
            install!("eatmydata"),
            "; then\n\
             \tlibrary=$(dpkg --listfiles eatmydata libeatmydata1 | grep '/libeatmydata\\.so$' | head --lines=1)\n\
             \t[ -z \"$library\" ] || printf ' %s' \"$library\" >>/etc/ld.so.preload\nfi\n"
        ),
    },
    SetupBlock {
        name: "show-sbuildrc",
        description: "Shows sbuild's configuration",
        script: "cat \"$CONFIG/../.sbuildrc\"\n",
    },
    SetupBlock {
        name: "apt-key-binary",
        description: "Turns the keys into the only form that apt of jessie and older reads; between apt-setup and apt-update",
        script: concat!(
            "apt-get --quiet update\n",
            install!("gnupg"),
            "\ngpg --dearmor /etc/apt/trusted.gpg.d/mini-buildd-buildrequest.asc\n"
        ),
    },
    SetupBlock {
        name: "apt-key-add",
        description: "Adds the keys as apt of squeeze and older wants it; between apt-setup and apt-update",
        script: "apt-key add \"$CONFIG/apt_keys\"\n",
    },
    apt_option!(
        "apt-no-check-valid-until",
        "Acquire::Check-Valid-Until false",
        "where Release files have expired"
    ),
    apt_option!(
        "apt-allow-unauthenticated",
        "APT::Get::AllowUnauthenticated true",
        "where keys have expired"
    ),
    apt_option!("apt-force-yes", "APT::Get::Force-Yes true", "for old apt"),
    apt_option!(
        "apt-no-cache",
        "Acquire::http::No-Cache true",
        "for old apt"
    ),
    apt_option!(
        "apt-no-pipelining",
        "Acquire::http::Pipeline-Depth 0",
        "for old apt"
    ),
    SetupBlock {
        name: "apt-clear",
        description: "Throws away apt's lists and downloads, for an apt that is stuck",
        script: "rm --recursive --force /var/lib/apt/lists\nmkdir --parents /var/lib/apt/lists/partial\napt-get clean\n",
    },
    SetupBlock {
        name: "bash-devices",
        description: "Makes /dev/fd, stdin, stdout and stderr, to build old bash",
        script: "[ -e /dev/fd ] || ln --symbolic /proc/self/fd /dev/fd\n\
                 [ -e /dev/stdin ] || ln --symbolic fd/0 /dev/stdin\n\
                 [ -e /dev/stdout ] || ln --symbolic fd/1 /dev/stdout\n\
                 [ -e /dev/stderr ] || ln --symbolic fd/2 /dev/stderr\n",
    },
    SetupBlock {
        name: "schroot-shm",
        description: "Makes /dev/shm a directory with a tmpfs(5), where old schroot leaves a link",
        script: "[ ! -L /dev/shm ] || rm /dev/shm\nmkdir --parents /dev/shm\nmount -t tmpfs none /dev/shm\n",
    },
    SetupBlock {
        name: "sun-java6-license",
        description: "Accepts the licence of sun-java6, in the answers that debconf keeps",
        script: "for package in bin jdk jre; do\n\
                 \techo \"sun-java6-$package shared/accepted-sun-dlj-v1-1 boolean true\"\n\
                 done | debconf-set-selections --verbose\n",
    },
];

/// The block of this name.
pub fn find(name: &str) -> Option<&'static SetupBlock> {
    SETUP_BLOCKS.iter().find(|block| block.name == name)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn every_script_is_one_that_a_shell_takes() {
        for block in &SETUP_BLOCKS {
            let mut shell = Command::new("sh")
                .arg("-n")
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let mut script = shell.stdin.take().unwrap();
            script.write_all(block.script.as_bytes()).unwrap();
            drop(script);
            assert!(shell.wait().unwrap().success(), "{}", block.name);
        }
    }

    #[test]
    fn the_default_names_blocks() {
        assert!(DEFAULT.split(' ').all(|name| find(name).is_some()));
    }
}
