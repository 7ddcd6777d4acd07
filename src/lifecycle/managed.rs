//! The actions, once for all kinds.
use std::collections::HashMap;

use jiff::Timestamp;

use crate::cause::with_causes;
use crate::model::status::{Preparation, Refused};
use crate::model::{
    AptKey, Chroot, Daemon, Item, Kind, Reference, Remote, Repository, Source, Status, Uploader,
};
use crate::store::catalog::Catalog;
use crate::store::items;

use super::{Action, Error, Failure, Lifecycle, edit};

/// A kind of item that stands for something of the system.
pub(super) trait Managed: Item {
    /// Goes on although what it depends on fails.
    const TOLERANT: bool = false;

    /// What must be prepared, checked and activated before it.
    fn dependencies(&self, catalog: &Catalog) -> Vec<Reference>;
    /// Makes it; what is found out goes into its fields.
    fn create(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure>;
    /// Makes what is there fit the changed fields.
    fn sync(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure> {
        self.create(hands)
    }
    /// Tells what keeps it from being used; what is found out goes into its fields.
    fn verify(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure>;
    /// Takes away what was made.
    fn discard(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure>;
    /// It became active, or is no longer.
    fn switched(&self, _hands: &mut Hands<'_>, _is_active: bool) {}
}

/// What an action may use.
pub(super) struct Hands<'a> {
    pub(super) lifecycle: &'a Lifecycle,
    /// As it was when the action on this item began.
    pub(super) catalog: Catalog,
    pub(super) say: &'a mut dyn FnMut(&str),
}

/// One run: no item is acted on twice in the same way, and what failed fails again.
pub struct Machine<'a> {
    lifecycle: &'a Lifecycle,
    force: bool,
    say: &'a mut dyn FnMut(&str),
    done: HashMap<(Reference, &'static str), Option<String>>,
}

impl<'a> Machine<'a> {
    /// A check that passed is repeated only by force; `say` gets a line for each step.
    pub fn new(lifecycle: &'a Lifecycle, force: bool, say: &'a mut dyn FnMut(&str)) -> Machine<'a> {
        Machine {
            lifecycle,
            force,
            say,
            done: HashMap::new(),
        }
    }

    /// Does an action, on what the item depends on first.
    pub fn act(&mut self, item: &Reference, action: Action) -> Result<(), Error> {
        let key = (item.clone(), action.as_str());
        match self.done.get(&key) {
            Some(None) => return Ok(()),
            Some(Some(fault)) => return Err(Error::Earlier(fault.clone())),
            None => {}
        }
        let result = self.act_once(item, action);
        let fault = result.as_ref().err().map(|error| with_causes(error));
        self.done.insert(key, fault);
        result
    }

    fn act_once(&mut self, item: &Reference, action: Action) -> Result<(), Error> {
        match action {
            Action::Pc => {
                self.act(item, Action::Prepare)?;
                self.act(item, Action::Check)
            }
            Action::Pca => {
                self.act(item, Action::Pc)?;
                self.act(item, Action::Activate)
            }
            action => match item.kind {
                Kind::AptKey => self.step::<AptKey>(item, action),
                Kind::Source => self.step::<Source>(item, action),
                Kind::Repository => self.step::<Repository>(item, action),
                Kind::Chroot => self.step::<Chroot>(item, action),
                Kind::Uploader => self.step::<Uploader>(item, action),
                Kind::Remote => self.step::<Remote>(item, action),
                Kind::Daemon => self.step::<Daemon>(item, action),
                Kind::Archive | Kind::Distribution | Kind::Layout | Kind::EmailAddress => {
                    Err(Error::NoStatus(item.kind))
                }
            },
        }
    }

    fn step<T: Managed>(&mut self, item: &Reference, action: Action) -> Result<(), Error> {
        let store = &self.lifecycle.store;
        let (found, status) = store.read(|tx| edit::get::<T>(tx, item))?;
        let step = Step {
            item,
            found,
            status,
        };
        match action {
            Action::Prepare => self.prepare(&step),
            Action::Check => self.check(&step),
            Action::Activate => self.activate(&step),
            Action::Deactivate => {
                let next = step.status.deactivate();
                self.switch(&step, next)
            }
            Action::Remove => self.remove(&step),
            Action::Pc | Action::Pca => Ok(()),
        }
    }

    fn prepare<T: Managed>(&mut self, step: &Step<'_, T>) -> Result<(), Error> {
        let preparation = step.status.prepare();
        if preparation == Preparation::Nothing {
            return Ok(());
        }
        self.dependencies(step, Action::Prepare)?;
        let result = self.change(step, Action::Prepare, |item, hands| match preparation {
            Preparation::Sync => item.sync(hands),
            Preparation::Create | Preparation::Nothing => item.create(hands),
        });
        self.put(step, &result?, Status::PREPARED)
    }

    fn check<T: Managed>(&mut self, step: &Step<'_, T>) -> Result<(), Error> {
        let needed = step.status.needs_check(self.force);
        if !needed.map_err(|refused| step.refused(Action::Check, refused))? {
            (self.say)(&format!("{} passed its last check", step.item));
            return Ok(());
        }
        self.dependencies(step, Action::Check)?;
        if step.status.is_to_be_active() {
            self.need_active(step)?;
        }
        let result = self.change(step, Action::Check, T::verify);
        let now = Timestamp::now();
        let refused = |refused| step.refused(Action::Check, refused);
        match result {
            Ok(item) => {
                let next = step.status.check_passed(now).map_err(refused)?;
                self.put(step, &item, next)?;
                self.tell_switch(step, next);
                Ok(())
            }
            Err(error) => {
                let next = step.status.check_failed().map_err(refused)?;
                self.put(step, &step.found, next)?;
                self.tell_switch(step, next);
                Err(error)
            }
        }
    }

    fn activate<T: Managed>(&mut self, step: &Step<'_, T>) -> Result<(), Error> {
        let next = step.status.activate();
        let next = next.map_err(|refused| step.refused(Action::Activate, refused))?;
        if next.is_active() {
            self.dependencies(step, Action::Activate)?;
            self.need_active(step)?;
        }
        self.switch(step, next)
    }

    fn remove<T: Managed>(&mut self, step: &Step<'_, T>) -> Result<(), Error> {
        if step.status == Status::Removed {
            return Ok(());
        }
        let item = self.change(step, Action::Remove, T::discard)?;
        let next = step.status.remove();
        self.put(step, &item, next)?;
        self.tell_switch(step, next);
        Ok(())
    }

    fn switch<T: Managed>(&mut self, step: &Step<'_, T>, next: Status) -> Result<(), Error> {
        if next != step.status {
            self.put(step, &step.found, next)?;
        }
        self.tell_switch(step, next);
        Ok(())
    }

    fn tell_switch<T: Managed>(&mut self, step: &Step<'_, T>, next: Status) {
        if next.is_active() == step.status.is_active() {
            return;
        }
        (self.say)(&format!(
            "{} is {}",
            step.item,
            if next.is_active() {
                "active"
            } else {
                "no longer active"
            }
        ));
        if let Ok(mut hands) = self.hands() {
            step.found.switched(&mut hands, next.is_active());
        }
    }

    /// Acts on what an item depends on.
    fn dependencies<T: Managed>(
        &mut self,
        step: &Step<'_, T>,
        action: Action,
    ) -> Result<(), Error> {
        let catalog = self.lifecycle.catalog()?;
        for needed in step.found.dependencies(&catalog) {
            let Err(source) = self.act(&needed, action) else {
                continue;
            };
            if T::TOLERANT {
                (self.say)(&format!("{needed}: {source}"));
                continue;
            }
            return Err(Error::Dependency {
                action,
                item: step.item.clone(),
                needed,
                source: Box::new(source),
            });
        }
        Ok(())
    }

    fn need_active<T: Managed>(&self, step: &Step<'_, T>) -> Result<(), Error> {
        if T::TOLERANT {
            return Ok(());
        }
        let catalog = self.lifecycle.catalog()?;
        let needed = step.found.dependencies(&catalog);
        let known = catalog.references();
        let is_active = |needed: &Reference| {
            let mut known = known.iter();
            known.any(|(item, status, _)| item == needed && status.is_active())
        };
        match needed.into_iter().find(|needed| !is_active(needed)) {
            None => Ok(()),
            Some(needed) => Err(Error::Inactive {
                item: step.item.clone(),
                needed,
            }),
        }
    }

    /// Does something to the system and returns the item as it became by that.
    fn change<T: Managed>(
        &mut self,
        step: &Step<'_, T>,
        action: Action,
        work: impl FnOnce(&mut T, &mut Hands<'_>) -> Result<(), Failure>,
    ) -> Result<T, Error> {
        (self.say)(&format!("{action} {}", step.item));
        let mut item = step.found.clone();
        let mut hands = self.hands()?;
        let done = work(&mut item, &mut hands);
        done.map_err(|source| Error::Effect {
            action,
            item: step.item.clone(),
            source,
        })?;
        Ok(item)
    }

    fn hands(&mut self) -> Result<Hands<'_>, Error> {
        Ok(Hands {
            lifecycle: self.lifecycle,
            catalog: self.lifecycle.catalog()?,
            say: self.say,
        })
    }

    /// Writes what became of an item, unless somebody else changed it.
    fn put<T: Managed>(&self, step: &Step<'_, T>, item: &T, next: Status) -> Result<(), Error> {
        self.lifecycle.store.write(|tx| {
            let (found, status) = edit::get::<T>(tx, step.item)?;
            if status != step.status || edit::fields(&found) != edit::fields(&step.found) {
                return Err(Error::ChangedMeanwhile(step.item.clone()));
            }
            Ok(items::put(tx, item, next)?)
        })
    }
}

/// An item as an action found it.
struct Step<'a, T> {
    item: &'a Reference,
    found: T,
    status: Status,
}

impl<T> Step<'_, T> {
    fn refused(&self, action: Action, refused: Refused) -> Error {
        Error::Refused {
            action,
            item: self.item.clone(),
            refused,
        }
    }
}
