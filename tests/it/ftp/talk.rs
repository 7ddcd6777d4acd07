//! What is offered and what is refused.
use super::*;

#[tokio::test]
async fn an_upload_is_kept_and_told_before_the_client_hears_of_it() {
    let mut served = Served::new();
    let mut client = served.uploader().await;
    assert_eq!(client.store("a_1.dsc", b"dsc\r\n\0").await, "226 received");
    assert_eq!(
        client.store("a_1.changes", b"changes").await,
        "226 received"
    );
    assert!(served.incoming.root.join("0/a_1.changes+received").exists());
    assert_eq!(client.expect("SIZE a_1.dsc", 213).await, "213 6");
    assert_eq!(client.list("NLST").await, "a_1.changes\r\na_1.dsc\r\n");
    let list = client.list("LIST -a /incoming").await;
    assert!(
        list.starts_with("-r--r----- 1 ftp ftp            7 "),
        "{list}"
    );
    assert!(list.ends_with(" a_1.dsc\r\n"), "{list}");
    client.expect("QUIT", 221).await;
    let left = served.left().await;
    assert_eq!(left.files["a_1.dsc"], b"dsc\r\n\0");
    assert_eq!(left.files["a_1.changes"], b"changes");
    assert_eq!(left.received, ["a_1.changes"]);
}

#[tokio::test]
async fn nothing_is_done_before_login_and_only_anonymous_may_log_in() {
    let served = Served::new();
    let mut client = served.client().await;
    for command in ["CWD /incoming", "PASV", "STOR a", "LIST", "PWD", "TYPE I"] {
        client.expect(command, 530).await;
    }
    client.expect("PASS x", 503).await;
    client.expect("USER root", 530).await;
    client.expect("PASS x", 503).await;
    client.expect("USER Anonymous", 331).await;
    client.expect("PASS", 230).await;
}

#[tokio::test]
async fn only_incoming_is_entered_and_listed() {
    let served = Served::new();
    let mut client = served.client().await;
    client.expect("USER ftp", 331).await;
    client.expect("PASS x", 230).await;
    assert!(client.expect("PWD", 257).await.contains("\"/\""));
    client.expect("CWD /", 550).await;
    client.expect("CWD /etc", 550).await;
    client.expect("LIST", 550).await;
    client.data().await;
    client.expect("STOR a", 553).await;
    client.expect("CWD incoming", 250).await;
    client.expect("CWD ..", 550).await;
    client.expect("LIST ..", 550).await;
    assert!(client.expect("PWD", 257).await.contains("\"/incoming\""));
}

#[tokio::test]
async fn everything_but_uploading_is_refused() {
    let mut served = Served::new();
    let mut client = served.uploader().await;
    client.store("a_1.dsc", b"a").await;
    for command in [
        "APPE a_1.dsc",
        "DELE a_1.dsc",
        "MKD b",
        "RMD b",
        "RNFR a_1.dsc",
        "RNTO b",
        "RETR a_1.dsc",
        "PORT 127,0,0,1,0,22",
        "EPRT |1|127.0.0.1|22|",
        "REST 1",
        "SITE CHMOD 777 a",
        "STOU",
        "MLSD",
        "MDTM a_1.dsc",
        "STAT a_1.dsc",
        "AUTH TLS",
        "CDUP",
        "OPTS UTF8 ON",
    ] {
        client.expect(command, 502).await;
    }
    client.expect("XYZZY", 500).await;
    client.expect("", 500).await;
    client.expect("QUIT", 221).await;
    assert_eq!(served.left().await.files["a_1.dsc"], b"a");
}

#[tokio::test]
async fn hostile_names_are_refused() {
    let served = Served::new();
    let mut client = served.uploader().await;
    for name in [
        "../../etc/cron.d/x",
        "/etc/x",
        ".partial",
        "..",
        "a b",
        "-rf",
        "a/b",
        "",
        "ä",
    ] {
        let reply = client.command(&format!("STOR {name}")).await;
        assert!(
            reply.starts_with("553") || reply.starts_with("500"),
            "{name}: {reply}"
        );
    }
    client
        .expect(&format!("STOR {}", "a".repeat(300)), 553)
        .await;
    client.expect("SIZE ../../../etc/passwd", 550).await;
}

#[tokio::test]
async fn a_file_is_never_replaced() {
    let mut served = Served::new();
    let mut client = served.uploader().await;
    assert_eq!(client.store("a_1.dsc", b"first").await, "226 received");
    client.data().await;
    client.expect("STOR a_1.dsc", 550).await;
    client.expect("STOR /incoming/./a_1.dsc", 550).await;
    drop(client);
    assert_eq!(served.left().await.files["a_1.dsc"], b"first");
}

#[tokio::test]
async fn connections_do_not_see_each_others_files() {
    let mut served = Served::new();
    let (mut one, mut two) = (served.uploader().await, served.uploader().await);
    assert_eq!(one.store("a_1.dsc", b"one").await, "226 received");
    two.expect("SIZE a_1.dsc", 550).await;
    assert_eq!(two.list("NLST").await, "");
    assert_eq!(two.store("a_1.dsc", b"two").await, "226 received");
    one.expect("QUIT", 221).await;
    assert_eq!(served.left().await.files["a_1.dsc"], b"one");
    two.expect("QUIT", 221).await;
    assert_eq!(served.left().await.files["a_1.dsc"], b"two");
}

#[tokio::test]
async fn data_connections_follow_the_family_of_the_control_connection() {
    let served = Served::new();
    let mut client = served.uploader().await;
    let reply = client.expect("PASV", 227).await;
    assert!(reply.contains("(127,0,0,1,"), "{reply}");
    client.expect("EPSV 1", 229).await;
    client.expect("EPSV 2", 522).await;
    client.expect("EPSV ALL", 200).await;
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let mut served = Served::with(Limits::default(), "::1", &[]);
    let mut client = served.uploader().await;
    client.expect("PASV", 425).await;
    client.expect("EPSV 1", 522).await;
    assert_eq!(client.store("a_1.dsc", b"six").await, "226 received");
    drop(client);
    assert_eq!(served.left().await.names(), ["a_1.dsc"]);
}

#[tokio::test]
async fn passive_ports_stay_in_their_range() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let ports = format!("{port}-{port}");
    let served = Served::with(Limits::default(), "127.0.0.1", &[("passive_ports", &ports)]);
    let (mut one, mut two) = (served.uploader().await, served.uploader().await);
    let reply = one.expect("EPSV", 229).await;
    assert!(reply.contains(&format!("|||{port}|")), "{reply}");
    two.expect("EPSV", 425).await;
    one.expect("QUIT", 221).await;
    assert_eq!(one.reply().await, "");
    two.expect("EPSV", 229).await;
}

#[tokio::test]
async fn a_transfer_needs_a_data_connection() {
    let served = Served::new();
    let mut client = served.uploader().await;
    client.expect("STOR a_1.dsc", 425).await;
    client.expect("LIST", 425).await;
    client.expect("ABOR", 226).await;
}
