//! Which kind of storage chroots are kept on: the wanted one if it works here, else the best that does.
use super::{Chroots, Error};
use crate::cause::with_causes;
use crate::model::chroot::{Backend, Compression};

/// Best first: sessions on overlayfs begin the soonest, snapshots of btrfs soon after; archives are unpacked for each.
const BY_SPEED: [Backend; 3] = [
    Backend::Dir,
    Backend::BtrfsSnapshot,
    Backend::File {
        compression: Compression::Zstd,
    },
];

/// A kind of storage that works here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub backend: Backend,
    /// One sentence for people.
    pub why: String,
}

impl Chroots {
    /// Takes `wanted`, which must work here; without it, the best that works.
    pub fn choose(&self, wanted: Option<Backend>) -> Result<Choice, Error> {
        if let Some(backend) = wanted {
            self.check(backend)?;
            let why = "as wanted".to_owned();
            return Ok(Choice { backend, why });
        }
        first_that_works(&BY_SPEED, |backend| self.check(backend))
    }

    fn check(&self, backend: Backend) -> Result<(), Error> {
        self.backend_in(backend, self.home.chroots())
            .check()
            .map_err(|source| Error::Unusable { backend, source })
    }
}

fn first_that_works<E: std::error::Error + 'static>(
    backends: &[Backend],
    check: impl Fn(Backend) -> Result<(), E>,
) -> Result<Choice, E> {
    let mut faults = Vec::new();
    let mut last = None;
    for &backend in backends {
        match check(backend) {
            Ok(()) => {
                let why = match faults.as_slice() {
                    [] => "the fastest works here".to_owned(),
                    faults => format!("the fastest that works here; {}", faults.join("; ")),
                };
                return Ok(Choice { backend, why });
            }
            Err(error) => {
                faults.push(with_causes(&error));
                last = Some(error);
            }
        }
    }
    Err(last.expect("there is a kind of storage"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no {0} here")]
    struct No(Backend);

    #[test]
    fn the_fastest_that_works_is_chosen_with_a_word_on_the_others() {
        let choice = first_that_works(&BY_SPEED, |_| Ok::<(), No>(())).unwrap();
        assert_eq!(choice.backend, Backend::Dir);
        assert_eq!(choice.why, "the fastest works here");

        let no_overlay = |backend| match backend {
            Backend::Dir => Err(No(backend)),
            _ => Ok(()),
        };
        let choice = first_that_works(&BY_SPEED, no_overlay).unwrap();
        assert_eq!(choice.backend, Backend::BtrfsSnapshot);
        assert_eq!(choice.why, "the fastest that works here; no dir here");

        assert!(first_that_works(&BY_SPEED, |backend| Err(No(backend))).is_err());
    }
}
