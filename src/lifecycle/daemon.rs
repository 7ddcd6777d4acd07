use std::net::TcpListener;

use crate::certificate::Certificate;
use crate::endpoint;
use crate::keys::KeySet;
use crate::model::{Daemon, Kind, Reference, Status};
use crate::store::catalog::Catalog;

use super::Failure;
use super::managed::{Hands, Managed};

impl Managed for Daemon {
    const TOLERANT: bool = true;

    fn dependencies(&self, catalog: &Catalog) -> Vec<Reference> {
        let parts = [Kind::Repository, Kind::Chroot, Kind::Remote];
        let is_wanted = |item: &Reference, status: Status| {
            parts.contains(&item.kind) && status.is_to_be_active()
        };
        let items = catalog.references().into_iter();
        items
            .filter(|(item, status, _)| is_wanted(item, *status))
            .map(|(item, _, _)| item)
            .collect()
    }

    /// Its key was made with the instance, and stays.
    fn create(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure> {
        self.verify(hands)
    }

    fn verify(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure> {
        let endpoint = &self.ftp_endpoint;
        if endpoint.kind == endpoint::Kind::Ssl {
            Certificate::of(endpoint, None)?;
        }
        // Its own port may be taken, by ourselves.
        let address = (endpoint.interface_or_any(), 0);
        if endpoint.interface.is_some() {
            TcpListener::bind(address)
                .map_err(|fault| format!("nobody can listen on {endpoint}: {fault}"))?;
        }
        let keys = KeySet::load(&hands.lifecycle.home)?;
        Ok(keys.primary().can_sign()?)
    }

    fn discard(&mut self, _hands: &mut Hands<'_>) -> Result<(), Failure> {
        Err("the instance goes with its directory: mini-buildd remove --home DIR".into())
    }

    fn switched(&self, hands: &mut Hands<'_>, is_active: bool) {
        let Some(load) = &hands.lifecycle.load else {
            return;
        };
        if is_active {
            load.start();
        } else {
            load.stop();
        }
    }
}
