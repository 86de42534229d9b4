# Who a pod is, as the API server tells it, and what it may do.
# shellcheck shell=bash disable=SC2016,SC2154
review() { # token, audience
  k create -o json -f - <<REVIEW
{ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": "$1", "audiences": ["$2"] } }
REVIEW
}

token_review() {
  local token
  token="$(k create token caller --audience mesh.check --duration 10m)"
  review "$token" mesh.check | jq -e ".status | .authenticated and .audiences == [\"mesh.check\"]
    and .user.username == \"system:serviceaccount:$space:caller\""
  review "$token" other.check | jq -e '.status.authenticated != true'
  review "${token%?????}AAAAA" mesh.check | jq -e '.status.authenticated != true'
}

projected_token() {
  local token uid
  k apply -f "$here/checks/token.yaml"
  k wait pod/bearer --for=condition=Ready --timeout=60s
  uid="$(k get pod bearer -o jsonpath='{.metadata.uid}')"
  token="$("$here/inside" cat "/var/lib/kubelet/pods/$uid/volumes/kubernetes.io~projected/token/token")"
  review "$token" mesh.check | jq -e ".status.user.extra | .[\"authentication.kubernetes.io/pod-name\"] == [\"bearer\"]
    and .[\"authentication.kubernetes.io/pod-uid\"] == [\"$uid\"]"
  k delete pod bearer
  # The API server remembers a good answer for ten seconds.
  soon eval 'review "$token" mesh.check | jq -e ".status.authenticated != true"'
}

least_rights() {
  local as="--as=system:serviceaccount:$space:caller"
  [ "$(k auth can-i list pods "$as" || true)" = no ]
  k create role sees-pods --verb=list --resource=pods
  k create rolebinding sees-pods --role=sees-pods --serviceaccount="$space:caller"
  soon eval "[ \"\$(k auth can-i list pods $as || true)\" = yes ]"
  [ "$(k auth can-i list secrets "$as" || true)" = no ]
}

pod_security() {
  k create namespace "$space-restricted"
  k label namespace "$space-restricted" pod-security.kubernetes.io/enforce=restricted
  # A namespace has its default service account a moment after itself; until then the pod is refused for that.
  soon eval '(k -n "$space-restricted" apply -f "$here/checks/redirect.yaml" 2>&1 || true) |
    grep "violates PodSecurity .restricted"'
  "$here/kubectl" delete namespace "$space-restricted" --wait=false
}
