//! Dists as they were, for whoever asks: made when first asked for, signed by the instance.
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::archive::{self, DistTime, Time};
use crate::keys::Keys;

use super::Repositories;

pub struct Past {
    repositories: Repositories,
    keys: Arc<Keys>,
    /// One is made at a time: who waits for it holds no thread.
    making: Semaphore,
}

impl Past {
    pub fn new(repositories: Repositories, keys: Arc<Keys>) -> Past {
        Past {
            repositories,
            keys,
            making: Semaphore::new(1),
        }
    }

    /// A dist as it was at a time, as an apt source.
    pub async fn get(self: Arc<Past>, asked: DistTime) -> Result<Time, archive::Error> {
        let asked = Arc::new(asked);
        let (past, wanted) = (Arc::clone(&self), Arc::clone(&asked));
        let present = blocking(move || past.present(&wanted));
        if let Some(time) = present.await? {
            return Ok(time);
        }
        // Nobody closes it.
        let _permit = self.making.acquire().await;
        let past = Arc::clone(&self);
        blocking(move || match past.present(&asked)? {
            Some(time) => Ok(time),
            None => past.publish(&asked),
        })
        .await
    }

    fn present(&self, asked: &DistTime) -> Result<Option<Time>, archive::Error> {
        let archive = self.repositories.archive(&asked.diststr.repository);
        archive.present_time(asked, Timestamp::now())
    }

    fn publish(&self, asked: &DistTime) -> Result<Time, archive::Error> {
        let archive = self.repositories.archive(&asked.diststr.repository);
        let keys = self.keys.now().signing();
        archive.publish_time(asked, &keys, Timestamp::now())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, archive::Error> + Send + 'static,
) -> Result<T, archive::Error> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|ended| {
        Err(archive::Error::File {
            action: "make",
            path: "times".into(),
            source: io::Error::other(ended),
        })
    })
}
