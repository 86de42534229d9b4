use super::*;

fn shell(script: &str, log: Option<PathBuf>) -> Process {
    Process::start(Launch {
        name: "the script".into(),
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: vec![("GREETING", "hello".into())],
        log,
    })
    .unwrap()
}

/// Whether a process of this number can be signalled.
fn is_alive(id: u32) -> bool {
    rustix::process::test_kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap()).is_ok()
}

#[tokio::test]
async fn a_process_that_is_let_go_has_ended() {
    let process = shell("sleep 60", None);
    let id = process.id().unwrap();
    assert!(is_alive(id));
    drop(process);
    assert!(!is_alive(id));
}

#[tokio::test]
async fn one_that_ignores_the_polite_signal_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut process = shell("trap '' TERM; echo ready; while :; do sleep 0.05; done", Some(log.clone()));
    while !fs::read_to_string(&log).unwrap().contains("ready") {
        process.check().unwrap();
        tokio::task::yield_now().await;
    }
    let id = process.id().unwrap();
    process.stop(Duration::from_millis(50)).await;
    assert!(!is_alive(id));
}

#[tokio::test]
async fn one_that_ends_by_itself_is_reported_with_the_end_of_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = shell("echo first; echo $GREETING >&2; exit 3", Some(dir.path().join("log")));
    let status = process.ended().await.unwrap();
    let told = process.obituary(status).to_string();
    assert!(told.contains("the script ended by itself") && told.contains("exit status: 3"), "{told}");
    assert!(told.contains("    first\n    hello\n"), "{told}");
    assert!(process.check().is_err());
}

#[tokio::test]
async fn all_are_stopped_together() {
    let mut all = [shell("sleep 60", None), shell("sleep 60", None)];
    let ids = all.each_ref().map(|process| process.id().unwrap());
    stop_all(&mut all, Duration::from_secs(5)).await;
    assert!(ids.iter().all(|id| !is_alive(*id)));
}
