//! Follows the events of an instance, ours or stock's, one after another on one connection.
use std::time::Duration;

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::endpoint::{ClientEndpoint, Scheme};
use crate::fetch::{self, Client, Question};
use crate::model::Event;

const LIMIT: usize = 16 << 20;
/// Stock's server sends nothing while nothing happens: asked again after this, whoever is gone is noticed.
const SILENCE: Duration = Duration::from_secs(10 * 60);
/// Between two attempts, and for how long the server may be away (while it is restarted).
const PAUSE: Duration = Duration::from_secs(1);
const AWAY: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{endpoint}: events are told by http or https")]
    Scheme { endpoint: ClientEndpoint },
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    #[error("{url}: answered {status}")]
    Status { url: String, status: u16 },
    #[error("{url}: tells no event of mini-buildd")]
    Malformed {
        url: String,
        source: serde_json::Error,
    },
}

pub(super) struct Follower {
    client: Client,
    url: String,
    /// What happened until then is known.
    after: Option<Timestamp>,
    is_known: bool,
}

impl Follower {
    /// Of what happens from now on, or happened after a time.
    pub(super) fn new(
        endpoint: &ClientEndpoint,
        after: Option<Timestamp>,
    ) -> Result<Follower, Error> {
        if !matches!(endpoint.scheme, Scheme::Http | Scheme::Https) {
            let endpoint = endpoint.clone();
            return Err(Error::Scheme { endpoint });
        }
        Ok(Follower {
            client: Client::new(),
            url: format!("{}/static/events.attach", endpoint.url()),
            after,
            is_known: false,
        })
    }

    /// Waits for the next event; a server that was there may go away for a while.
    pub(super) async fn next(&mut self) -> Result<Event, Error> {
        let mut away = Duration::ZERO;
        loop {
            let asked = Timestamp::now();
            match self.ask().await {
                Ok(event) => {
                    self.is_known = true;
                    self.after = Some(event.timestamp);
                    return Ok(event);
                }
                // On a new connection, nothing of the meantime is to be missed.
                Err(Error::Fetch(fetch::Error::TimedOut { .. })) => {
                    self.after.get_or_insert(asked);
                }
                Err(Error::Status { status: 503, .. } | Error::Fetch(_))
                    if self.is_known && away < AWAY =>
                {
                    self.after.get_or_insert(asked);
                    tokio::time::sleep(PAUSE).await;
                    away += PAUSE;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn ask(&self) -> Result<Event, Error> {
        // Only the first question of a connection is asked for this.
        let after = self.after.map(|after| {
            let time = after.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string();
            format!("?after={}", utf8_percent_encode(&time, NON_ALPHANUMERIC))
        });
        let url = format!("{}{}", self.url, after.unwrap_or_default());
        let question = Question {
            url: &url,
            ..Question::default()
        };
        let answer = self.client.ask(&question, LIMIT, SILENCE).await?;
        if answer.status != 200 {
            let status = answer.status;
            return Err(Error::Status { url, status });
        }
        serde_json::from_slice(&answer.body).map_err(|source| Error::Malformed { url, source })
    }
}
