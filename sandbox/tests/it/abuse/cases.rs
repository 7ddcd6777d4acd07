//! What hostile processes try, as data.
//!
//! A script says `REACHED` when something worked that must not, and `done` at its end. It knows of
//! things outside by $SECRET and $VICTIM (files of the caller), $HOST_PID (a process of the caller) and $HOST_PORT
//! (on the host's loopback).

/// One try of a session's process.
pub(crate) struct Case {
    /// As the project's list of abuses counts them.
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    pub(crate) script: &'static str,
}

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "S1",
        what: "files outside, by every way up and round",
        script: r#"
            deep=/../../../../../../../..
            for way in "" $deep /proc/1/root /proc/1/cwd$deep /proc/self/root /proc/self/cwd$deep /proc/self/fd/0$deep; do
                cat "$way$SECRET" 2>/dev/null && echo REACHED $way
                echo overwritten 2>/dev/null >"$way$VICTIM" && echo REACHED $way
                ls -d "$way$(dirname $SECRET)" 2>/dev/null && echo REACHED $way
            done
            mkdir /work/up && cd /work/up && chroot . /bin/true 2>/dev/null
            ln -s / /work/link && cat /work/link$SECRET 2>/dev/null && echo REACHED link"#,
    },
    Case {
        id: "S5",
        what: "descriptors that someone left open",
        script: r#"
            for fd in /proc/self/fd/* /proc/1/fd/*; do
                case $(readlink $fd 2>/dev/null) in
                    "" | pipe:* | /dev/null | /dev/pts/* | /proc/*) ;;
                    *) echo REACHED $fd $(readlink $fd) ;;
                esac
            done"#,
    },
    Case {
        id: "S7",
        what: "the programs that made the session",
        script: r"
            for exe in /proc/1/exe /proc/self/exe; do
                case $exe in /proc/1/*) cat $exe >/work/copy 2>/dev/null && echo REACHED $exe ;; esac
            done
            echo x 2>/dev/null >/proc/1/exe && echo REACHED
            echo x 2>/dev/null >/proc/1/mem && echo REACHED",
    },
    Case {
        id: "S9",
        what: "processes of the host and of other sessions",
        script: r"
            kill -9 $HOST_PID 2>/dev/null && echo REACHED
            kill -9 -1 2>/dev/null
            host=host other=other
            for process in /proc/[0-9]*; do
                case $(tr '\0' ' ' <$process/cmdline 2>/dev/null) in *${host}-process* | *${other}-session*) echo REACHED $process ;; esac
            done",
    },
    Case {
        id: "S10",
        what: "devices and mounts",
        script: r"
            mknod /work/disk b 8 0 2>/dev/null && echo REACHED disk
            mknod /work/mem c 1 1 2>/dev/null && echo REACHED mem
            for device in mem kmem port kvm sda vda fuse loop-control net/tun vsock; do
                [ -e /dev/$device ] && echo REACHED $device
            done
            mount -t tmpfs none /work 2>/dev/null && echo REACHED tmpfs
            mount --bind /proc /work 2>/dev/null && echo REACHED bind
            mount -o remount,rw /proc/sys 2>/dev/null && echo REACHED remount
            umount /proc/sysrq-trigger 2>/dev/null && echo REACHED umount
            unshare -r true 2>/dev/null && echo REACHED userns
            unshare -m true 2>/dev/null && echo REACHED mountns",
    },
    Case {
        id: "S14",
        what: "settings of the kernel",
        script: r#"
            for file in kernel/core_pattern kernel/modprobe kernel/randomize_va_space vm/overcommit_memory fs/suid_dumpable kernel/hostname; do
                echo 1 2>/dev/null >/proc/sys/$file && echo REACHED $file
            done
            echo h 2>/dev/null >/proc/sysrq-trigger && echo REACHED sysrq
            echo 1 2>/dev/null >/sys/kernel/uevent_helper && echo REACHED uevent
            for cgroup in $(find /sys/fs/cgroup -maxdepth 2 -type d 2>/dev/null); do
                mkdir $cgroup/mine 2>/dev/null && echo REACHED $cgroup
                echo $$ 2>/dev/null >$cgroup/cgroup.procs && echo REACHED $cgroup
            done
            sysctl -w kernel.panic=1 >/dev/null 2>&1 && [ "$(cat /proc/sys/kernel/panic)" = 1 ] && echo REACHED panic"#,
    },
    Case {
        id: "S20",
        what: "the network, but for loopback",
        script: r#"
            nc -w 2 192.0.2.1 80 </dev/null 2>/dev/null && echo REACHED tcp
            ping -c 1 -W 2 192.0.2.1 >/dev/null 2>&1 && echo REACHED icmp
            nslookup www.example.org 192.0.2.1 >/dev/null 2>&1 && echo REACHED dns
            [ "$(ip -o link | wc -l)" = 1 ] || echo REACHED $(ip -o link)
            [ -z "$(ip route)" ] || echo REACHED $(ip route)
            [ "$(ip -o link show up | wc -l)" = 1 ] || echo REACHED no loopback"#,
    },
    Case {
        id: "S22",
        what: "services on the host's loopback",
        script: r"
            for host in 127.0.0.1 ::1 localhost 127.1.2.3; do
                nc -w 2 $host $HOST_PORT </dev/null 2>/dev/null && echo REACHED $host
            done",
    },
    Case {
        id: "S28",
        what: "living on",
        script: r#"
            trap '' HUP INT TERM
            (setsid sh -c '(trap "" HUP TERM; exec sleep 100000) & exit' &)
            sh -c 'exec sleep 100001' &"#,
    },
    Case {
        id: "S33",
        what: "the environment of those who began the session",
        script: r"
            for file in /proc/self/environ /proc/1/environ; do
                tr '\0' '\n' <$file 2>/dev/null | grep -E '^(HOME|USER|SSH|CARGO|TMPDIR)' && echo REACHED $file
            done",
    },
    Case {
        id: "S40",
        what: "links, whiteouts and attributes that lead out",
        script: r"
            ln $SECRET /work/hard 2>/dev/null && echo REACHED hard
            mkdir -p /work/a/b && mv /work/a /work/c && rm -r /work/c
            ln -s $VICTIM /work/soft && echo overwritten 2>/dev/null >/work/soft && echo REACHED soft
            mknod /work/whiteout c 0 0 2>/dev/null; rm -f /work/whiteout",
    },
];
