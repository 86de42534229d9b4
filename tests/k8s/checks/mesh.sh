# A mesh in the cluster: the control plane by its chart, and two pods with sidecars.
# shellcheck shell=bash disable=SC2016,SC2154

# Programs of this checkout, without their symbols: an image of a tenth of the size.
weft_image() { # name, program, further files...
  local name="$1" program="$2"
  shift 2
  strip -o "$said/$program" "$bin/$program"
  "$here/image" "weft.local/$name:1" "$state/images/$name.tar" "$said/$program" "$@"
  "$here/inside" ctr -n k8s.io images import "$state/images/$name.tar"
}

# With what makes its rules, in a pod or on a node.
proxy_image() {
  local program
  for program in weft-cni weft-cni-agent; do strip -o "$said/$program" "$bin/$program"; done
  weft_image proxy weft-proxy "$(command -v nft):/usr/sbin/nft" "$said/weft-cni:/weft-cni" "$said/weft-cni-agent:/weft-cni-agent"
}

# At the restricted level of Pod Security, with a volume that outlives the pod.
control_plane_starts() {
  strip -o "$said/meshctl" "$bin/meshctl"
  weft_image control-plane weft-control-plane "$said/meshctl:/meshctl"
  k label namespace "$space-mesh" pod-security.kubernetes.io/enforce=restricted
  "$here/inside" rm -rf /var/lib/kubelet/weft-check
  "$here/inside" mkdir /var/lib/kubelet/weft-check
  k apply -f "$here/checks/mesh/volume.yaml"
  k apply -f "$here/checks/mesh/services.yaml"
  # What the directory source reads is what the API server gives: the Services with their addresses.
  k get service orders -o yaml >"$said/service.yaml"
  sed "s/NAMESPACE/$space/" "$here/checks/mesh/policy.yaml" >"$said/policy.yaml"
  of_chart install weft "$charts/weft" --values "$charts/golden/throwaway.values.yaml" --set state.persistent=true \
    --set-file 'config.manifests.service\.yaml'="$said/service.yaml" \
    --set-file 'config.manifests.policy\.yaml'="$said/policy.yaml" --wait --timeout 120s
  meshctl status
}
meshctl() { k -n "$space-mesh" exec deployment/weft-control-plane -- /meshctl "$@"; }

# Of which no API server tells: by a join token.
workload() { # name
  local token
  token="$(meshctl token create --workload "$space/$1" --service-account "$1" -o json | jq -r .token)"
  k create serviceaccount "$1"
  k create secret generic "$1" --from-literal="token=$token"
  as_pod "$1" workload.yaml
}
# Of which the API server tells: by its own token, for the control plane of this root.
pod() { # name
  k create serviceaccount "$1"
  as_pod "$1" pod.yaml "$(meshctl identity -o json | jq -er '.trust_domain + ":" + .roots[0].sha256')"
}
as_pod() { # name, file, root
  sed "s/NAME/$1/g; s/SPACE/$space/g; s/PINNED/${3:-}/; s/DISCOVERY/weft-control-plane.$space-mesh.svc.cluster.local:15010/" \
    "$here/checks/mesh/$2" | k apply --validate=strict -f -
}
both_attached() { meshctl status -o json | jq -e '[.proxies[] | select(.attached)] | length == 2'; }
join() { # workload or pod
  "$1" orders
  "$1" web
  k wait pod/orders pod/web --for=condition=Ready --timeout=120s ||
    { k describe pod orders web; k logs orders -c weft-proxy; false; }
  soon both_attached
}
sidecars_join() {
  proxy_image
  join workload
}

# The same address, asked by one who is let in and by one who is nobody.
calls_are_carried() {
  soon eval '[ "$(k exec web -c web -- /probe get http://orders/)" = orders ]'
  soon eval 'k logs orders -c weft-proxy | grep -F "\"peer\":\"spiffe://weft.local/ns/$space/sa/web\""'
  if call get http://orders/; then echo "a pod without a sidecar was let in"; return 1; fi
}

# The promise, in a cluster: it can be gone, and comes back as the one whom the sidecars trust.
control_plane_comes_back() {
  local before
  before="$(meshctl identity -o json | jq -ce .roots)"
  k -n "$space-mesh" scale deployment/weft-control-plane --replicas=0
  k -n "$space-mesh" wait pod -l app.kubernetes.io/component=control-plane --for=delete --timeout=60s
  k exec web -c web -- /probe get http://orders/ 20
  k -n "$space-mesh" scale deployment/weft-control-plane --replicas=1
  k -n "$space-mesh" rollout status deployment/weft-control-plane --timeout=90s
  soon both_attached
  [ "$(meshctl identity -o json | jq -ce .roots)" = "$before" ]
  k exec web -c web -- /probe get http://orders/ 5
}

# The other source: nobody registers, the API server tells of pods and policies, and the chart's role is what may be asked.
mesh_by_api_server() {
  k delete pod orders web
  k delete serviceaccount,secret orders web
  of_chart uninstall weft --wait
  of_chart install weft "$charts/weft" --values "$charts/golden/throwaway.values.yaml" --set source=kubernetes \
    --set config.manifests=null --wait --timeout 120s
  k apply -f "$said/policy.yaml"
  join pod
  meshctl status --all
  calls_are_carried
  # And it is followed: without its two policies everybody may.
  k delete -f "$said/policy.yaml"
  soon call get http://orders/
  # So are routes: what no rule of one matches is answered 404 and goes nowhere.
  k apply --validate=strict -f "$here/checks/mesh/route.yaml"
  soon eval '(k exec web -c web -- /probe get http://orders/ 2>&1 || true) | grep "answered 404"'
  [ "$(k exec web -c web -- /probe get http://orders/open/door)" = orders ]
  k delete -f "$here/checks/mesh/route.yaml"
  soon k exec web -c web -- /probe get http://orders/
  local words as="--as=system:serviceaccount:$space-mesh:weft-control-plane"
  for words in "get secrets" "list secrets" "list configmaps" "patch pods" "create pods/exec" "delete services"; do
    # shellcheck disable=SC2086
    [ "$(k auth can-i $words --all-namespaces "$as" || true)" = no ] || { echo "it may $words"; return 1; }
  done
}
