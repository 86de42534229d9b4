# meshctl at somebody's desk: with a kubeconfig, through the API server, and nothing else.
# shellcheck shell=bash disable=SC2016,SC2154
desk() { "$bin/meshctl" --kubeconfig "${desk_config:-$state/pki/admin.kubeconfig}" --mesh-namespace "${desk_mesh:-$space-mesh}" "$@"; }

asked_by_kubeconfig() {
  local web
  web="$(s get pod -l app=web -o jsonpath='{.items[0].metadata.name}')"
  desk status -o json | jq -e '.proxies | any(.attached)'
  desk identity | grep -F "$shop/$web"
  desk endpoints "$shop/api" | grep healthy
  desk explain --from "$shop/$web" --to "api.$shop" GET / | tee /dev/stderr | grep delivered
}

result_of() { jq -r --arg id "$1" '.checks[] | select(.id == $id).result' "$said/checks.json"; }
nothing_fails() {
  desk check -o json >"$said/checks.json" || true
  [ "$(jq '[.checks[] | select(.result == "fails")] | length' "$said/checks.json")" = 0 ]
}
checked_by_kubeconfig() {
  soon nothing_fails || { desk check; false; }
  desk check
  local id
  for id in api-version weft-kinds control-plane-answers lease-held webhooks-trusted injector-answers validator-answers proxies-attached; do
    [ "$(result_of $id)" = holds ] || { echo "$id: $(result_of $id)"; return 1; }
  done
  # Two pods of the shop have said that they want no proxy, which is no finding.
  [ "$(result_of pods-meshed)" = holds ]
  # Whoever may not forward a port is told which right that takes, and everything that needs none is still checked.
  k create serviceaccount visitor
  k create clusterrolebinding "$space-visitor" --clusterrole=view --serviceaccount="$space:visitor"
  "$here/kubectl" config view --raw -o json | jq --arg token "$(k create token visitor)" '.users[0].user = {token: $token}' >"$said/visitor"
  desk_config="$said/visitor" desk check -o json >"$said/checks.json" && return 1
  k delete clusterrolebinding "$space-visitor"
  [ "$(result_of control-plane-runs)" = holds ] && [ "$(result_of control-plane-answers)" = fails ]
  jq -r '.checks[] | select(.id == "control-plane-answers").found' "$said/checks.json" | tee /dev/stderr | grep -F pods/portforward
}

policies_of_validator() {
  "$here/kubectl" get validatingwebhookconfiguration "weft-control-plane-${desk_mesh:-$space-mesh}" -o json |
    jq -r '.webhooks[] | "\(.name)=\(.failurePolicy)"' | paste -sd' '
}
validator_is_proven() {
  soon eval '[ "$(policies_of_validator)" = "validate.weft.mesh=Fail validate-own.weft.mesh=Ignore" ]' || { policies_of_validator; false; }
  # Nothing came of trying.
  [ "$("$here/kubectl" -n "$space-mesh" get authorizationpolicies.weft.mesh -o name | wc -l)" = 0 ]
  # Without anybody who could be asked, nothing is taken.
  in_mesh scale deployment/weft-control-plane --replicas=0
  in_mesh wait pod -l app.kubernetes.io/component=control-plane --for=delete --timeout=60s
  local refused
  refused="$(sed 's/name: /name: another-/' "$said/shop-policy.yaml" | s apply --dry-run=server -f - 2>&1 || true)"
  echo "$refused"
  in_mesh scale deployment/weft-control-plane --replicas=1
  in_mesh rollout status deployment/weft-control-plane --timeout=90s
  [[ "$refused" == *"validate.weft.mesh"* ]]
}

# A validator answers once it has been tried, which takes a moment.
all_answer() {
  nothing_fails && [ "$(result_of control-plane-answers)" = holds ] && [ "$(result_of validator-answers)" = holds ]
}
installed_without_helm() {
  # What runs in these two is of the mesh that ends here, and trusts no other.
  "$here/kubectl" delete namespace "$shop" "$calm" --ignore-not-found --timeout=120s
  of_chart uninstall weft --wait
  local desk_mesh="$space-own" set="--set image.repository=weft.local/control-plane --set image.tag=1 --set image.pullPolicy=Never
    --set proxy.image.repository=weft.local/proxy --set proxy.image.tag=1 --set proxy.image.pullPolicy=Never"
  desk check --pre
  # shellcheck disable=SC2086
  desk install $set --apply
  # A second time is an upgrade.
  # shellcheck disable=SC2086
  desk install $set --set log.level=debug --apply | tail -n 4
  "$here/kubectl" -n "$desk_mesh" rollout status deployment/weft-control-plane --timeout=120s
  soon all_answer || { desk check; false; }
  desk status
}

# Who calls without an identity is let in where a policy says so, and is named before somebody makes it strict.
strict_would_cut_off() {
  local stranger
  s apply --validate=strict -f "$here/checks/injected/open.yaml"
  soon s exec plain -- /probe get http://stranger/ 3
  stranger="$(s get pod -l app=stranger -o json | jq -r '[.items[] | select(.metadata.deletionTimestamp == null)][0].metadata.name')"
  plain_is_named() {
    desk check -o json >"$said/checks.json" || true
    [ "$(result_of strict-ready)" = doubtful ] &&
      jq -r '.checks[] | select(.id == "strict-ready").found' "$said/checks.json" | grep -F "$shop/plain calls $shop/$stranger"
  }
  soon plain_is_named || { desk check; false; }
  s delete -f "$here/checks/injected/open.yaml"
}
