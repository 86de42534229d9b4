//! PostgreSQL: opaque to the mesh, TLS begun inside of its own protocol, and rows by the hundred thousand.

use std::path::PathBuf;

use crate::lab::{BY_PORT, Family, Lab, Plan, Port, Trial};

const HOSTS: &[(&str, &[Port])] = &[("web", &[]), ("server", &[Port("postgres", 5432, 5433, Some("tcp"))])];
/// It does not run as root.
const AS_POSTGRES: &str = "setpriv --reuid postgres --regid postgres --clear-groups";

#[tokio::test]
async fn psql_speaks_in_plain_text_and_by_tls_that_it_begins_itself() {
    for family in Family::BOTH {
        let plan = Plan::pair("PostgreSQL", &["psql", "openssl"], HOSTS).in_family(family);
        let Some(programs) = programs() else {
            println!(
                "skipped: {}: its server is not installed (tests/real/install.sh installs it)",
                plan.test
            );
            return;
        };
        let Some(mut lab) = Lab::build(plan).await else { return };
        let bin = programs.display();
        let folder = lab.path("postgres");
        lab.said("server", "install --directory --owner postgres --group postgres FOLDER/postgres");
        lab.said(
            "server",
            &format!("{AS_POSTGRES} {bin}/initdb --no-sync --auth trust --username shop --pgdata FOLDER/postgres/data"),
        );
        lab.said(
            "server",
            &format!(
                "cd {0} && {AS_POSTGRES} openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=postgres -days 2 \
                   -keyout data/server.key -out data/server.crt",
                folder.display()
            ),
        );
        lab.start(
            "server",
            "postgres",
            &format!(
                "{AS_POSTGRES} {bin}/postgres -D FOLDER/postgres/data -p 5433 -c listen_addresses=* -c ssl=on \
                   -c unix_socket_directories=FOLDER/postgres -c fsync=off"
            ),
        );
        lab.listens("server", 5433).await;
        let psql = |mode: &str, sql: &str| {
            let to =
                format!("host=HOST port=PORT user=shop dbname=postgres sslmode={mode} connect_timeout=20");
            format!("psql --no-psqlrc --quiet --tuples-only --no-align '{to}' --command \"{sql}\"")
        };
        let tls = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        lab.try_every_way(Trial {
            service: "postgres",
            ways: BY_PORT,
            lines: &[
                (&psql("disable", tls), "f"),
                (&psql("require", tls), "t"),
                // Asks for TLS and would do without.
                (&psql("prefer", tls), "t"),
                (
                    &format!(
                        "{} | wc --lines",
                        psql("require", "SELECT repeat('x', 100) FROM generate_series(1, 100000)")
                    ),
                    "100000",
                ),
                (
                    &psql("disable", "SELECT 1/0").replace("--quiet", "2>&1 --quiet"),
                    "ERROR:  division by zero",
                ),
            ],
        })
        .await;
    }
}

/// Debian keeps them in a folder of their version.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    folders.filter(|bin| bin.join("postgres").is_file()).max()
}
