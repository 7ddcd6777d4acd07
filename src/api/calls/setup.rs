use std::time::Duration;

use serde_json::Value;

use crate::api::argument::{Argument, ArgumentValue, Kind};
use crate::api::{Arguments, Auth, Call, CallError, Context};
use crate::deb::Codename;
use crate::endpoint::ServerEndpoint;
use crate::maintenance::Progress;
use crate::setup::backend_name::BackendName;
use crate::setup::distributions::Database;
use crate::setup::host_facts;
use crate::setup::request::Request;
use crate::setup::run::{Selection, Setup};

pub(super) const CALL: Call = Call {
    name: "setup",
    doc: "Inspect, extend or bootstrap what is configured\n\n\
          Without options, tells how what is there differs from what would be made of it today. With some, how that \
          differs from what they mean; nothing is done unless --update or --pca say to which items: 'all', or hashes \
          from an earlier answer. Nothing is taken away.",
    auth: Auth::Admin,
    running: false,
    confirm: true,
    changes: true,
    arguments: &[
        UPDATE.spec,
        PCA.spec,
        IDENTITY.spec,
        FTP_ENDPOINT.spec,
        FROM_ORIGINS.spec,
        ARCHIVES.spec,
        ARCHIVES_FROM_ORIGINS.spec,
        ARCHIVES_FROM_APT_SOURCES.spec,
        ARCHIVES_FROM_PROXY.spec,
        SOURCES.spec,
        SOURCES_FROM_ORIGINS.spec,
        DISTRIBUTIONS.spec,
        DISTRIBUTIONS_FROM_SOURCES.spec,
        REPOSITORIES.spec,
        REPOSITORIES_FROM_DISTRIBUTIONS.spec,
        CHROOTS.spec,
        CHROOTS_FROM_SOURCES.spec,
        CHROOTS_BACKEND.spec,
        REMOTES.spec,
    ],
    run: |context, arguments| Box::pin(run(context, arguments)),
};

const UPDATE: Argument<String> = Argument::long(
    "update",
    "",
    "Write what is missing or differs: all, or hashes with commas between",
);
const PCA: Argument<String> = Argument::long(
    "pca",
    "",
    "Prepare, check and activate: all, or hashes with commas between",
);
const IDENTITY: Argument<Option<String>> = Argument::computed_long(
    "identity",
    "default_identity",
    "Name of the instance in keys and in the configuration of others",
);
const FTP_ENDPOINT: Argument<Option<ServerEndpoint>> = Argument::computed_long(
    "ftp_endpoint",
    "default_ftp_endpoint",
    "Where uploads come in; holds from the next start on",
);
const FROM_ORIGINS: Argument<Vec<String>> = Argument::long(
    "from_origins",
    "",
    "Distributors that the next options are about: Debian, Ubuntu or PureOS; of these what is supported, with :lts what \
     somebody supports for longer, with :all whatever can be built for",
);
const ARCHIVES: Argument<Vec<String>> = Argument::option(
    "archives",
    'A',
    "",
    "Archives (mirrors) to build from, by URL",
);
const ARCHIVES_FROM_ORIGINS: Argument<bool> = Argument::long(
    "archives_from_origins",
    "False",
    "The distributors' own archives, as the package python-apt-common names them",
);
const ARCHIVES_FROM_APT_SOURCES: Argument<bool> = Argument::long(
    "archives_from_apt_sources",
    "False",
    "The archives of this host's apt",
);
const ARCHIVES_FROM_PROXY: Argument<bool> = Argument::long(
    "archives_from_proxy",
    "False",
    "The archives behind an apt-cacher-ng on this host",
);
const SOURCES: Argument<Vec<Codename>> = Argument::long(
    "sources",
    "",
    "Codenames to build for; security and other pockets come with them",
);
const SOURCES_FROM_ORIGINS: Argument<bool> = Argument::long(
    "sources_from_origins",
    "False",
    "All codenames of the distributors",
);
const DISTRIBUTIONS: Argument<Vec<String>> = Argument::long(
    "distributions",
    "",
    "What to build, CODENAME:ARCHITECTURE[+ARCHITECTURE…]; the architecture native is all that this host runs",
);
const DISTRIBUTIONS_FROM_SOURCES: Argument<bool> = Argument::long(
    "distributions_from_sources",
    "False",
    "All codenames, for the architectures that this host runs",
);
const REPOSITORIES: Argument<Vec<String>> = Argument::long(
    "repositories",
    "",
    "Repositories, ID:LAYOUT:CODENAME[+CODENAME…]; everybody may upload to test, Debian's developers to debdev",
);
const REPOSITORIES_FROM_DISTRIBUTIONS: Argument<Vec<String>> = Argument::long(
    "repositories_from_distributions",
    "",
    "Repositories for all distributions, ID[:LAYOUT]",
);
const CHROOTS: Argument<Vec<String>> =
    Argument::long("chroots", "", "Chroots, as distributions are written");
