//! A directory that changes while somebody follows it.

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;
use weft_manifests::settings::MeshSettings;

use super::*;
use crate::publish::hub::Hub;
use crate::world::Writer;

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{ports: [{{port: 80}}]}}\n"
    )
}

/// A world that follows a directory. Without rescans, so that notifications have to work.
struct Followed {
    world: WorldHandle,
    rescan: Rescan,
    hub: Arc<Hub>,
    tasks: tokio::task::JoinSet<()>,
    _state: TempDir,
}

fn followed(root: &Path) -> Followed {
    let hub = Arc::new(Hub::default());
    let reserve = Box::new(|from| Ok(from + 1000));
    let (writer, world) =
        Writer::new(MeshSettings::default(), 0, reserve, Arc::clone(&hub), Duration::from_millis(20), true);
    let (rescan, asked) = rescans();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(writer.run());
    let state = TempDir::new().unwrap();
    let last_good = LastGood::within(state.path());
    tasks.spawn(follow(Directory::new(root), last_good, Duration::from_secs(3600), world.clone(), asked));
    Followed { world, rescan, hub, tasks, _state: state }
}

impl Followed {
    async fn until(&self, wanted: &[&str]) {
        let mut published = self.hub.revisions();
        let holds = || {
            let view = self.world.view();
            let names: Vec<_> = view.declared.keys().map(|key| key.name.to_string()).collect();
            names == wanted
        };
        let arrival = async {
            while !holds() {
                // A revision may be told of just before it can be seen: look again soon, not only when told.
                let _told = tokio::time::timeout(Duration::from_millis(20), published.changed()).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), arrival).await.expect("the change is seen");
    }
}

#[tokio::test]
async fn a_change_is_seen_when_it_is_written_renamed_or_swapped_in_by_a_link() {
    let root = TempDir::new().unwrap();
    // As Kubernetes mounts a ConfigMap: files are links through `..data`, which is swapped by a rename.
    for version in ["..v1", "..v2"] {
        fs::create_dir(root.path().join(version)).unwrap();
    }
    fs::write(root.path().join("..v1/map.yaml"), service("one")).unwrap();
    fs::write(root.path().join("..v2/map.yaml"), service("two")).unwrap();
    symlink("..v1", root.path().join("..data")).unwrap();
    symlink("..data/map.yaml", root.path().join("map.yaml")).unwrap();
    let followed = followed(root.path());
    assert!(followed.rescan.now().await.unwrap() > 0);
    followed.until(&["one"]).await;
    symlink("..v2", root.path().join("..data.new")).unwrap();
    fs::rename(root.path().join("..data.new"), root.path().join("..data")).unwrap();
    followed.until(&["two"]).await;

    fs::write(root.path().join("api.yaml"), service("api")).unwrap();
    followed.until(&["api", "two"]).await;
    fs::write(root.path().join("api.tmp"), service("apis")).unwrap();
    fs::rename(root.path().join("api.tmp"), root.path().join("api.yaml")).unwrap();
    followed.until(&["apis", "two"]).await;
    fs::create_dir(root.path().join("new")).unwrap();
    fs::write(root.path().join("new/x.yaml"), service("x")).unwrap();
    // A directory and what is in it at once: the notification for the file may not exist yet.
    followed.rescan.now().await.unwrap();
    followed.until(&["apis", "two", "x"]).await;
    fs::remove_file(root.path().join("api.yaml")).unwrap();
    followed.until(&["two", "x"]).await;
    assert_eq!(followed.tasks.len(), 2, "both still run");
}

#[tokio::test]
async fn a_directory_that_vanishes_leaves_everything_in_force() {
    let root = TempDir::new().unwrap();
    let config = root.path().join("config");
    fs::create_dir(&config).unwrap();
    fs::write(config.join("api.yaml"), service("api")).unwrap();
    let followed = followed(&config);
    followed.rescan.now().await.unwrap();
    fs::rename(&config, root.path().join("elsewhere")).unwrap();
    assert_eq!(followed.rescan.now().await, None);
    followed.until(&["api"]).await;
    fs::rename(root.path().join("elsewhere"), &config).unwrap();
    assert!(followed.rescan.now().await.is_some());
}

#[tokio::test]
async fn a_revision_is_reserved_before_it_is_published_and_stays_where_it_is_while_nothing_changes() {
    let hub = Arc::new(Hub::default());
    let reserved = Arc::new(std::sync::Mutex::new(Vec::new()));
    let taken = Arc::clone(&reserved);
    let reserve = Box::new(move |from| {
        taken.lock().unwrap().push(from);
        Ok(from + 2)
    });
    let (writer, world) =
        Writer::new(MeshSettings::default(), 41, reserve, Arc::clone(&hub), Duration::from_millis(5), true);
    let running = tokio::spawn(writer.run());
    let memory = |names: &[&str]| {
        let memory = crate::source::memory::Memory::default();
        names.iter().fold(memory, |memory, name| memory.with(&format!("{name}.yaml"), &service(name)))
    };
    let mut revisions = Vec::new();
    for names in [&["a"][..], &["a", "b"], &["a", "b"], &["b"], &["b", "c", "d"], &["c", "d"]] {
        let revision = world.declare(memory(names).reading()).await.unwrap();
        hub.revisions().wait_for(|published| *published >= revision).await.unwrap();
        revisions.push(revision);
    }
    assert_eq!(revisions, [42, 43, 43, 44, 45, 46]);
    assert_eq!(*reserved.lock().unwrap(), [42, 45], "44 was in the first range");
    drop(world);
    running.await.unwrap();
}
