//! Options of a mount, as fstab and the OCI runtime spec write them.
use serde::{Deserialize, Serialize};

/// Attribute of a mount point (mount_setattr(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Attribute {
    ReadOnly,
    NoSuid,
    NoDev,
    NoExec,
    NoSymlinkFollow,
    NoDirectoryAccessTime,
    Relatime,
    Noatime,
    Strictatime,
}

/// Parameter of a file system (fsconfig(2)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Parameter {
    Flag(String),
    Value(String, String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MountOptions {
    pub(crate) attributes: Vec<Attribute>,
    /// The attributes hold for all mounts below, too.
    pub(crate) recursive_attributes: bool,
    pub(crate) bind: Option<Bind>,
    pub(crate) parameters: Vec<Parameter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    One,
    Recursive,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    #[error("mount option {0} would let mounts out of the session")]
    Propagation(String),
    #[error("mount option {0} can't be taken with mount option {1}")]
    Conflict(String, String),
}

impl MountOptions {
    pub(crate) fn parse(options: &[String]) -> Result<MountOptions, OptionError> {
        let mut parsed = MountOptions::default();
        let mut one = None;
        for option in options {
            match option.as_str() {
                "defaults" | "async" | "rw" | "suid" | "dev" | "exec" | "symfollow"
                | "diratime" | "private" | "rprivate" => parsed.unset(option),
                "shared" | "rshared" | "slave" | "rslave" | "unbindable" | "runbindable" => {
                    return Err(OptionError::Propagation(option.clone()));
                }
                "bind" => parsed.bind = parsed.bind.or(Some(Bind::One)),
                "rbind" => parsed.bind = Some(Bind::Recursive),
                name => match attribute(name) {
                    Some((attribute, recursive)) => {
                        let other = one.replace((option, recursive));
                        if let Some((other, _)) = other.filter(|(_, how)| *how != recursive) {
                            return Err(OptionError::Conflict(option.clone(), other.clone()));
                        }
                        parsed.recursive_attributes = recursive;
                        parsed.set(attribute);
                    }
                    None => parsed.parameters.push(parameter(name)),
                },
            }
        }
        Ok(parsed)
    }

    fn set(&mut self, attribute: Attribute) {
        if !self.attributes.contains(&attribute) {
            self.attributes.push(attribute);
        }
    }

    /// The last of an option and its opposite counts.
    fn unset(&mut self, option: &str) {
        let opposite = match option {
            "rw" => Attribute::ReadOnly,
            "suid" => Attribute::NoSuid,
            "dev" => Attribute::NoDev,
            "exec" => Attribute::NoExec,
            "symfollow" => Attribute::NoSymlinkFollow,
            "diratime" => Attribute::NoDirectoryAccessTime,
            _ => return,
        };
        self.attributes.retain(|attribute| *attribute != opposite);
    }
}

/// The attribute, and whether the option is the recursive one of the OCI runtime spec.
fn attribute(option: &str) -> Option<(Attribute, bool)> {
    let plain = |option: &str| {
        Some(match option {
            "ro" => Attribute::ReadOnly,
            "nosuid" => Attribute::NoSuid,
            "nodev" => Attribute::NoDev,
            "noexec" => Attribute::NoExec,
            "nosymfollow" => Attribute::NoSymlinkFollow,
            "nodiratime" => Attribute::NoDirectoryAccessTime,
            "relatime" => Attribute::Relatime,
            "noatime" => Attribute::Noatime,
            "strictatime" => Attribute::Strictatime,
            _ => return None,
        })
    };
    if let Some(attribute) = plain(option) {
        return Some((attribute, false));
    }
    // "rrelatime" is recursive, "relatime" is not.
    let attribute = plain(option.strip_prefix('r')?)?;
    Some((attribute, true))
}

fn parameter(option: &str) -> Parameter {
    match option.split_once('=') {
        Some((name, value)) => Parameter::Value(name.to_owned(), value.to_owned()),
        None => Parameter::Flag(option.to_owned()),
    }
}

/// Splits overlay's lowerdir at colons; a backslash makes the next character part of the path.
pub(crate) fn split_lowerdir(value: &str) -> Vec<String> {
    let mut directories = vec![String::new()];
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        let last = directories
            .last_mut()
            .expect("starts with one and never shrinks");
        match character {
            ':' => directories.push(String::new()),
            '\\' => last.extend(characters.next()),
            other => last.push(other),
        }
    }
    directories.retain(|directory| !directory.is_empty());
    directories
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &str) -> Result<MountOptions, OptionError> {
        let options: Vec<String> = options.split(',').map(str::to_owned).collect();
        MountOptions::parse(&options)
    }

    #[test]
    fn attributes_and_parameters_are_told_apart() {
        let options = parse("nosuid,noexec,newinstance,mode=0620").unwrap();
        assert_eq!(options.attributes, [Attribute::NoSuid, Attribute::NoExec]);
        assert_eq!(
            options.parameters,
            [
                Parameter::Flag("newinstance".into()),
                Parameter::Value("mode".into(), "0620".into())
            ]
        );
    }

    #[test]
    fn last_of_ro_and_rw_counts() {
        assert_eq!(parse("ro,rw").unwrap().attributes, []);
        assert_eq!(parse("rw,ro").unwrap().attributes, [Attribute::ReadOnly]);
    }

    #[test]
    fn recursive_attributes_are_for_all_mounts_below() {
        let options = parse("rbind,rro,rnosuid").unwrap();
        assert_eq!(options.bind, Some(Bind::Recursive));
        assert!(options.recursive_attributes);
        assert_eq!(options.attributes, [Attribute::ReadOnly, Attribute::NoSuid]);
    }

    #[test]
    fn relatime_is_no_recursive_option() {
        assert!(!parse("relatime").unwrap().recursive_attributes);
        assert!(parse("rrelatime").unwrap().recursive_attributes);
    }

    #[test]
    fn plain_and_recursive_attributes_do_not_mix() {
        assert_eq!(
            parse("rro,nosuid"),
            Err(OptionError::Conflict("nosuid".into(), "rro".into()))
        );
    }

    #[test]
    fn propagation_to_the_host_is_refused() {
        assert_eq!(
            parse("rbind,rshared"),
            Err(OptionError::Propagation("rshared".into()))
        );
    }

    #[test]
    fn lowerdir_is_split_at_colons_that_no_backslash_escapes() {
        assert_eq!(split_lowerdir(r"/a\:b:/c\\d"), ["/a:b", r"/c\d"]);
    }
}
