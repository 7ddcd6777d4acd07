use crate::model::{Reference, Uploader};
use crate::pgp::Keyring;
use crate::store::catalog::Catalog;

use super::Failure;
use super::managed::{Hands, Managed};

impl Managed for Uploader {
    fn dependencies(&self, _catalog: &Catalog) -> Vec<Reference> {
        Vec::new()
    }

    fn create(&mut self, _hands: &mut Hands<'_>) -> Result<(), Failure> {
        let mut keyring = Keyring::default();
        keyring.add(self.key.as_bytes())?;
        Ok(())
    }

    fn verify(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure> {
        self.create(hands)
    }

    fn discard(&mut self, _hands: &mut Hands<'_>) -> Result<(), Failure> {
        Ok(())
    }
}
