# Pods and what becomes of them.
# shellcheck shell=bash disable=SC2016,SC2154
helm_installs() {
  "$helm/helm" --kubeconfig "$state/pki/admin.kubeconfig" -n "$space" install shop "$here/checks/shop" --wait --timeout 90s
  [ "$(k get deployment web -o jsonpath='{.status.readyReplicas}')" = 2 ]
  k wait pod/caller --for=condition=Ready --timeout=60s
}

two_families() {
  [ "$(k get node "$node" -o json | jq -r '[.status.addresses[] | select(.type == "InternalIP").address] | join(" ")')" = "$node4 $node6" ]
  [ "$(k get pod caller -o json | jq '.status.podIPs | length')" = 2 ]
}

logs_and_forward() {
  call get http://web/
  soon eval 'k logs -l app=web --tail=20 | grep "GET / from"'
  k port-forward deployment/web :8080 >"$said/forward" & local forward=$!
  soon grep -o '127.0.0.1:[0-9]*' "$said/forward"
  curl --silent --fail "http://$(grep -o '127.0.0.1:[0-9]*' "$said/forward" | head -n 1)/"
  kill "$forward"
}

ready_endpoints() {
  k get endpointslice -l kubernetes.io/service-name=web -o json |
    jq '[.items[] | select(.addressType == "IPv4").endpoints[]? | select(.conditions.ready)] | length'
}
unready() {
  local pod
  pod="$(k get pod -l app=web -o jsonpath='{.items[0].metadata.name}')"
  k exec "$pod" -- /probe touch /tmp/unready
  soon eval '[ "$(ready_endpoints)" = 1 ]'
  # kube-proxy follows the slice a moment later.
  soon eval "! call get http://web/ 8 | grep $pod"
  k delete pod "$pod"
  soon eval '[ "$(ready_endpoints)" = 2 ]'
}

rollout() {
  local before
  before="$(k get pod -l app=web -o name | sort)"
  k rollout restart deployment/web
  k rollout status deployment/web --timeout=60s
  soon eval '[ "$(k get pod -l app=web -o name | wc -l)" = 2 ]'
  [ -z "$(comm -12 <(echo "$before") <(k get pod -l app=web -o name | sort))" ]
}

sidecar_job() {
  k apply -f "$here/checks/sidecar-job.yaml"
  k wait job/errand --for=condition=Complete --timeout=60s
}

redirect() {
  "$here/image" weft.local/nft:1 "$state/images/nft.tar" "$(command -v nft)"
  "$here/inside" ctr -n k8s.io images import "$state/images/nft.tar"
  k apply -f "$here/checks/redirect.yaml"
  soon eval '[ "$(k get pod redirected -o jsonpath={.status.phase})" = Succeeded ]' || { k describe pod redirected; false; }
  [ "$(k logs redirected -c client)" = redirected ]
}
