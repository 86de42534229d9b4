# A second installation in the same cluster: refused where somebody asks, and in nobody's way where nobody did.
# shellcheck shell=bash disable=SC2016,SC2154
second="$space-second"

second_is_refused() {
  local refused desk_mesh="$second"
  refused="$("$helm/helm" --kubeconfig "$state/pki/admin.kubeconfig" install weft "$charts/weft" -n "$second" --create-namespace 2>&1 || true)"
  echo "$refused"
  [[ "$refused" == *"another installation of Weft is in this cluster, in the namespace $space-mesh"* ]]
  refused="$(desk install --apply 2>&1 || true)"
  echo "$refused"
  [[ "$refused" == *"in the namespace $space-mesh: there is one in a cluster. Upgrade it with --mesh-namespace $space-mesh"* ]]
  if desk check --pre -o json >"$said/checks.json"; then echo "a second one would be let in"; return 1; fi
  [ "$(result_of one-installation)" = fails ]
  # Nothing of it was made.
  [ "$("$here/kubectl" get mutatingwebhookconfigurations,clusterroles -o name | grep -c "$second" || true)" = 0 ]
}

waits_for_second() {
  "$here/kubectl" get mutatingwebhookconfiguration "weft-control-plane-$second" -o json |
    jq -e '.webhooks | any(.failurePolicy != "Ignore" or .clientConfig.caBundle != null)'
}
status_of_route() { s get httproute api -o json | jq -cS '.status.parents'; }

# As GitOps applies it, which asks no API server first.
second_stands_back() {
  local caller pod before
  soon eval '[[ "$(status_of_route)" == *Programmed* ]]'
  before="$(status_of_route)"
  : >"$said/second"
  while [ -e "$said/second" ]; do from web http://api/ 20 || echo failed >>"$said/second.failed"; done >/dev/null 2>&1 & caller=$!
  "$here/kubectl" create namespace "$second" --dry-run=client -o yaml | "$here/kubectl" apply -f -
  "$helm/helm" template weft "$charts/weft" -n "$second" --kube-version "$(pinned cluster k8s.io/kubernetes)" \
    --values "$charts/golden/throwaway.values.yaml" --set source=kubernetes --set config.manifests=null >"$said/second.yaml"
  "$here/kubectl" apply -n "$second" -f "$said/second.yaml"
  "$here/kubectl" -n "$second" rollout status deployment/weft-control-plane --timeout=90s
  soon eval '"$here/kubectl" -n "$second" logs deployment/weft-control-plane | grep "was in this cluster before this one"'
  soon eval '! waits_for_second'
  # A pod that comes now is of the first.
  s rollout restart deployment/stranger
  s rollout status deployment/stranger --timeout=90s
  pod="$(s get pod -l app=stranger -o json | jq '[.items[] | select(.metadata.deletionTimestamp == null)][0]')"
  jq -e --arg of "weft-control-plane.$space-mesh.svc" \
    '[.spec.initContainers[] | select(.name == "weft-proxy").env[] | select(.value // "" | contains($of))] | length > 0' <<<"$pod"
  # Whoever asks is told, and nobody but the first writes what has become of a route.
  if desk check -o json >"$said/checks.json"; then echo "nobody is told of the second"; return 1; fi
  [ "$(result_of one-installation)" = fails ] && [ "$(result_of control-plane-answers)" = holds ]
  [ "$(status_of_route)" = "$before" ] || { echo "$before"; status_of_route; return 1; }
  rm "$said/second"
  wait "$caller"
  [ ! -e "$said/second.failed" ]
  "$here/kubectl" delete -n "$second" -f "$said/second.yaml" --wait=false
  "$here/kubectl" delete namespace "$second" --wait=false
  soon nothing_fails || { desk check; false; }
}
