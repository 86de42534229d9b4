# Services, by address and by name.
# shellcheck shell=bash disable=SC2016,SC2154
slices_fill() {
  soon eval 'k get endpointslice -l kubernetes.io/service-name=web -o json | jq -e "
    [.items[] | {key: .addressType, value: ([.endpoints[]? | select(.conditions.ready)] | length)}] | from_entries
    == {IPv4: 2, IPv6: 2}"'
}

# Sixteen connections each to one of two pods: that all fall to one has a chance of one in 32 768.
both_answer() { [ "$(call get "$1" 16 | sort -u | wc -l)" = 2 ]; }
address() { k get service web -o json | jq -r ".spec.clusterIPs[$1]"; }
by_address_4() { soon both_answer "http://$(address 0)/"; }
by_address_6() { soon both_answer "http://[$(address 1)]/"; }
by_name() {
  call get http://web/
  call get "http://web.$space/"
  call get "http://web.$space.svc.cluster.local./"
  [ "$(call resolve "web.$space.svc.cluster.local." | sort)" = "$(printf '%s\n' "$(address 0)" "$(address 1)" | sort)" ]
}

headless() {
  local pods
  pods="$(k get pod -l app=web -o json | jq -r '.items[].status.podIPs[0].ip' | sort)"
  soon eval '[ "$(call resolve web-each | grep -F . | sort)" = "'"$pods"'" ]'
}

hairpin() {
  local pod
  pod="$(k get pod -l app=web -o jsonpath='{.items[0].metadata.name}')"
  k exec "$pod" -- /probe get http://web/ 16 | grep -x "$pod"
}

no_such_name() {
  local begin=$SECONDS
  if call resolve example.com; then return 1; fi
  [ $((SECONDS - begin)) -lt 4 ]
}
