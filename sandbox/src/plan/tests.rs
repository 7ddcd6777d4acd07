use oci_spec::runtime::{LinuxBuilder, LinuxPersonality, MountBuilder, RootBuilder, SpecBuilder};

use super::*;
use crate::session_spec;

/// A spec with these mounts, each "destination type source option,option".
fn spec(mounts: &[&str]) -> Spec {
    let mounts: Vec<Mount> = mounts.iter().map(|line| mount(line)).collect();
    let root = RootBuilder::default().path("/chroot").readonly(false);
    let mut spec = SpecBuilder::default()
        .root(root.build().unwrap())
        .mounts(mounts)
        .build()
        .unwrap();
    spec.set_process(None).set_linux(None).set_hostname(None);
    spec
}

fn mount(line: &str) -> Mount {
    let mut words = line.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    MountBuilder::default()
        .destination(word())
        .typ(word())
        .source(word())
        .options(
            word()
                .split(',')
                .filter(|option| !option.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
        .build()
        .unwrap()
}

fn bind_root() -> Step {
    Step::Root {
        at: "/chroot".into(),
        source: Source::Bind {
            path: "/chroot".into(),
            recursive: true,
        },
        attributes: Attributes::default(),
    }
}

#[test]
fn root_directory_is_bound_and_entered() {
    assert_eq!(
        plan(&spec(&[])).unwrap(),
        [Step::MakePrivate, bind_root(), Step::EnterRoot]
    );
}

#[test]
fn overlay_on_the_root_takes_the_place_of_the_directory() {
    let overlay =
        "/ overlay overlay lowerdir=/b:/a,upperdir=/s/upper,workdir=/s/work,userxattr,volatile";
    assert_eq!(
        plan(&spec(&[overlay])).unwrap()[1],
        Step::Root {
            at: "/chroot".into(),
            source: Source::Overlay {
                lower: vec!["/b".into(), "/a".into()],
                upper: Some(Upper {
                    directory: "/s/upper".into(),
                    work: "/s/work".into()
                }),
                parameters: vec![
                    Parameter::Flag("userxattr".into()),
                    Parameter::Flag("volatile".into())
                ],
            },
            attributes: Attributes::default(),
        }
    );
}

#[test]
fn lower_directories_can_be_given_one_by_one_unescaped() {
    let overlay = r"/ overlay overlay lowerdir+=/b:1,lowerdir+=/a\2";
    let Step::Root {
        source: Source::Overlay { lower, upper, .. },
        ..
    } = &plan(&spec(&[overlay])).unwrap()[1]
    else {
        panic!("no overlay");
    };
    assert_eq!(lower, &[Path::new("/b:1"), Path::new(r"/a\2")]);
    assert_eq!(upper, &None);
}

#[test]
fn mounts_keep_their_order() {
    let steps = plan(&spec(&[
        "/proc proc proc nosuid",
        "/srv bind /data rbind,rro",
        "/tmp tmpfs tmpfs mode=1777",
    ]))
    .unwrap();
    assert_eq!(
        steps[2..5],
        [
            Step::Mount {
                target: "/proc".into(),
                source: Source::New {
                    kind: "proc".into(),
                    parameters: vec![]
                },
                attributes: Attributes {
                    set: vec![Attribute::NoSuid],
                    recursive: false
                },
            },
            Step::Mount {
                target: "/srv".into(),
                source: Source::Bind {
                    path: "/data".into(),
                    recursive: true
                },
                attributes: Attributes {
                    set: vec![Attribute::ReadOnly],
                    recursive: true
                },
            },
            Step::Mount {
                target: "/tmp".into(),
                source: Source::New {
                    kind: "tmpfs".into(),
                    parameters: vec![Parameter::Value("mode".into(), "1777".into())]
                },
                attributes: Attributes::default(),
            },
        ]
    );
}

#[test]
fn fresh_dev_gets_devices_and_links() {
    let steps = plan(&spec(&["/dev tmpfs tmpfs"])).unwrap();
    let devices = steps.iter().filter_map(|step| match step {
        Step::Device(name) => Some(name.as_str()),
        _ => None,
    });
    assert_eq!(devices.collect::<Vec<_>>(), DEVICES);
    assert!(steps.contains(&Step::Link {
        target: "/dev/ptmx".into(),
        to: "pts/ptmx".into()
    }));
}

#[test]
fn bound_dev_is_left_as_it_is() {
    let steps = plan(&spec(&["/dev bind /dev rbind"])).unwrap();
    assert_eq!(steps.len(), 4);
}

#[test]
fn usual_session_ends_with_masks_hostname_and_entering() {
    let steps = plan(&session_spec(Path::new("/chroot"), vec![], "box")).unwrap();
    assert_eq!(
        steps[steps.len() - 3..],
        [
            Step::Mask("/proc/scsi".into()),
            Step::SetHostname("box".into()),
            Step::EnterRoot
        ]
    );
    assert!(steps.contains(&Step::MakeReadOnly("/proc/sys".into())));
}

#[test]
fn read_only_root_is_made_so_when_all_else_is_done() {
    let mut spec = spec(&["/tmp tmpfs tmpfs"]);
    let root = RootBuilder::default().path("/chroot").readonly(true);
    spec.set_root(Some(root.build().unwrap()));
    let steps = plan(&spec).unwrap();
    assert_eq!(
        steps[steps.len() - 2..],
        [Step::MakeRootReadOnly, Step::EnterRoot]
    );
}

#[test]
fn wrong_specs_are_refused() {
    let path = |what, path: &str| PlanError::Path {
        what,
        path: path.into(),
    };
    let overlay = |what| PlanError::Overlay {
        target: "/".into(),
        what,
    };
    for (mounts, error) in [
        (
            vec!["/a/../b tmpfs tmpfs"],
            path("mount destination", "/a/../b"),
        ),
        (vec!["a tmpfs tmpfs"], path("mount destination", "a")),
        (vec!["/a bind b bind"], path("bind source", "b")),
        (
            vec!["/ overlay overlay lowerdir=/a,upperdir=u,workdir=/w"],
            path("upperdir", "u"),
        ),
        (
            vec!["/ overlay overlay lowerdir=/a,upperdir=/u"],
            overlay("upperdir and workdir go together"),
        ),
        (vec!["/ overlay overlay userxattr"], overlay("no lowerdir")),
        (
            vec!["/tmp tmpfs tmpfs", "/ tmpfs tmpfs"],
            PlanError::LateRoot,
        ),
        (
            vec!["/a cgroup cgroup"],
            PlanError::Type {
                target: "/a".into(),
                kind: "cgroup".into(),
            },
        ),
        (
            vec!["/a bind /b rbind,rshared"],
            PlanError::Option {
                target: "/a".into(),
                source: OptionError::Propagation("rshared".into()),
            },
        ),
    ] {
        assert_eq!(plan(&spec(&mounts)), Err(error));
    }
}

#[test]
fn what_is_not_done_is_refused() {
    let mut spec = spec(&[]);
    let linux = LinuxBuilder::default()
        .sysctl(std::collections::HashMap::new())
        .build()
        .unwrap();
    spec.set_linux(Some(linux));
    assert_eq!(plan(&spec), Err(PlanError::Unsupported("linux.sysctl")));
}

/// The spec's `linux.personality`.
fn with_personality(personality: LinuxPersonality) -> Spec {
    let mut spec = spec(&[]);
    let linux = LinuxBuilder::default().masked_paths([]).readonly_paths([]);
    spec.set_linux(Some(linux.personality(personality).build().unwrap()));
    spec
}

#[test]
fn personality_is_set_before_the_root_is_entered() {
    let mut personality = LinuxPersonality::default();
    personality.set_domain(LinuxPersonalityDomain::PerLinux32);
    assert_eq!(
        plan(&with_personality(personality.clone())).unwrap(),
        [
            Step::MakePrivate,
            bind_root(),
            Step::SetPersonality(Personality::Linux32),
            Step::EnterRoot
        ]
    );
    personality.set_flags(Some(vec!["ADDR_NO_RANDOMIZE".into()]));
    let refused = PlanError::Unsupported("linux.personality.flags");
    assert_eq!(plan(&with_personality(personality)), Err(refused));
}
