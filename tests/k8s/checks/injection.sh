# An application that knows of no mesh, in a namespace with a label.
# shellcheck shell=bash disable=SC2016,SC2154
shop="$space-shop"
s() { "$here/kubectl" -n "$shop" "$@"; }
from() { s exec "deployment/$1" -c "$1" -- /probe get "${@:2}"; } # who, URL, times

# Of the chart as it stands after the checks before, or of its own where only these are asked for.
mesh_is_up() {
  of_chart status weft >/dev/null 2>&1 && return 0
  strip -o "$said/meshctl" "$bin/meshctl"
  weft_image control-plane weft-control-plane "$said/meshctl:/meshctl"
  proxy_image
  "$here/kubectl" apply --server-side -f "$gateway/standard.yaml"
  of_chart install weft "$charts/weft" --values "$charts/golden/throwaway.values.yaml" --set source=kubernetes \
    --set config.manifests=null --wait --timeout 120s
}
is_trusted() { # mutating or validating
  "$here/kubectl" get "$1webhookconfiguration" "weft-control-plane-$space-mesh" -o json |
    jq -e '.webhooks | all(.clientConfig.caBundle != null)'
}

# Policies first: the pods' probes are to pass while every port is closed.
shop_is_injected() {
  mesh_is_up
  soon is_trusted mutating
  "$here/kubectl" create namespace "$shop"
  "$here/kubectl" label namespace "$shop" weft.mesh/inject=enabled
  sed "s/SPACE/$shop/" "$here/checks/injected/policy.yaml" >"$said/shop-policy.yaml"
  s apply --validate=strict -f "$said/shop-policy.yaml"
  s apply --validate=strict -f "$here/checks/injected/shop.yaml"
  local what
  for what in deployment/{web,stranger,api-v1,api-v2} statefulset/db; do
    s rollout status "$what" --timeout=120s || { s get pods; s describe "$what" | tail -n 15; s logs "$what" -c weft-proxy --tail=20; false; }
  done
  s get pods -o json | jq -e '[.items[] | select(.status.containerStatuses | all(.restartCount == 0))
    | select(.spec.initContainers | map(.name) == ["weft-redirect", "weft-proxy"])] | length == 7'
}
probes_are_asked_by_the_proxy() {
  local pod
  pod="$(s get pod -l app=api,version=v2 -o jsonpath='{.items[0].metadata.name}')"
  s exec "$pod" -c api -- /probe touch /tmp/unready
  soon eval '[ "$(s get pod "$pod" -o json | jq -r ".status.conditions[] | select(.type == \"Ready\").status")" = False ]'
  s delete pod "$pod"
  s rollout status deployment/api-v2 --timeout=60s
}
shop_calls() {
  soon from web http://api/
  soon eval 's logs -l app=api -c weft-proxy --tail=50 | grep -F "\"peer\":\"spiffe://weft.local/ns/$shop/sa/web\""'
}
stranger_is_denied() {
  local said
  said="$(from stranger http://api/ 2>&1 || true)"
  echo "$said"
  grep "answered 403" <<<"$said"
  soon eval 's logs -l app=api -c weft-proxy --tail=50 | grep -F "sa/stranger" | grep -i "api-callers\|denied"'
  if s exec plain -- /probe get http://api/; then echo "a pod without a sidecar was let in"; return 1; fi
}
split_is_kept() {
  s apply --validate=strict -f "$here/checks/injected/split.yaml"
  # Until the route is there both versions share by their pods.
  soon eval '[ "$(from web http://api/ 60 | grep -c "^api-v2")" -lt 12 ]'
  from web http://api/ 1000 | sed 's/-[^-]*-[^-]*$//' | sort | uniq -c | tee "$said/split"
  awk '$2 == "api-v2" { share = $1 / 10 } END { print share " %"; exit !(share > 7 && share < 13) }' "$said/split"
}
# The kernel kills a container that takes more than its limit, with every request of everybody.
flood_kills_no_sidecar() {
  s apply --validate=strict -f "$here/checks/injected/small.yaml"
  s rollout status deployment/small --timeout=60s
  local pod said_of_it flood
  pod="$(s get pod -l app=small -o jsonpath='{.items[0].metadata.name}')"
  s logs "$pod" -c weft-proxy | grep -F 'limit=50331648 of="container"'
  soon from web http://small/
  # Far more than there is room for, from somebody who is nobody.
  s exec plain -- /probe fill "$(s get pod "$pod" -o jsonpath='{.status.podIP}'):8080" 1500 60 10 >"$said/flood" 2>&1 & flood=$!
  is_refused() { said_of_it="$(from web http://small/ 2>&1 || true)"; grep "answered 503" <<<"$said_of_it"; }
  soon is_refused
  wait "$flood"
  cat "$said/flood"
  soon from web http://small/ 20
  s logs "$pod" -c weft-proxy | grep -F ' memory used=' | tail -n 5
  s get pod "$pod" -o json | jq -e '[.status.initContainerStatuses[], .status.containerStatuses[]] | all(.restartCount == 0)'
  s delete -f "$here/checks/injected/small.yaml"
}
# What a proxy has been told is in the pod, not in the container.
proxy_restarts_alone() {
  local pod task
  pod="$(s get pod -l app=web -o jsonpath='{.items[0].metadata.name}')"
  restarts() { s get pod "$pod" -o json | jq '[.status.initContainerStatuses[] | select(.name == "weft-proxy").restartCount] | add'; }
  in_mesh scale deployment/weft-control-plane --replicas=0
  in_mesh wait pod -l app.kubernetes.io/component=control-plane --for=delete --timeout=60s
  task="$("$here/inside" ctr -n k8s.io containers ls -q \
    "labels.\"io.kubernetes.pod.name\"==$pod,labels.\"io.kubernetes.container.name\"==weft-proxy")"
  "$here/inside" ctr -n k8s.io tasks kill --signal SIGKILL "$task"
  soon eval '[ "$(restarts)" = 1 ]'
  s wait "pod/$pod" --for=condition=Ready --timeout=60s
  soon from web http://api/
  from web http://api/ 50
  # Nobody was there to tell it.
  [ "$(in_mesh get pod -l app.kubernetes.io/component=control-plane -o name | wc -l)" = 0 ]
  in_mesh scale deployment/weft-control-plane --replicas=1
  in_mesh rollout status deployment/weft-control-plane --timeout=90s
}
job_and_redis() {
  "$here/image" weft.local/redis:1 "$state/images/redis.tar" "$(command -v redis-server)" "$(command -v redis-cli):/usr/bin/redis-cli"
  "$here/inside" ctr -n k8s.io images import "$state/images/redis.tar"
  s apply --validate=strict -f "$here/checks/injected/redis.yaml"
  s rollout status deployment/redis --timeout=90s
  s wait job/greet --for=condition=Complete --timeout=90s || { s describe job greet; s logs job/greet --all-containers --tail=20; false; }
}
# Twenty pods are replaced while web calls them all the time; every call is answered.
rollout_loses_nothing() {
  s scale deployment/api-v1 --replicas=20
  s rollout status deployment/api-v1 --timeout=180s
  : >"$said/loading"
  while [ -e "$said/loading" ]; do from web http://api/ 500 || { touch "$said/load.failed"; break; }; done \
    >"$said/load" 2>"$said/load.err" & local load=$!
  s rollout restart deployment/api-v1
  s rollout status deployment/api-v1 --timeout=240s
  rm "$said/loading"
  wait "$load"
  [ ! -e "$said/load.failed" ] || { tail -n 3 "$said/load.err"; s logs -l app=web -c weft-proxy --tail=8; false; }
  echo "$(wc -l <"$said/load") calls, answered by $(sort -u "$said/load" | wc -l) pods"
  [ "$(sort -u "$said/load" | wc -l)" -ge 20 ]
  s scale deployment/api-v1 --replicas=2
}
bad_objects_are_refused() {
  soon is_trusted validating
  local refused
  refused="$(sed 's#from: .*#from: [{ cidrs: [10.0.0.0/99] }] }]#' "$said/shop-policy.yaml" | s apply -f - 2>&1 || true)"
  echo "$refused"
  [[ "$refused" == *"validate.weft.mesh"*"denied the request: AuthorizationPolicy $shop/api-callers: spec.rules[0].from[0].cidrs[0]"* ]]
  refused="$(sed 's#rules: .*#rules: [{ matches: [{ path: { type: RegularExpression, value: "(" } }] }]#' "$here/checks/injected/split.yaml" | s apply -f - 2>&1 || true)"
  echo "$refused"
  [[ "$refused" == *"denied the request: HTTPRoute $shop/api: spec.rules[0].matches[0].path.value: this is not a regular expression"* ]]
  from web http://api/ 5
}
opted_out() {
  local refused
  refused="$(s run odd --image=weft.local/probe:1 --image-pull-policy=Never --annotations=weft.mesh/inject=maybe -- serve 2>&1 || true)"
  echo "$refused"
  [[ "$refused" == *"write enabled or disabled"* ]]
  s run plain --image=weft.local/probe:1 --image-pull-policy=Never --labels=weft.mesh/inject=disabled -- serve
  s run plain-too --image=weft.local/probe:1 --image-pull-policy=Never --annotations=weft.mesh/inject=disabled -- serve
  s wait pod/plain pod/plain-too --for=condition=Ready --timeout=60s
  s get pod plain plain-too -o json | jq -e '.items | all(.spec.initContainers == null)'
}
# By the name that a StatefulSet gives each, by the headless Service's, and by address: mTLS to the very pod, judged by its
# own policy, counted under its own name.
pods_by_themselves() {
  sed "s/SPACE/$shop/" "$here/checks/injected/pods.yaml" | s apply --validate=strict -f -
  local pod ips address
  for pod in db-0 db-1; do
    soon eval '[ "$(from web "http://$pod.db:8080/" 2>&1)" = "$pod" ]'
    [ "$(from web "http://$pod.db.$shop.svc.cluster.local:8080/")" = "$pod" ]
    ips="$(s get pod "$pod" -o json | jq -r '.status.podIPs[].ip')"
    for address in $ips; do
      [[ "$address" == *:* ]] && address="[$address]"
      [ "$(from web "http://$address:8080/")" = "$pod" ]
    done
    soon eval 's logs "$pod" -c weft-proxy | grep -F "\"peer\":\"spiffe://weft.local/ns/$shop/sa/web\""'
    soon eval 's logs -l app=web -c weft-proxy --tail=-1 | grep -F "\"service\":\"$shop/$pod.pod\""'
  done
  [[ "$(from web http://db:8080/)" == db-[01] ]]
  soon eval '(from stranger http://db-0.db:8080/ 2>&1 || true) | grep "answered 403"'
  if s exec plain -- /probe get http://db-0.db:8080/; then echo "a pod without a sidecar was let in"; return 1; fi
  # A pod that comes back has another address and the same name.
  s delete pod db-0
  s rollout status statefulset/db --timeout=60s
  soon eval '[ "$(from web http://db-0.db:8080/ 2>&1)" = db-0 ]'
}
# What goes over the pods' bridge in the clear, while web calls api and a pod by its name: packets that begin with "GET " or "HTTP" behind a TCP
# header with timestamps. And that a call without sidecars would be seen.
no_plaintext() {
  "$here/inside" nft -f - <<RULES
table bridge weft-check {
  chain seen {
    type filter hook forward priority 0; policy accept;
    ip protocol tcp @th,256,32 0x47455420 counter
    ip protocol tcp @th,256,32 0x48545450 counter
  }
}
RULES
  local count='.nftables[] | select(.rule) | .rule.expr[] | select(.counter) | .counter.packets'
  seen() { "$here/inside" nft --json list table bridge weft-check | jq "[$count] | add"; }
  from web http://api/ 50 >/dev/null
  from web http://db-1.db:8080/ 50 >/dev/null
  local meshed
  meshed="$(seen)"
  s exec plain -- /probe get "http://$(s get pod plain-too -o jsonpath='{.status.podIP}'):8080/" 5
  local plain
  plain="$(seen)"
  "$here/inside" nft delete table bridge weft-check
  echo "of 100 calls between sidecars $meshed packets began with GET or HTTP; of 5 calls without, $((plain - meshed))"
  [ "$meshed" = 0 ] && [ "$plain" -ge 10 ]
}
