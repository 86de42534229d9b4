# What several control planes do for each other: statuses, a Lease, an identity that outlives any of them.
# shellcheck shell=bash disable=SC2016,SC2154

in_mesh() { k -n "$space-mesh" "$@"; }
replicas_up() { in_mesh rollout status deployment/weft-control-plane --timeout=120s; }
holder() { in_mesh get lease weft-control-plane -o jsonpath='{.spec.holderIdentity}'; }
# Of a route, our entry: `Accepted=True/Accepted ResolvedRefs=…`
conditions() { # kind/name
  k get "$1" -o json | jq -r '[((.status.parents // [])[] | select(.controllerName == "weft.mesh/controller") | .conditions),
    (.status.conditions // [])] | add // [] | map("\(.type)=\(.status)/\(.reason)") | join(" ")'
}
says() { # kind/name, what
  local said
  said="$(conditions "$1")"
  [[ "$said" == *"$2"* ]] || { echo "$1: $said"; return 1; }
}
# Calls go on in the background; every one has to be answered.
calls_go_on() { # file
  : >"$1"
  while [ -e "$1" ]; do k exec web -c web -- /probe get http://orders/ 20 || echo "a call failed" >>"$1.failed"; done \
    >"$1.said" 2>&1 &
}
no_call_failed() { # file, the process that calls
  rm -f "$1"
  wait "$2"
  [ ! -e "$1.failed" ] || { tail -n 20 "$1.said"; return 1; }
}

statuses_are_written() {
  local other
  k apply --validate=strict -f "$here/checks/mesh/route.yaml"
  soon says httproute/orders "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs Programmed=True/Programmed"
  # Somebody else says something too, and it stays when ours changes.
  other="$(k get httproute orders -o json | jq -c '{status: {parents: (.status.parents + [.status.parents[0] |
    .controllerName = "example.com/other"])}}')"
  k patch httproute orders --subresource=status --type=merge -p "$other"
  k patch httproute orders --type=json \
    -p '[{"op": "replace", "path": "/spec/rules/0/backendRefs/0/name", "value": "nobody"}]'
  soon says httproute/orders "ResolvedRefs=False/BackendNotFound"
  k get httproute orders -o json | jq -e '.metadata.generation as $g | [.status.parents[]] |
    length == 2 and any(.controllerName == "example.com/other") and
    all(.[] | select(.controllerName == "weft.mesh/controller") | .conditions[]; .observedGeneration == $g)'
  # Of what nobody can carry out there is an event, once.
  soon eval 'k get events.events.k8s.io -o json | jq -e "[.items[] | select(.regarding.name == \"orders\" and
    .reason == \"BackendNotFound\")] | length == 1"'
  # One from a time without a validator; where there is one, nobody gets so far.
  "$here/kubectl" delete validatingwebhookconfiguration "weft-control-plane-$space-mesh"
  cat >"$said/misspelt.yaml" <<EOF
apiVersion: weft.mesh/v1alpha1
kind: AuthorizationPolicy
metadata: { name: misspelt }
spec: { targetRefs: [{ kind: Service, name: nobody }], rules: [{ from: [{ serviceAccount: [$space/web] }] }] }
EOF
  # The API server forgets a webhook a moment after it is gone.
  soon k apply -f "$said/misspelt.yaml"
  soon says authorizationpolicy.weft.mesh/misspelt "Accepted=False/Invalid"
  k delete authorizationpolicy.weft.mesh misspelt
  # Nothing is written where nothing changes.
  local before
  sleep 3
  before="$(k get httproute orders -o jsonpath='{.metadata.resourceVersion}')"
  sleep 5
  [ "$(k get httproute orders -o jsonpath='{.metadata.resourceVersion}')" = "$before" ]
  k delete -f "$here/checks/mesh/route.yaml"
}

two_replicas_serve() {
  of_chart upgrade weft "$charts/weft" --reuse-values --set replicas=2 --wait --timeout 120s
  replicas_up
  local pod
  # Each of them is the same mesh.
  for pod in $(in_mesh get pods -l app.kubernetes.io/component=control-plane -o name); do
    in_mesh exec "$pod" -- /meshctl identity -o json | jq -ce .roots
  done | sort -u | wc -l | grep -qx 1
  # Sidecars that come now go to either, and are let in by either.
  k delete pod orders web --wait
  as_pod orders pod.yaml "$(pinned_root)"
  as_pod web pod.yaml "$(pinned_root)"
  k wait pod/orders pod/web --for=condition=Ready --timeout=120s
  soon eval '[ "$(k exec web -c web -- /probe get http://orders/)" = orders ]'
}
pinned_root() { meshctl identity -o json | jq -er '.trust_domain + ":" + .roots[0].sha256'; }

