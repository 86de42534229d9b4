use std::cell::Cell;

use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::task::{JoinHandle, LocalSet};

use super::*;
use crate::drain::Drainer;
use crate::telemetry;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// A served connection whose answers count its requests.
fn served(drainer: &Drainer) -> (DuplexStream, JoinHandle<bool>) {
    let (client, server) = tokio::io::duplex(1 << 16);
    let (drain, metrics, count) = (drainer.drain(), telemetry::metrics(), Cell::new(0));
    let answer: Answer = Rc::new(move |_| {
        count.set(count.get() + 1);
        let body = Body::full(Bytes::from(format!("<{}>", count.get())));
        Box::pin(async move { Response::new(body) })
    });
    let task = tokio::task::spawn_local(async move {
        serve(Box::new(server), Http::H1, Client::Anybody, &metrics, &Memory::unlimited(), drain, answer)
            .await
            .is_ok()
    });
    (client, task)
}

async fn answer(client: &mut DuplexStream) -> String {
    let mut text = String::new();
    while !text.ends_with('>') {
        let byte = client.read_u8().await.unwrap();
        text.push(char::from(byte));
    }
    text
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_at_rest_is_served_as_before() {
    let talk = async {
        let drainer = Drainer::new();
        let (mut client, _task) = served(&drainer);
        for nth in 1..4 {
            client.write_all(GET).await.unwrap();
            assert!(answer(&mut client).await.ends_with(&format!("<{nth}>")));
            tokio::time::sleep(LONG).await;
        }
        // What wakes it may be the first byte of a head, or more than one request.
        client.write_all(b"G").await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.write_all(&GET[1..]).await.unwrap();
        assert!(answer(&mut client).await.ends_with("<4>"));
        tokio::time::sleep(LONG).await;
        client.write_all(&[GET, GET].concat()).await.unwrap();
        for nth in ["<5>", "<6>"] {
            assert!(answer(&mut client).await.ends_with(nth));
        }
    };
    LocalSet::new().run_until(talk).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_ends_with_its_client_and_when_draining_begins() {
    let talk = async {
        for drains in [false, true] {
            let drainer = Drainer::new();
            let (mut client, task) = served(&drainer);
            client.write_all(GET).await.unwrap();
            answer(&mut client).await;
            tokio::time::sleep(LONG).await;
            if drains {
                drainer.drain_within(Duration::from_secs(1)).await;
                assert_eq!(
                    client.read(&mut [0; 8]).await.unwrap(),
                    0,
                    "it hears that nothing more will come"
                );
            } else {
                drop(client);
            }
            assert!(task.await.unwrap());
        }
    };
    LocalSet::new().run_until(talk).await;
}
