//! Servers that speak before their client has said anything, as those of mail do, with curl and Python's library.

use crate::lab::{BY_PORT, Family, Lab, Plan, Port, Trial, Way, program_file};

const HOSTS: &[(&str, &[Port])] = &[
    ("web", &[]),
    (
        "server",
        &[
            Port("mail", 25, 2525, Some("tcp")),
            // Nobody says what it speaks: the silence of the client has to tell.
            Port("unsaid", 26, 2526, None),
        ],
    ),
];

const BY_MESH: &[Way] = &[Way::ByAddress, Way::ByName, Way::FixedPort];

#[tokio::test]
async fn a_client_that_waits_for_a_banner_gets_it_and_delivers_its_mail() {
    for family in Family::BOTH {
        let plan = Plan::pair("server-first protocols", &["python:grpc"], HOSTS).in_family(family);
        let Some(mut lab) = Lab::build(plan).await else { return };
        for (name, port) in [("mail", 2525), ("unsaid", 2526)] {
            lab.start("server", name, &format!("PYTHON {} {port}", program_file("banner.py")));
            lab.listens("server", port).await;
        }
        let library = "PYTHON -c \"
import smtplib
mail = smtplib.SMTP('HOST', PORT, timeout=20)
mail.helo()
print(mail.sendmail('a@shop', ['b@shop'], 'x' * 70 + '\\\\r\\\\n'), mail.quit())\"";
        // Straight to a port that nobody has declared, a silent client has ten seconds to say something before it is refused.
        for (service, ways) in [("mail", BY_PORT), ("unsaid", BY_MESH)] {
            lab.try_every_way(Trial {
                service,
                ways,
                lines: &[
                    ("exec 3<>/dev/tcp/HOST/PORT; head --lines=1 <&3", "220 mail.shop ready"),
                    (library, "{} (221, b'bye')"),
                ],
            })
            .await;
        }
    }
}
