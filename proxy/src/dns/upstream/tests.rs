//! Servers that change, and servers that are gone.

use std::net::{Ipv4Addr, UdpSocket};

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, RecordType};

use super::super::question::Asked;
use super::*;

/// The servers in use, `seconds` after now.
fn servers_after(upstream: &Upstream, seconds: u64) -> Vec<IpAddr> {
    upstream.look_at_the_file(Instant::now() + Duration::from_secs(seconds));
    upstream.servers.load().ips.clone()
}

fn question(name: &str) -> Question {
    let mut message = Message::query();
    message.add_query(Query::query(name.parse::<Name>().unwrap(), RecordType::A));
    match Question::read(&message.to_vec().unwrap()) {
        Asked::Question(question) => question,
        _ => panic!("{name} is a question"),
    }
}

#[tokio::test]
async fn when_every_server_is_gone_the_last_good_answer_is_given_again() {
    // Bound and never read, so that nobody else answers there.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let upstream = Upstream::new(Some(&[silent.local_addr().unwrap()]), Path::new("unused"), &[]).unwrap();
    let known = Record::from_rdata(Name::root(), 1, RData::A(A(Ipv4Addr::new(192, 0, 2, 80))));
    upstream.last_good.remember("example.org", RecordType::A, std::slice::from_ref(&known), Instant::now());

    let Answer::Theirs { answers, .. } = upstream.ask(&question("example.org.")).await else {
        panic!("it was known")
    };
    assert_eq!(answers[0].data, known.data);
}

#[tokio::test]
async fn the_servers_of_the_system_are_read_again_when_their_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resolv.conf");
    let write = |text: &str, age: u64| {
        fs::write(&file, text).unwrap();
        let at = SystemTime::now() - Duration::from_secs(age);
        fs::File::options().write(true).open(&file).unwrap().set_modified(at).unwrap();
    };
    write("search shop.svc\nnameserver 192.0.2.1\n", 30);
    let upstream = Upstream::new(None, &file, &[]).unwrap();
    let ips = |list: &[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
    assert_eq!(servers_after(&upstream, 0), ips(&["192.0.2.1"]));
    write("nameserver 192.0.2.2\nnameserver 2001:db8::2\n", 20);
    assert_eq!(servers_after(&upstream, 1), ips(&["192.0.2.1"]), "not looked at on every question");
    assert_eq!(servers_after(&upstream, 10), ips(&["192.0.2.2", "2001:db8::2"]));
    write("nonsense\n", 10);
    assert_eq!(servers_after(&upstream, 20), ips(&["192.0.2.2", "2001:db8::2"]), "the old ones stay");
    fs::remove_file(&file).unwrap();
    assert_eq!(servers_after(&upstream, 30), ips(&["192.0.2.2", "2001:db8::2"]));
    assert!(matches!(Upstream::new(None, &file, &[]), Err(DnsError::NoSystemServers { .. })));
}
