//! Directories as they really change.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

fn names(texts: &Texts) -> Vec<&str> {
    texts.keys().map(|name| &**name).collect()
}

#[test]
fn yaml_is_read_wherever_it_is_but_where_a_name_begins_with_a_dot() {
    let root = TempDir::new().unwrap();
    for path in
        ["a.yaml", "b.yml", "c.json", ".d.yaml", "deep/er/e.yaml", ".git/f.yaml", "g.yaml~", "h.yaml.new"]
    {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    fs::write(root.path().join("latin1.yaml"), b"\xe9").unwrap();
    fs::create_dir(root.path().join("dir.yaml")).unwrap();
    // In a circle, and to nowhere.
    symlink(root.path(), root.path().join("loop")).unwrap();
    symlink("nowhere.yaml", root.path().join("broken.yaml")).unwrap();
    let texts = Directory::new(root.path()).texts().unwrap();
    assert_eq!(names(&texts), ["a.yaml", "b.yml", "deep/er/e.yaml", "latin1.yaml"]);
    assert!(texts["latin1.yaml"].is_err());
}

/// Whoever reads a pipe waits for us.
#[test]
fn a_directory_that_goes_while_it_is_read_is_not_empty() {
    let root = TempDir::new().unwrap();
    let (config, elsewhere) = (root.path().join("config"), root.path().join("elsewhere"));
    fs::create_dir(&config).unwrap();
    let pipes = ["a.yaml", "b.yaml"].map(|name| config.join(name));
    assert!(std::process::Command::new("mkfifo").args(&pipes).status().unwrap().success());
    for pipe in pipes {
        let (config, elsewhere) = (config.clone(), elsewhere.clone());
        // One of them is never read, and waits until the process ends.
        std::thread::spawn(move || {
            let said = fs::OpenOptions::new().write(true).open(pipe).unwrap();
            fs::rename(config, elsewhere).unwrap();
            drop(said);
        });
    }
    let read = Directory::new(&config).texts();
    assert!(matches!(read, Err(DirectoryError::Unreadable { .. })), "{read:?}");
}

#[test]
fn a_directory_that_is_gone_is_not_empty() {
    let root = TempDir::new().unwrap();
    let directory = Directory::new(root.path().join("config"));
    assert!(matches!(directory.texts(), Err(DirectoryError::Unreadable { .. })));
    fs::create_dir(directory.root()).unwrap();
    assert_eq!(directory.texts().unwrap().len(), 0);
}
