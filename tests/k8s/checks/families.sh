# IPv6, in a cluster of both families: addresses of Services, what a pod's rules capture, and who is believed.
# shellcheck shell=bash disable=SC2016,SC2154

# The rules in a pod's own network, as the node sees them.
rules_of() { # pod, container
  local id pid
  id="$(s get pod "$1" -o json | jq -r --arg name "$2" '.status.containerStatuses[] | select(.name == $name).containerID')"
  pid="$("$here/inside" ctr -n k8s.io tasks ls | awk -v id="${id#containerd://}" '$1 == id { print $2 }')"
  "$here/inside" nsenter --target "$pid" --net nft --json list table inet weft
}
# Connections that were turned to the proxy; names are asked for at a port, and are not among them.
captured() {
  jq '[.nftables[] | select(.rule) | .rule.expr | select(any(.[]; .redirect)) |
    select(any(.[]; .match.left.payload.field? == "dport") | not) | .[] | select(.counter) | .counter.packets] | add'
}

services_by_six() {
  sed "s/SPACE/$shop/" "$here/checks/injected/six.yaml" | s apply --validate=strict -f -
  local six both web pod before
  six="$(s get service api-six -o jsonpath='{.spec.clusterIP}')"
  both="$(s get service api-both -o json | jq -r '.spec.clusterIPs[1]')"
  [[ "$six" == *:* && "$both" == *:* ]]
  [ "$(s get service api-six -o json | jq '.spec.clusterIPs | length')" = 1 ]
  web="$(s get pod -l app=web -o jsonpath='{.items[0].metadata.name}')"
  soon from web http://api-six/
  before="$(rules_of "$web" web | captured)"
  local address
  for address in api-six "[$six]" "[$both]" api-both; do
    [ "$(from web "http://$address/" 20 | grep -c '^api-v')" = 20 ] || { echo "http://$address/"; return 1; }
  done
  # They went through the proxy, and were told apart from plaintext by who called.
  pod="$(rules_of "$web" web)"
  echo "captured: $before, then $(captured <<<"$pod")"
  [ $(($(captured <<<"$pod") - before)) -ge 80 ]
  [ "$(jq -r '.nftables[] | select(.table).table.family' <<<"$pod")" = inet ]
  s logs -l app=web -c weft-proxy --tail=-1 | grep -F "\"service\":\"$shop/api-six\""
  s logs -l app=api -c weft-proxy --tail=400 | grep -F "\"peer\":\"spiffe://weft.local/ns/$shop/sa/web\""
  # Who has no identity is not let in by the other family either; and who has another is denied.
  if s exec plain -- /probe get "http://[$six]/"; then echo "a pod without a sidecar was let in"; return 1; fi
  (from stranger "http://[$six]/" 2>&1 || true) | grep "answered 403"
}
