use serde::{Deserialize, Serialize};

use crate::endpoint::ServerEndpoint;
use crate::model::user::is_email;
use crate::model::{Invalid, Item, Kind, Limits, Reference, invalid, is_one_line};

/// The instance itself; there is exactly one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Daemon {
    /// Part of the names of keys and version numbers: `^[a-zA-Z0-9-]+$`.
    pub identity: String,
    /// Origin of all Release files; empty: made from identity and host name.
    pub custom_archive_origin: String,
    pub email_address: String,
    pub ftp_endpoint: ServerEndpoint,
    pub max_parallel_builds: u32,
    pub event_queue_size: u32,
    pub expire_events_after_days: u32,
    pub expire_builds_after_days: u32,
    /// After that many days, a chroot's base is made anew; 0: never.
    #[serde(default = "renew_chroots_after_days")]
    pub renew_chroots_after_days: u32,
    /// What one build may use here.
    #[serde(default)]
    pub limits: Limits,
    /// Where keys are looked for that no keyring of this host has: `https://keys.example.org`; empty: nowhere.
    #[serde(default)]
    pub gnupg_keyserver: String,
    /// Addresses of [`crate::model::EmailAddress`]es that are told of all that happens.
    #[serde(default)]
    pub notify: Vec<String>,
    /// Which addresses of Changed-By and Maintainer are told, a regular expression; empty: those of this host.
    #[serde(default)]
    pub allow_emails_to: String,
}

pub fn renew_chroots_after_days() -> u32 {
    14
}

impl Item for Daemon {
    const KIND: &'static str = Kind::Daemon.as_str();
    fn name(&self) -> String {
        "daemon".into()
    }
    fn validate(&self) -> Result<(), Invalid> {
        if let Err(fault) = check_identity(&self.identity) {
            return Err(invalid(self, "identity", fault));
        }
        let origin = &self.custom_archive_origin;
        if !is_one_line(origin) || origin.contains(',') {
            let fault = "must be one line without comma";
            return Err(invalid(self, "custom_archive_origin", fault));
        }
        if !is_email(&self.email_address) {
            return Err(invalid(self, "email_address", "must be NAME@HOST"));
        }
        if let Some(fault) = self.ftp_endpoint.ftp_fault() {
            return Err(invalid(self, "ftp_endpoint", fault));
        }
        for (field, days) in [
            ("expire_events_after_days", self.expire_events_after_days),
            ("expire_builds_after_days", self.expire_builds_after_days),
        ] {
            if !(1..=36_500).contains(&days) {
                return Err(invalid(self, field, "must be 1 to 36500"));
            }
        }
        if self.max_parallel_builds == 0 {
            return Err(invalid(self, "max_parallel_builds", "must be 1 at least"));
        }
        let server = &self.gnupg_keyserver;
        let schemes = ["hkps://", "https://", "hkp://", "http://"];
        let is_url = schemes.iter().any(|scheme| server.starts_with(scheme));
        if !(server.is_empty() || is_url && is_one_line(server)) {
            let fault = "is no hkps, https, hkp or http URL";
            return Err(invalid(self, "gnupg_keyserver", fault));
        }
        if let Err(fault) = regex::Regex::new(&self.allow_emails_to) {
            return Err(invalid(self, "allow_emails_to", fault.to_string()));
        }
        if let Some((field, fault)) = self.limits.fault() {
            return Err(invalid(self, field, fault));
        }
        Ok(())
    }
    fn references(&self) -> Vec<Reference> {
        let notify = self.notify.iter();
        notify
            .map(|address| Reference::new(Kind::EmailAddress, address))
            .collect()
    }
}

pub fn check_identity(identity: &str) -> Result<(), &'static str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if (1..=64).contains(&identity.len()) && identity.bytes().all(fits) {
        return Ok(());
    }
    Err("must match [a-zA-Z0-9-]+, 64 letters at most")
}

impl Daemon {
    /// Origin field of Release files: `Mini-Buildd archive IDENTITY on HOSTNAME` unless a custom one is set.
    pub fn archive_origin(&self, hostname: &str) -> String {
        if self.custom_archive_origin.is_empty() {
            format!("Mini-Buildd archive {} on {hostname}", self.identity)
        } else {
            self.custom_archive_origin.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon() -> Daemon {
        Daemon {
            identity: "ident".into(),
            custom_archive_origin: String::new(),
            email_address: "mini-buildd@buildd.test".into(),
            ftp_endpoint: "tcp6:port=8067".parse().unwrap(),
            max_parallel_builds: 2,
            event_queue_size: 500,
            expire_events_after_days: 336,
            expire_builds_after_days: 5,
            renew_chroots_after_days: renew_chroots_after_days(),
            limits: Limits::default(),
            gnupg_keyserver: String::new(),
            notify: Vec::new(),
            allow_emails_to: String::new(),
        }
    }

    #[test]
    fn the_origin_names_identity_and_host() {
        let mut daemon = daemon();
        let origin = daemon.archive_origin("buildd.test");
        assert_eq!(origin, "Mini-Buildd archive ident on buildd.test");
        daemon.custom_archive_origin = "Our archive".into();
        assert_eq!(daemon.archive_origin("buildd.test"), "Our archive");
    }

    #[test]
    fn broken_fields_are_named() {
        assert_eq!(daemon().validate(), Ok(()));
        for (change, field) in [
            (
                (|d| d.identity = "a_b".into()) as fn(&mut Daemon),
                "identity",
            ),
            (
                |d| d.custom_archive_origin = "a\nb".into(),
                "custom_archive_origin",
            ),
            (|d| d.email_address = "a@b <c".into(), "email_address"),
            (
                |d| d.ftp_endpoint = "ssl:port=8067:privateKey=k".parse().unwrap(),
                "ftp_endpoint",
            ),
            (
                |d| d.ftp_endpoint = "tcp:port=8067:passive_ports=9".parse().unwrap(),
                "ftp_endpoint",
            ),
            (
                |d| d.ftp_endpoint = "unix:/run/ftp".parse().unwrap(),
                "ftp_endpoint",
            ),
            (
                |d| d.expire_events_after_days = 0,
                "expire_events_after_days",
            ),
            (
                |d| d.expire_builds_after_days = 0,
                "expire_builds_after_days",
            ),
            (|d| d.limits.disk_mib = 1 << 44, "disk_mib"),
            (|d| d.max_parallel_builds = 0, "max_parallel_builds"),
            (|d| d.limits.cpu_weight = 0, "cpu_weight"),
            (|d| d.gnupg_keyserver = "keys".into(), "gnupg_keyserver"),
            (|d| d.allow_emails_to = "(".into(), "allow_emails_to"),
        ] {
            let mut daemon = daemon();
            change(&mut daemon);
            assert_eq!(daemon.validate().unwrap_err().field, field);
        }
    }
}