const CHROOTS_FROM_SOURCES: Argument<bool> = Argument::long(
    "chroots_from_sources",
    "False",
    "For all codenames, for the architectures that this host runs",
);
const CHROOTS_BACKEND: Argument<BackendName> = Argument::option(
    "chroots_backend",
    'C',
    "Dir",
    "How new chroots are kept: Dir, File or BtrfsSnapshot",
);
const REMOTES: Argument<Vec<String>> = Argument::long("remotes", "", "Other instances, by URL");

/// How long one look at a job that goes on takes.
const LOOK: Duration = Duration::from_secs(60);

impl ArgumentValue for ServerEndpoint {
    const KIND: Kind = Kind::Text;
    fn parse(text: &str) -> Result<ServerEndpoint, String> {
        text.parse::<ServerEndpoint>()
            .map_err(|error| error.to_string())
    }
}

impl ArgumentValue for BackendName {
    const KIND: Kind = Kind::Text;
    fn parse(text: &str) -> Result<BackendName, String> {
        let mut known = BackendName::ALL.into_iter();
        let found = known.find(|(name, _)| *name == text);
        found.map(|(_, backend)| backend).ok_or_else(|| {
            let known = BackendName::ALL.map(|(name, _)| name).join(", ");
            format!("there is: {known}")
        })
    }
}

fn request(arguments: &Arguments) -> Result<Request, CallError> {
    Ok(Request {
        identity: arguments.get(&IDENTITY)?,
        ftp_endpoint: arguments.get(&FTP_ENDPOINT)?,
        from_origins: arguments.get(&FROM_ORIGINS)?,
        archives: arguments.get(&ARCHIVES)?,
        archives_from_origins: arguments.get(&ARCHIVES_FROM_ORIGINS)?,
        archives_from_apt_sources: arguments.get(&ARCHIVES_FROM_APT_SOURCES)?,
        archives_from_proxy: arguments.get(&ARCHIVES_FROM_PROXY)?,
        sources: arguments.get(&SOURCES)?,
        sources_from_origins: arguments.get(&SOURCES_FROM_ORIGINS)?,
        distributions: arguments.get(&DISTRIBUTIONS)?,
        distributions_from_sources: arguments.get(&DISTRIBUTIONS_FROM_SOURCES)?,
        repositories: arguments.get(&REPOSITORIES)?,
        repositories_from_distributions: arguments.get(&REPOSITORIES_FROM_DISTRIBUTIONS)?,
        chroots: arguments.get(&CHROOTS)?,
        chroots_from_sources: arguments.get(&CHROOTS_FROM_SOURCES)?,
        chroots_backend: arguments.get(&CHROOTS_BACKEND)?,
        remotes: arguments.get(&REMOTES)?,
    })
}

/// Done as a job, so that it goes on when who asked is gone.
async fn run(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let request = request(arguments)?;
    let update = Selection::parse(&arguments.get(&UPDATE)?);
    let pca = Selection::parse(&arguments.get(&PCA)?);
    let Ok(_only) = context.instance.maintaining.try_acquire() else {
        let busy = "Another maintenance API call currently running";
        return Err(CallError::Unavailable(busy.into()));
    };
    let lifecycle = context.instance.lifecycle.clone();
    let work = Box::new(move |say: &mut dyn FnMut(&str)| {
        let (facts, database) = (
            host_facts(lifecycle.hostname.clone())?,
            Database::of_today(),
        );
        let setup = Setup {
            lifecycle: &lifecycle,
            facts: &facts,
            database: &database,
        };
        let site = setup.requested(&request)?;
        Ok(setup.run(site, &update, &pca, say)?.to_json())
    });
    let maintenance = context.instance.maintenance.clone();
    let user = context.user()?;
    let failed = |error| CallError::failed("set up", error);
    let id = maintenance
        .ask(user.as_str(), "setup", work)
        .map_err(failed)?;
    let mut seen = 0;
    loop {
        let progress = maintenance.follow(id, seen, LOOK).await.map_err(failed)?;
        let Some(Progress { action, steps }) = progress else {
            return Err(CallError::NotFound(format!("No such job: {id}")));
        };
        seen = steps.len();
        if action.ended.is_none() {
            continue;
        }
        return match (action.error, action.result) {
            (Some(error), _) => Err(CallError::Refused(error)),
            (None, result) => Ok(result
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default()),
        };
    }
}
