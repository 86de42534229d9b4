# Weft's own chart, as the API server takes it.
# shellcheck shell=bash disable=SC2016,SC2154
charts="$(cd "$here/../../charts" && pwd)"
of_chart() { "$helm/helm" --kubeconfig "$state/pki/admin.kubeconfig" -n "$space-mesh" "$@"; }

chart_is_as_written() { HELM="$helm/helm" "$charts/check"; }

# Every field is one that the API server knows, and every object one that it would take.
chart_is_taken() {
  local values
  for values in "$charts"/golden/*.values.yaml "$charts/weft/values-ha.yaml"; do
    echo "$values"
    of_chart template weft "$charts/weft" --kube-version "$(pinned cluster k8s.io/kubernetes)" --values "$values" |
      sed "s/placeholder-cni/$space-mesh/" | "$here/kubectl" apply --dry-run=server --validate=strict -f -
  done
}

# As `helm install` would for its own, and a cluster's owner for the Gateway API. Then an object that is right, and two that
# are not.
kinds_are_taken() {
  "$here/kubectl" apply --server-side --validate=strict -f "$charts/weft/crds"
  "$here/kubectl" apply --server-side --validate=strict -f "$gateway/standard.yaml"
  "$here/kubectl" wait --for=condition=Established --timeout=30s -f "$charts/weft/crds"
  sed "s/NAMESPACE/$space/" "$here/checks/mesh/policy.yaml" >"$said/policy.yaml"
  soon k apply --dry-run=server --validate=strict -f "$said/policy.yaml"
  local refused
  refused="$(sed 's/action: Allow/action: Perhaps/' "$said/policy.yaml" | k apply --dry-run=server -f - 2>&1 || true)"
  echo "$refused"
  [[ "$refused" == *"spec.action: Unsupported value"* ]]
  refused="$(sed 's/mode: Strict/mood: Strict/' "$said/policy.yaml" | k apply --dry-run=server -f - 2>&1 || true)"
  echo "$refused"
  [[ "$refused" == *"spec.mtls.mode: Required value"* ]]
}
