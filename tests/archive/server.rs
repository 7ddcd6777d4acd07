//! Delivers repositories by HTTP as the daemon does, and tells what was asked for.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use mini_buildd::home::Home;
use mini_buildd::http::{self, AccessLog};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Ends with its runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _runtime: Runtime,
    _end: watch::Sender<bool>,
}

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) status: u16,
    pub(crate) path: String,
}

impl Server {
    pub(crate) fn start(home: &Home) -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let endpoint = "tcp:port=0:interface=127.0.0.1".parse().unwrap();
        let server = runtime.block_on(http::Server::bind(&[endpoint])).unwrap();
        let address = server.address();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let routes = http::finish(http::files::router(home, None));
        let routes = routes.layer(from_fn(move |request: Request, next: Next| {
            let log = Arc::clone(&log);
            async move {
                let path = request.uri().path().to_owned();
                let response = next.run(request).await;
                let status = response.status().as_u16();
                log.lock().unwrap().push(Asked { status, path });
                response
            }
        }));
        let (access_log, _) = AccessLog::start(home.access_log()).unwrap();
        let (end, shutdown) = watch::channel(false);
        runtime.spawn(server.serve(routes, access_log, shutdown));
        Server {
            address,
            asked,
            _runtime: runtime,
            _end: end,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/repositories/test", self.address)
    }

    /// What was asked for since the last call.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// What was asked for since, and could not be had.
    pub(crate) fn missing(&self) -> Vec<Asked> {
        missing(self.asked())
    }
}

fn missing(mut asked: Vec<Asked>) -> Vec<Asked> {
    asked.retain(|asked| asked.status >= 400);
    asked
}

/// The indices of a dist that were asked for: each must have been, by its hash, and nothing may have been missing.
pub(crate) fn indices_by_hash(
    asked: &[Asked],
    dist: &str,
    listed: &BTreeMap<String, String>,
) -> Vec<String> {
    assert_eq!(missing(asked.to_vec()), []);
    let below = format!("/dists/{dist}/");
    asked
        .iter()
        .filter_map(|asked| Some(asked.path.split_once(&below)?.1))
        .filter(|path| *path != "InRelease")
        .map(|asked| {
            let (directory, sha512) = asked
                .split_once("by-hash/SHA512/")
                .unwrap_or_else(|| panic!("{asked} was asked for by its name"));
            let is_it = |path: &str| Path::new(path).parent() == Some(Path::new(directory));
            let (path, _) = listed
                .iter()
                .find(|(path, digest)| is_it(path) && *digest == sha512)
                .unwrap_or_else(|| panic!("{asked} is not in InRelease"));
            path.clone()
        })
        .collect()
}