holder_is_killed() {
  local before pod began caller
  k apply --validate=strict -f "$here/checks/mesh/route.yaml"
  k patch httproute orders --type=json -p '[{"op": "replace", "path": "/spec/rules/0/matches/0/path/value", "value": "/"}]'
  soon says httproute/orders "Programmed=True"
  calls_go_on "$said/calls"
  caller=$!
  before="$(holder)"
  pod="${before%_*}"
  # With no moment to say goodbye in.
  pod="$(in_mesh get pod "$pod" -o jsonpath='{.status.containerStatuses[0].containerID}')"
  "$here/inside" ctr -n k8s.io tasks kill --signal SIGKILL "${pod#containerd://}"
  began=$SECONDS
  # The API server may ask the one that was killed, until it hears of that: nothing is taken that nobody has looked at.
  soon k patch httproute orders --type=json \
    -p '[{"op": "add", "path": "/spec/rules/0/backendRefs/1", "value": {"name": "nobody", "port": 80, "weight": 0}}]'
  soon says httproute/orders "ResolvedRefs=False/BackendNotFound"
  echo "another wrote after $((SECONDS - began)) s"
  [ $((SECONDS - began)) -le 15 ]
  [ "$(holder)" != "$before" ]
  no_call_failed "$said/calls" "$caller"
  k delete -f "$here/checks/mesh/route.yaml"
  replicas_up
}

control_plane_is_replaced() {
  local caller
  calls_go_on "$said/calls"
  caller=$!
  in_mesh rollout restart deployment/weft-control-plane
  replicas_up
  soon k exec web -c web -- /probe get http://orders/
  no_call_failed "$said/calls" "$caller"
}

# Its proxies are some of one replica's and some of the other's, and the next root signs when all of them know it.
root_is_replaced() {
  local lead other refused caller
  # Those that were replaced have gone, and none of them is believed to hold the Lease.
  soon two_are_left
  lead="$(holder)" lead="pod/${lead%_*}"
  other="$(in_mesh get pods -l app.kubernetes.io/component=control-plane -o name | grep -vx "$lead" | head -n 1)"
  refused="$(in_mesh exec "$other" -- /meshctl rotate prepare 2>&1 || true)"
  [[ "$refused" == *"does not hold the Lease"* ]] || { echo "$refused"; return 1; }
  calls_go_on "$said/calls"
  caller=$!
  in_mesh exec "$lead" -- /meshctl rotate prepare --wait=60s
  # A proxy that comes over from a replica that was replaced has not said yet what it trusts, and is waited for.
  soon in_mesh exec "$lead" -- /meshctl rotate activate
  soon eval '[ "$(roots_of "$lead")" = "$(roots_of "$other")" ]'
  roots_of "$lead" | jq -e 'length == 2'
  sleep 5
  no_call_failed "$said/calls" "$caller"
}
two_are_left() {
  local pods holds
  pods="$(in_mesh get pods -l app.kubernetes.io/component=control-plane -o name)" holds="$(holder)"
  [ "$(wc -l <<<"$pods")" = 2 ] && grep -qx "pod/${holds%_*}" <<<"$pods"
}
roots_of() { in_mesh exec "$1" -- /meshctl identity -o json | jq -ceS '.roots | map({sha256, phase})'; }

secret_is_deleted() {
  local before
  before="$(in_mesh get secret weft-identity -o json | jq -cS .data)"
  in_mesh delete secret weft-identity
  k exec web -c web -- /probe get http://orders/ 5
  soon eval '[ "$(in_mesh get secret weft-identity -o json | jq -cS .data)" = "$before" ]'
  in_mesh logs -l app.kubernetes.io/component=control-plane --tail=-1 | grep "is not kept as it is in force"
  # Nor is what somebody has written over it believed.
  in_mesh patch secret weft-identity --type=merge -p '{"data": {"records": "bm9uc2Vuc2U="}}'
  soon eval '[ "$(in_mesh get secret weft-identity -o json | jq -cS .data)" = "$before" ]'
  k exec web -c web -- /probe get http://orders/ 5
  # With nobody there to put it back, no second root is minted.
  in_mesh scale deployment/weft-control-plane --replicas=0
  in_mesh wait pod -l app.kubernetes.io/component=control-plane --for=delete --timeout=60s
  in_mesh get secret weft-identity -o json | jq 'del(.metadata.resourceVersion, .metadata.uid)' >"$said/identity.json"
  in_mesh delete secret weft-identity
  in_mesh scale deployment/weft-control-plane --replicas=1
  soon eval 'in_mesh logs -l app.kubernetes.io/component=control-plane --tail=-1 | grep "remembers a mesh of the root"'
  if in_mesh get secret weft-identity; then echo "a second root was minted"; return 1; fi
  in_mesh create -f "$said/identity.json"
  replicas_up
  [ "$(in_mesh get secret weft-identity -o json | jq -cS .data)" = "$before" ]
  k exec web -c web -- /probe get http://orders/ 5
}
