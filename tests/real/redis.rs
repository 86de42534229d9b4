//! Redis: opaque to the mesh, and pipelining: a client that sends long before it reads.

use crate::lab::{BY_PORT, Family, Lab, Plan, Port, Trial};

const HOSTS: &[(&str, &[Port])] = &[("web", &[]), ("server", &[Port("redis", 6379, 6380, Some("tcp"))])];
const SERVER: &str = "redis-server --port 6380 --bind * -::* --protected-mode no --dir FOLDER";

#[tokio::test]
async fn redis_answers_one_by_one_and_ten_thousand_in_a_pipeline() {
    for family in Family::BOTH {
        let plan = Plan::pair("redis", &["redis-server", "redis-cli"], HOSTS).in_family(family);
        let Some(mut lab) = Lab::build(plan).await else { return };
        lab.start("server", "redis-server", SERVER);
        lab.listens("server", 6380).await;
        lab.try_every_way(Trial {
            service: "redis",
            ways: BY_PORT,
            lines: &[
                ("redis-cli -h HOST -p PORT PING", "PONG"),
                ("redis-cli -h HOST -p PORT SET key value && redis-cli -h HOST -p PORT GET key", "OK\nvalue"),
                (
                    "redis-cli -h HOST -p PORT DEL counter >/dev/null &&
                     yes 'INCR counter' | head --lines=10000 | redis-cli -h HOST -p PORT --pipe | tail --lines=1",
                    "errors: 0, replies: 10000",
                ),
                ("redis-cli -h HOST -p PORT GET counter", "10000"),
                // Values larger than any buffer on the way.
                (
                    "head --bytes=4000000 /dev/zero | tr '\\0' x | redis-cli -h HOST -p PORT -x SET large &&
                     redis-cli -h HOST -p PORT GET large | wc --bytes",
                    "OK\n4000001",
                ),
            ],
        })
        .await;
    }
}
