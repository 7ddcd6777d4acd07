//! Clients that break, are slow, or ask for too much.
use std::process::Command;

use super::*;

#[tokio::test]
async fn a_reset_data_connection_leaves_nothing() {
    let mut served = Served::new();
    let mut client = served.uploader().await;
    let mut data = client.begin("a_1.changes").await;
    data.write_all(b"half").await.unwrap();
    data.set_zero_linger().unwrap();
    drop(data);
    assert!(client.reply().await.starts_with("426"));
    client.expect("SIZE a_1.changes", 550).await;
    assert_eq!(client.store("a_1.changes", b"whole").await, "226 received");
    client.expect("QUIT", 221).await;
    let left = served.left().await;
    assert_eq!(left.names(), ["a_1.changes"]);
    assert_eq!(left.files["a_1.changes"], b"whole");
}

#[tokio::test]
async fn a_client_that_dies_midway_leaves_only_what_was_complete() {
    let mut served = Served::new();
    let mut client = served.uploader().await;
    assert_eq!(client.store("a_1.dsc", b"dsc").await, "226 received");
    let mut data = client.begin("a_1.changes").await;
    data.write_all(b"half").await.unwrap();
    // The kernel ends both connections in order, as if the file were at its end.
    drop(client);
    drop(data);
    let left = served.left().await;
    assert_eq!(left.names(), ["a_1.dsc"]);
    assert!(left.received.is_empty());
}

#[tokio::test]
async fn an_aborted_transfer_leaves_nothing() {
    let mut served = Served::new();
    let mut client = served.uploader().await;
    let mut data = client.begin("a_1.dsc").await;
    data.write_all(b"half").await.unwrap();
    client.send(b"\xff\xf4\xff\xf2ABOR\r\n").await;
    assert!(client.reply().await.starts_with("426"));
    assert!(client.reply().await.starts_with("226"));
    client.expect("QUIT", 221).await;
    assert!(served.left().await.files.is_empty());
}

#[tokio::test]
async fn commands_that_come_during_a_transfer_wait() {
    let mut served = Served::new();
    let mut client = served.uploader().await;
    let mut data = client.begin("a_1.dsc").await;
    client.send(b"NOOP\r\nQUIT\r\n").await;
    data.write_all(b"whole").await.unwrap();
    drop(data);
    assert_eq!(client.reply().await, "226 received");
    assert_eq!(client.reply().await, "200 done");
    assert!(client.reply().await.starts_with("221"));
    assert_eq!(served.left().await.files["a_1.dsc"], b"whole");
}

#[tokio::test]
async fn long_and_binary_lines_do_no_harm() {
    let served = Served::new();
    let mut client = served.uploader().await;
    client.send(b"STOR \x00\xff\x1b[2J\r\n").await;
    assert!(client.reply().await.starts_with("500"));
    client
        .expect(&format!("NOOP {}", "x".repeat(900)), 200)
        .await;
    client.send(&[b'x'; 2000]).await;
    assert_eq!(client.reply().await, "500 line too long");
    assert_eq!(client.reply().await, "");
    let mut other = served.client().await;
    other.expect("NOOP", 200).await;
}

#[tokio::test]
async fn silence_ends_connections_and_transfers() {
    let limits = Limits {
        idle: Duration::from_millis(300),
        login: Duration::from_millis(100),
        ..Limits::default()
    };
    let mut served = Served::with(limits, "127.0.0.1", &[]);
    let mut client = served.client().await;
    assert_eq!(client.reply().await, "421 timed out");
    let mut client = served.uploader().await;
    let mut data = client.begin("a_1.dsc").await;
    data.write_all(b"half").await.unwrap();
    assert!(
        client
            .reply()
            .await
            .starts_with("426 data connection was silent")
    );
    assert_eq!(client.reply().await, "421 timed out");
    assert!(served.left().await.files.is_empty());
}

