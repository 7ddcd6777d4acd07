//! HTTP client, bounded in size and time.
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{url}: malformed URL")]
    Url { url: String },
    #[error("{url}: {fault}")]
    Failed { url: String, fault: String },
    #[error("{url}: answered {status}")]
    Status { url: String, status: u16 },
    #[error("{url}: longer than {limit} bytes")]
    TooLong { url: String, limit: usize },
    #[error("{url}: no answer within {seconds} s")]
    TimedOut { url: String, seconds: u64 },
}

#[derive(Clone)]
pub struct Client {}

impl Client {
    pub fn new() -> Client {
        todo!()
    }
    /// Body of a GET, redirects followed five deep.
    pub async fn get(&self, _url: &str, _limit: usize, _time: Duration) -> Result<Vec<u8>, Error> {
        todo!()
    }
}

impl Default for Client {
    fn default() -> Self {
        Client::new()
    }
}
