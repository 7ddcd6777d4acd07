//! One control connection from greeting to good-bye.
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::command::{self, Command, Place};
use super::control::{Control, Interruption, Line, Wire, encrypted};
use super::passive::{self, Passive};
use super::staging::{Fault, Staging};
use super::{Door, Settings, stopped};
use crate::certificate::Certificate;
use crate::deb::FileName;

/// How long a good-bye may take.
const FAREWELL: Duration = Duration::from_secs(2);
const GREETING: &str = concat!(
    "mini-buildd ",
    env!("CARGO_PKG_VERSION"),
    " ftp server ready"
);

pub(super) struct Session {
    local: SocketAddr,
    peer: IpAddr,
    door: Arc<dyn Door>,
    settings: Arc<Settings>,
    shutdown: watch::Receiver<bool>,
    login: Login,
    place: Place,
    passive: Option<Passive>,
    staging: Option<Staging>,
    protection: Protection,
    // Dropped last: when the client sees the end, its upload has been handed over.
    control: Control,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Login {
    None,
    Named,
    Done,
}

/// What of a session is private (RFC 4217).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Protection {
    control: bool,
    /// PBSZ was said, which must come before PROT.
    buffer: bool,
    data: bool,
}

/// Code and text of a reply.
type Reply = (u16, String);

/// What follows a command.
enum Next {
    Reply(u16, String),
    Store(FileName),
    List(String),
    Encrypt(TlsAcceptor),
    Quit,
}

impl Next {
    fn reply(code: u16, text: impl Into<String>) -> Next {
        Next::Reply(code, text.into())
    }
}

impl Session {
    pub(super) fn new(
        stream: TcpStream,
        door: Arc<dyn Door>,
        settings: Arc<Settings>,
        shutdown: watch::Receiver<bool>,
    ) -> io::Result<Session> {
        let mut local = stream.local_addr()?;
        if local.ip().to_canonical().is_ipv4() {
            local = SocketAddr::new(local.ip().to_canonical(), local.port());
        }
        Ok(Session {
            local,
            peer: stream.peer_addr()?.ip().to_canonical(),
            control: Control::new(stream)?,
            door,
            settings,
            shutdown,
            login: Login::None,
            place: Place::Root,
            passive: None,
            staging: None,
            protection: Protection::default(),
        })
    }

