//! What only the program itself can show: its exit codes, a closed pipe, and the tether.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const MESHCTL: &str = env!("CARGO_BIN_EXE_meshctl");

fn meshctl(args: &[&str]) -> (Option<i32>, String, String) {
    let output =
        Command::new(MESHCTL).args(args).env("WEFT_STATE_DIR", "/nowhere").output().expect("meshctl starts");
    let text = |bytes| String::from_utf8(bytes).expect("meshctl writes UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_exit_code_tells_fine_from_a_problem_and_from_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let good = file(
        "good.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n",
    );
    let bad = file("bad.yaml", "apiVersion: v1\nkind: Servic\nmetadata: {name: a}\n");
    for (args, want) in [
        (&["check", &good][..], 0),
        (&["check", &bad, "-o", "json"], 1),
        (&["check", "/nowhere.yaml"], 2),
        (&["status", "-o", "json"], 2),
        (&["explain", "--from", "web", "--to", "api", "GET"], 2),
        (&["version", "-o", "yaml"], 0),
        (&["demo", "--print-config"], 0),
    ] {
        let (code, out, err) = meshctl(args);
        assert_eq!(code, Some(want), "{args:?}\n{out}{err}");
        // An answer is on standard output, and a reason why there is none on standard error.
        assert_eq!((out.is_empty(), err.is_empty()), (want == 2, want != 2), "{args:?}\n{out}{err}");
    }
}

#[test]
fn a_reader_who_has_seen_enough_is_no_crash() {
    let mut child = Command::new(MESHCTL)
        .args(["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
}

/// A shell starts a program under a tether and is killed: so is the program.
#[cfg(target_os = "linux")]
#[test]
fn what_is_under_a_tether_ends_with_its_owner_however_that_ends() {
    let script = format!("'{MESHCTL}' tether $$ -- sh -c 'echo $$; exec sleep 60' & wait");
    let mut owner = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(owner.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let tethered: u32 = line.trim().parse().unwrap();
    assert!(is_running(tethered));
    owner.kill().unwrap();
    owner.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_running(tethered) {
        assert!(Instant::now() < deadline, "{tethered} outlived its owner");
        std::thread::yield_now();
    }
}

/// A zombie has ended: whoever adopts it may take its time.
#[cfg(target_os = "linux")]
fn is_running(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
