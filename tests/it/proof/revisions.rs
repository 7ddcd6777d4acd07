//! What follows the first upload of a source.
use mini_buildd::model::EventType;

use crate::base::Base;
use crate::buildd::{Buildd, listed};
use crate::small_source::SmallSource;

#[test]
fn next_revision_is_built_with_the_tar_of_the_pool() {
    let mut buildd = Buildd::started("revisions");
    let work = Base::get().directory("revisions-work");
    let name = "mbd-revised";
    let source = SmallSource {
        name,
        upstream: Some("1.0"),
        ..SmallSource::default()
    };
    let tree = source.write(&work);
    for (revision, orig) in [("1", "-sa"), ("2", "-sd")] {
        let version = format!("1.0-{revision}{}", buildd.suffix);
        let uploader = &buildd.uploader;
        let changes = uploader.build_source_with(&tree, &version, &buildd.dist, orig);
        let files = listed(&std::fs::read_to_string(&changes).unwrap());
        let has_orig = files.iter().any(|file| file.contains(".orig."));
        assert_eq!(has_orig, orig == "-sa", "{files:?}");
        buildd.curl(&changes);
        buildd.wait(&format!("{version} is in the dist"), |buildd| {
            let rejected = buildd.events_of(EventType::Rejected, name);
            let failed = buildd.events_of(EventType::Failed, name);
            assert_eq!((rejected, failed), (vec![], vec![]));
            (buildd.versions(name) == [version.as_str()]).then_some(())
        });
    }
}