    /// Talks to the end; tells the reason of it.
    pub(super) async fn run(mut self) -> io::Result<&'static str> {
        self.control.reply(220, GREETING).await?;
        loop {
            let limits = &self.settings.limits;
            let patience = if self.login == Login::Done {
                limits.idle
            } else {
                limits.login
            };
            let line = tokio::select! {
                () = stopped(&mut self.shutdown) => {
                    self.control.reply(421, "the server is shutting down").await?;
                    return Ok("shutdown");
                }
                line = tokio::time::timeout(patience, self.control.line()) => line,
            };
            let Ok(line) = line else {
                self.control.reply(421, "timed out").await?;
                return Ok("timed out");
            };
            let line = match line? {
                Line::Text(line) => line,
                Line::End => return Ok("closed by the client"),
                Line::TooLong => {
                    self.control.reply(500, "line too long").await?;
                    return Ok("line too long");
                }
            };
            let (code, text) = match self.obey(command::parse(&line)).await {
                Next::Reply(code, text) => (code, text),
                Next::Store(name) => self.store(name).await?,
                Next::List(list) => self.send(&list).await?,
                Next::Encrypt(acceptor) => {
                    self.control.reply(234, "go on with TLS").await?;
                    self.control.encrypt(&acceptor).await?;
                    self.protection.control = true;
                    continue;
                }
                Next::Quit => {
                    self.control.reply(221, "good-bye").await?;
                    return Ok("quit");
                }
            };
            self.control.reply(code, &text).await?;
        }
    }

    async fn obey(&mut self, command: Command) -> Next {
        match command {
            Command::User(name) => self.user(&name),
            Command::Password if self.login == Login::Named => {
                self.login = Login::Done;
                Next::reply(230, "logged in")
            }
            Command::Password => Next::reply(503, "USER comes first"),
            Command::Authenticate(mechanism) => self.authenticate(&mechanism),
            Command::Features => {
                let tls = if self.settings.certificate.is_some() {
                    " AUTH TLS\n PBSZ\n PROT\n"
                } else {
                    ""
                };
                Next::reply(211, format!("features:\n{tls} EPSV\n SIZE\nend"))
            }
            Command::System => Next::reply(215, "UNIX Type: L8"),
            Command::Noop => Next::reply(200, "done"),
            Command::Quit => Next::Quit,
            Command::Refused(verb) => Next::reply(502, format!("{verb} is not available")),
            Command::Unknown => Next::reply(500, "not understood"),
            Command::ProtectionBuffer if self.protection.control => {
                self.protection.buffer = true;
                Next::reply(200, "PBSZ=0")
            }
            Command::ProtectionBuffer => Next::reply(503, "AUTH comes first"),
            Command::Protection(level) => self.protect(&level),
            _ if self.login != Login::Done => Next::reply(530, "log in as anonymous first"),
            Command::ChangeDirectory(path) => match self.place.directory(&path) {
                Some(Place::Incoming) => {
                    self.place = Place::Incoming;
                    Next::reply(250, "now in /incoming")
                }
                Some(Place::Root) | None => Next::reply(550, "only /incoming may be entered"),
            },
            Command::PrintDirectory => {
                Next::reply(257, format!("\"{}\" is where you are", self.place.path()))
            }
            Command::Type(kind) => match kind.to_ascii_uppercase().as_str() {
                // Files are kept as they come, whatever the type.
                "I" | "L 8" | "A" | "A N" => Next::reply(200, "done"),
                _ => Next::reply(504, "type is not available"),
            },
            Command::Passive => self.listen(false).await,
            Command::ExtendedPassive(argument) => self.extended_passive(&argument).await,
            Command::Store(path) => self.may_store(&path),
            Command::Size(path) => {
                let size = || self.staging.as_ref()?.size(&self.place.file(&path)?);
                size().map_or_else(
                    || Next::reply(550, "no such file"),
                    |size| Next::reply(213, size.to_string()),
                )
            }
            Command::List { path, names_only } => match self.place.directory(&path) {
                Some(Place::Incoming) => {
                    let staging = self.staging.as_ref();
                    Next::List(staging.map_or_else(String::new, |staging| staging.list(names_only)))
                }
                Some(Place::Root) | None => Next::reply(550, "only /incoming may be listed"),
            },
            Command::Abort => Next::reply(226, "no transfer is going on"),
        }
    }

    fn authenticate(&mut self, mechanism: &str) -> Next {
        let Some(certificate) = &self.settings.certificate else {
            return Next::reply(502, "AUTH is not available");
        };
        if self.protection.control {
            return Next::reply(503, "TLS is on already");
        }
        if !matches!(
            mechanism.to_ascii_uppercase().as_str(),
            "TLS" | "TLS-C" | "SSL"
        ) {
            return Next::reply(504, "only TLS is available");
        }
        // What was said in the clear does not count.
        self.login = Login::None;
        self.passive = None;
        Next::Encrypt(certificate.acceptor())
    }

    fn protect(&mut self, level: &str) -> Next {
        match level.to_ascii_uppercase().as_str() {
            _ if !self.protection.buffer => Next::reply(503, "PBSZ comes first"),
            "P" => {
                self.protection.data = true;
                Next::reply(200, "data connections are private")
            }
            _ => Next::reply(536, "only P is available"),
        }
    }

    fn user(&mut self, name: &str) -> Next {
        if self.settings.certificate.is_some() && !self.protection.control {
            return Next::reply(550, "AUTH TLS comes first");
        }
        if !matches!(name.to_ascii_lowercase().as_str(), "anonymous" | "ftp") {
            self.login = Login::None;
            return Next::reply(530, "only anonymous may log in");
        }
        self.login = Login::Named;
        Next::reply(331, "any password will do")
    }

    async fn extended_passive(&mut self, argument: &str) -> Next {
        // Families of RFC 2428: 1 is IPv4, 2 is IPv6.
        let family = if self.local.is_ipv4() { "1" } else { "2" };
        match argument.to_ascii_uppercase().as_str() {
            "ALL" => Next::reply(200, "done"),
            "" => self.listen(true).await,
            asked if asked == family => self.listen(true).await,
            _ => Next::reply(522, format!("use ({family})")),
        }
    }

    async fn listen(&mut self, extended: bool) -> Next {
        self.passive = None;
        if self.settings.certificate.is_some() && !self.protection.data {
            return Next::reply(521, "PROT P comes first");
        }
        let ports = self.settings.passive_ports.as_ref();
        let listened = Passive::listen(self.local, self.peer, ports).await;
        let listened = listened.and_then(|passive| Ok((passive.address()?, passive)));
        let (address, passive) = match listened {
            Ok(listened) => listened,
            Err(fault) => {
                warn!(%fault, "can't listen for a data connection");
                return Next::reply(425, "no port is free");
            }
        };
        let reply = if extended {
            let port = address.port();
            Next::reply(229, format!("Entering Extended Passive Mode (|||{port}|)"))
        } else if let Some(numbers) = passive::numbers(address) {
            Next::reply(227, format!("Entering Passive Mode ({numbers})"))
        } else {
            return Next::reply(425, "use EPSV");
        };
        self.passive = Some(passive);
        reply
    }

    fn may_store(&mut self, path: &str) -> Next {
        let refused = |code, text: &str| Next::reply(code, text);
        let Some(name) = self.place.file(path) else {
            self.passive = None;
            return refused(553, "not a file name for /incoming");
        };
        let staging = self.staging.as_ref();
        if staging.is_some_and(|staging| staging.contains(&name)) {
            self.passive = None;
            return refused(550, "the file is there already");
        }
        if staging.is_some_and(|staging| staging.count() >= self.settings.limits.files) {
            self.passive = None;
            return refused(552, "too many files");
        }
        Next::Store(name)
    }

    async fn store(&mut self, name: FileName) -> io::Result<Reply> {
        let staging = match self.staging.take() {
            Some(staging) => Ok(staging),
            None => Staging::open(self.door.clone()).await,
        };
        let staging = match staging {
            Ok(staging) => self.staging.insert(staging),
            Err(fault) => {
                warn!(%fault, "can't make a staging directory");
                return Ok((451, "no room for uploads now".into()));
            }
        };
        let mut link = Link {
            control: &mut self.control,
            shutdown: &mut self.shutdown,
        };
        let acceptor = self.settings.certificate.as_ref();
        let acceptor = acceptor.map(Certificate::acceptor);
        let Some(mut data) = link.data(self.passive.take(), acceptor).await? else {
            return Ok((425, "no data connection".into()));
        };
        let limits = &self.settings.limits;
        let (peer, file) = (self.peer, name.to_string());
        let received = staging.receive(name, &mut data, limits, link.interruption());
        let received = received.await;
        if received.is_ok() {
            // A client that is careful waits for our end, too; one that isn't is gone.
            let _ = tokio::time::timeout(FAREWELL, data.shutdown()).await;
        }
        Ok(match received {
            Ok(size) => {
                info!(%peer, file, size, "received");
                (226, "received".into())
            }
            Err(fault) => {
                warn!(%peer, file, fault = &fault as &dyn std::error::Error, "not received");
                answer(&fault)
            }
        })
    }

    async fn send(&mut self, text: &str) -> io::Result<Reply> {
        let mut link = Link {
            control: &mut self.control,
            shutdown: &mut self.shutdown,
        };
        let acceptor = self.settings.certificate.as_ref();
        let acceptor = acceptor.map(Certificate::acceptor);
        let Some(mut data) = link.data(self.passive.take(), acceptor).await? else {
            return Ok((425, "no data connection".into()));
        };
        let work = async {
            data.write_all(text.as_bytes()).await?;
            data.shutdown().await
        };
        let sent = tokio::select! {
            reason = link.interruption() => return Ok(answer(&Fault::Ended(reason))),
            sent = tokio::time::timeout(self.settings.limits.idle, work) => sent,
        };
        Ok(match sent {
            Ok(Ok(())) => (226, "done".into()),
            Ok(Err(_)) | Err(_) => (426, "data connection broke".into()),
        })
    }
}