#[tokio::test]
async fn size_and_number_of_files_are_bounded() {
    let limits = Limits {
        file_size: 1 << 20,
        files: 2,
        ..Limits::default()
    };
    let mut served = Served::with(limits, "127.0.0.1", &[]);
    let mut client = served.uploader().await;
    let big = vec![0; (1 << 20) + 1];
    assert!(client.store("big", &big).await.starts_with("552"));
    assert_eq!(client.store("a", &big[1..]).await, "226 received");
    assert_eq!(client.store("b", b"").await, "226 received");
    client.expect("STOR c", 552).await;
    drop(client);
    assert_eq!(served.left().await.names(), ["a", "b"]);
}

#[tokio::test]
async fn a_changes_that_is_not_taken_is_not_acknowledged() {
    let mut served = Served::new();
    served.incoming.full.store(true, Ordering::Relaxed);
    let mut client = served.uploader().await;
    assert_eq!(
        client.store("a_1.changes", b"changes").await,
        "451 can't take the upload: the database is full"
    );
    served.incoming.full.store(false, Ordering::Relaxed);
    assert_eq!(client.store("a_1.changes", b"again").await, "226 received");
    drop(client);
    let left = served.left().await;
    assert_eq!(left.files["a_1.changes"], b"again");
    assert_eq!(left.received, ["a_1.changes"]);
}

#[tokio::test]
async fn idle_connections_hinder_nobody_until_there_are_too_many() {
    let limits = Limits {
        connections: 202,
        of_one_client: 300,
        ..Limits::default()
    };
    let mut served = Served::with(limits, "127.0.0.1", &[]);
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(served.client().await);
    }
    let mut client = served.uploader().await;
    assert_eq!(client.store("a_1.dsc", b"a").await, "226 received");
    idle.push(served.client().await);
    let mut refused = BufReader::new(TcpStream::connect(served.address).await.unwrap());
    let mut reply = String::new();
    refused.read_line(&mut reply).await.unwrap();
    assert!(reply.starts_with("421 too many connections"), "{reply}");
    drop(idle);
    drop(client);
    served.left().await;
}

#[tokio::test]
async fn one_client_does_not_take_all_connections() {
    let limits = Limits {
        of_one_client: 2,
        ..Limits::default()
    };
    let served = Served::with(limits, "127.0.0.1", &[]);
    let one = served.client().await;
    let other = served.client().await;
    let mut refused = BufReader::new(TcpStream::connect(served.address).await.unwrap());
    let mut reply = String::new();
    refused.read_line(&mut reply).await.unwrap();
    assert!(
        reply.starts_with("421 too many connections from your address"),
        "{reply}"
    );
    drop(one);
    // It is gone when the server has noticed.
    loop {
        let mut again = BufReader::new(TcpStream::connect(served.address).await.unwrap());
        reply.clear();
        again.read_line(&mut reply).await.unwrap();
        if reply.starts_with("220") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(other);
}

#[tokio::test]
async fn shutdown_ends_sessions_and_transfers_and_frees_the_port() {
    let mut served = Served::new();
    let mut idle = served.uploader().await;
    let mut busy = served.uploader().await;
    assert_eq!(busy.store("a_1.changes", b"changes").await, "226 received");
    let mut data = busy.begin("b").await;
    data.write_all(b"half").await.unwrap();
    served.shutdown.send(true).unwrap();
    assert!(idle.reply().await.starts_with("421"));
    assert!(busy.reply().await.starts_with("426"));
    tokio::time::timeout(LONG, &mut served.server)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(served.left().await.names(), ["a_1.changes"]);
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_stays() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = Tmpfs::mount(directory.path(), "1m") else {
        eprintln!("skipped: only root mounts a small file system");
        return;
    };
    let inner = tempfile::tempdir_in(directory.path()).unwrap();
    let mut served = Served::below(inner, Limits::default(), "127.0.0.1", &[]);
    let mut client = served.uploader().await;
    let reply = client.store("big", &vec![0; 4 << 20]).await;
    assert_eq!(reply, "452 no space left");
    assert_eq!(client.store("small", b"small").await, "226 received");
    client.expect("QUIT", 221).await;
    assert_eq!(served.left().await.names(), ["small"]);
    drop(served);
    drop(disk);
}

/// A small file system, unmounted at the end.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(path: &Path, size: &str) -> Option<Tmpfs> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(path)
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then(|| Tmpfs(path.into()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
