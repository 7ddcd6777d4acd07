use std::time::Duration;

use serde_json::Value;

use crate::model::{Reference, Remote};
use crate::pgp::Keyring;
use crate::store::catalog::Catalog;

use super::Failure;
use super::managed::{Hands, Managed};

const LONGEST: usize = 1 << 20;
const TIME: Duration = Duration::from_secs(10);

impl Managed for Remote {
    fn dependencies(&self, _catalog: &Catalog) -> Vec<Reference> {
        Vec::new()
    }

    /// Its key is taken on trust once, and kept.
    fn create(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure> {
        if self.key.is_empty() {
            let key = self.call("pub_key/?output=plain")?;
            self.key = String::from_utf8(key)?;
        }
        let mut keyring = Keyring::default();
        keyring.add(self.key.as_bytes())?;
        (hands.say)(&format!("its key is {}", keyring.fingerprints().join(", ")));
        Ok(())
    }

    fn verify(&mut self, _hands: &mut Hands<'_>) -> Result<(), Failure> {
        let status: Value = serde_json::from_slice(&self.call("status/")?)?;
        match status["load"].as_f64() {
            Some(load) if load >= 0.0 => Ok(()),
            Some(_) => Err("it is stopped".into()),
            None => Err("it says no load; is it a mini-buildd?".into()),
        }
    }

    fn discard(&mut self, _hands: &mut Hands<'_>) -> Result<(), Failure> {
        self.key.clear();
        Ok(())
    }
}

impl Remote {
    fn call(&self, call: &str) -> Result<Vec<u8>, Failure> {
        let url = format!("{}/mini_buildd/api/{call}", self.url.trim_end_matches('/'));
        super::get(&url, LONGEST, TIME)
    }
}