/// What ends a transfer from outside of it.
struct Link<'a> {
    control: &'a mut Control,
    shutdown: &'a mut watch::Receiver<bool>,
}

impl Link<'_> {
    /// Takes the data connection that was agreed on, and says so.
    async fn data(
        &mut self,
        passive: Option<Passive>,
        acceptor: Option<TlsAcceptor>,
    ) -> io::Result<Option<Box<dyn Wire>>> {
        let Some(passive) = passive else {
            return Ok(None);
        };
        let data = tokio::select! {
            _ = self.interruption() => return Ok(None),
            data = passive.accept() => data,
        };
        let Ok(data) = data else {
            return Ok(None);
        };
        self.control.reply(150, "go on").await?;
        let data: Box<dyn Wire> = Box::new(data);
        let Some(acceptor) = acceptor else {
            return Ok(Some(data));
        };
        let data = tokio::select! {
            _ = self.interruption() => return Ok(None),
            data = encrypted(data, &acceptor) => data,
        };
        Ok(data.ok())
    }

    async fn interruption(&mut self) -> &'static str {
        tokio::select! {
            interruption = self.control.interruption() => match interruption {
                Interruption::Abort => "aborted",
                Interruption::Gone => "the client is gone",
            },
            () = stopped(self.shutdown) => "the server is shutting down",
        }
    }
}

fn answer(fault: &Fault) -> Reply {
    let code = match fault {
        Fault::TooLong(_) => 552,
        Fault::Full(_) => 452,
        Fault::Broke(_) | Fault::Silent(_) | Fault::Ended(_) => 426,
        Fault::Keep(_) | Fault::Refused(_) => 451,
    };
    (code, fault.to_string().replace(['\r', '\n'], " "))
}
