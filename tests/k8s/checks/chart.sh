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
      k -n "$space-mesh" apply --dry-run=server --validate=strict -f -
  done
}
