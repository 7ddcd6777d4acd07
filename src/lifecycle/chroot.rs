use crate::chroots::bootstrap::is_of_one_package;
use crate::model::{Chroot, Kind, Reference};
use crate::store::catalog::Catalog;

use super::Failure;
use super::managed::{Hands, Managed};

impl Managed for Chroot {
    fn dependencies(&self, _catalog: &Catalog) -> Vec<Reference> {
        vec![Reference::new(Kind::Source, &self.source)]
    }

    /// What an old base needs of a changed source it gets at its next renewal, and at each build.
    fn create(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure> {
        let chroots = hands.lifecycle.chroots()?;
        if chroots.exists(self) {
            return Ok(());
        }
        let sources = hands.catalog.sources_of(self);
        let (source, extra) = sources.ok_or("its source is gone")?;
        let say = &mut hands.say;
        chroots.bootstrap(self, &source, &extra, &mut |line| {
            if !is_of_one_package(line) {
                say(line.trim_start_matches("I: "));
            }
        })?;
        Ok(())
    }

    /// A base that is gone is made anew.
    fn verify(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure> {
        self.create(hands)?;
        Ok(hands.lifecycle.chroots()?.check_base(self)?)
    }

    fn discard(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure> {
        let chroots = hands.lifecycle.chroots()?;
        let backend = chroots.backend(self);
        backend.remove()?;
        backend.clean()?;
        Ok(())
    }
}
