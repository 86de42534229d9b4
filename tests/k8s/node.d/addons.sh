# The one thing that every cluster has beside its components: names for Services.
# shellcheck shell=bash
begin=$EPOCHREALTIME
sed "s/DNS_ADDRESS/$dns4/" "$here/manifests/coredns.yaml" | kubectl apply -f - >>"$state/log/node.log" 2>&1 ||
  fail node "CoreDNS was not accepted"
dns_answers() { kubectl -n kube-system get deployment coredns -o json | jq -e '.status.availableReplicas == 1'; }
await kubelet "runs CoreDNS" dns_answers
