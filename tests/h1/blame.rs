//! Who is to blame for a request that breaks off: its sender, and nobody else.

use crate::client::Client;
use crate::lab::Lab;

/// More than any breaker bears in a row.
const BROKEN: usize = 60;

#[tokio::test]
async fn sixty_requests_that_break_off_open_no_breaker_for_the_one_that_does_not() {
    let lab = Lab::open().await;
    for lane in lab.lanes.iter().filter(|lane| !lane.in_pieces) {
        for nth in 0..BROKEN {
            let mut client = Client::connect(lane.addr).await;
            let head =
                format!("POST /{nth} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n", lane.host);
            client.send(head.as_bytes()).await;
            client.send(b"5\r\nhello\r\nno size\r\n").await;
            let response = client.response("POST", None).await.map(|response| response.status);
            assert_eq!(response, Ok(400), "{}: request {nth}", lane.name);
        }
        let mut client = Client::connect(lane.addr).await;
        client.send(format!("GET /good HTTP/1.1\r\nHost: {}\r\n\r\n", lane.host).as_bytes()).await;
        let response = client.response("GET", None).await;
        let body = response.as_ref().map(|response| response.body.as_slice());
        assert_eq!(body, Ok(&b"GET /good"[..]), "{}: {response:?}", lane.name);
    }
}
