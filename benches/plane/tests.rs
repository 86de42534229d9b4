use std::time::Duration;

use weft_tests::mesh::Mesh;

use crate::fleet::Fleet;
use crate::world::Shape;

/// Longer than a busy machine with two cores takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A mesh of a control plane in this process and posing proxies, of which so many can be stopped.
async fn mesh(proxies: usize, stoppable: usize) -> (Mesh, Fleet) {
    let shape = Shape::of(proxies);
    // Comparing everything with every change is other tests' business.
    let mesh = Mesh::start_with(&shape.manifests(), |config| config.paranoid = false).await;
    let operator = mesh.operator().clone();
    let token = move |workload, service_account| {
        let operator = operator.clone();
        async move {
            let request =
                weft_proto::v1::CreateTokenRequest { workload, service_account, uses: 1, lifetime_secs: 600 };
            Ok(operator.token(request).await?.token)
        }
    };
    let mut fleet = Fleet::enrol(shape, mesh.grpc_addr(), stoppable, token).await.unwrap();
    fleet.settled(PATIENCE).await.unwrap();
    (mesh, fleet)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_come_back_after_a_restart_and_hold_what_everybody_has_said() {
    let (mut mesh, mut fleet) = mesh(120, 0).await;
    assert_eq!(fleet.differences(PATIENCE).await.unwrap(), 0);
    mesh.stop().await;
    mesh.resume().await;
    fleet.settled(PATIENCE).await.unwrap();
    // What was said when nobody listened is heard too.
    fleet.change(3, false, 0).await.unwrap();
    fleet.change(3, true, 0).await.unwrap();
    assert_eq!(fleet.differences(PATIENCE).await.unwrap(), 0);
    assert_eq!(fleet.attached(), 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_thousands_of_changes_none_is_lost_whatever_is_merged() {
    let (_mesh, mut fleet) = mesh(60, 0).await;
    let churn = crate::spread::churn(16, fleet.reporters(), 1000, Duration::from_secs(2));
    let churn = tokio::spawn(churn);
    crate::spread::last_ones(&mut fleet, 4, Duration::from_millis(100), |_| true).await.unwrap();
    assert!(churn.await.unwrap() >= 2000);
    assert_eq!(fleet.differences(PATIENCE).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_told_while_some_do_not_read_and_these_are_told_when_they_go_on() {
    let (_mesh, mut fleet) = mesh(60, 6).await;
    fleet.stop(6);
    for nth in 0..12 {
        fleet.change(nth % 16, nth >= 16, 6).await.unwrap();
    }
    fleet.go_on(6);
    assert_eq!(fleet.differences(PATIENCE).await.unwrap(), 0);
}
