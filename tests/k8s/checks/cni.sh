# Pods whose rules the node makes: a plugin behind the cluster's own, and what becomes of pods that start without it.
# shellcheck shell=bash disable=SC2016,SC2154
calm="$space-calm" agents="$space-cni"
c() { "$here/kubectl" -n "$calm" "$@"; }
plugins() { "$here/inside" cat /etc/cni/net.d/10-bridge.conflist | jq -c '[.plugins[].type]'; }
agent_says() { "$here/kubectl" -n "$agents" logs daemonset/weft-cni --tail=-1; }
agent_counts() { # metric
  local pod
  pod="$("$here/kubectl" -n "$agents" get pods -o jsonpath='{.items[0].status.podIP}')"
  "$here/inside" curl --silent --fail --max-time 5 "http://$pod:15023/metrics" | awk -v name="$1" '$1 == name { print $2 }'
}
calm_pod() { # name, its account
  sed "s/NAME/$1/g; s/ACCOUNT/$2/g" "$here/checks/cni/pod.yaml" | c apply --validate=strict -f -
}

# Nothing in these pods may have a right, and the namespace would refuse one that has.
rules_by_the_node() {
  mesh_is_up
  "$here/kubectl" create namespace "$agents"
  of_chart upgrade weft "$charts/weft" --reuse-values --set cni.enabled=true --set cni.namespace="$agents" --wait --timeout 120s
  "$here/kubectl" -n "$agents" rollout status daemonset/weft-cni --timeout=60s ||
    { "$here/kubectl" -n "$agents" get pods; agent_says; false; }
  [ "$(plugins)" = '["bridge","portmap","weft-cni"]' ]
  "$here/kubectl" create namespace "$calm"
  "$here/kubectl" label namespace "$calm" weft.mesh/inject=enabled pod-security.kubernetes.io/enforce=restricted
  c apply --validate=strict -f "$here/checks/cni/shop.yaml"
  calm_pod caller caller
  calm_pod called called
  c wait pod/caller pod/called --for=condition=Ready --timeout=90s ||
    { c describe pod caller; c logs caller -c weft-proxy --tail=20; agent_says; false; }
  c get pods -o json | jq -e '.items | all(.spec.initContainers | map(.name) == ["weft-proxy"])'
  soon eval '[ "$(c exec caller -c app -- /probe get http://called/)" = called ]'
  soon eval 'c logs called -c weft-proxy | grep -F "\"peer\":\"spiffe://weft.local/ns/$calm/sa/caller\""'
  if call get "http://called.$calm/"; then echo "a pod without a sidecar was let in"; return 1; fi
  [ "$(agent_counts weft_cni_rules_made_total)" -ge 2 ]
  # Whatever writes the configuration anew does not write us out of it for long.
  "$here/inside" sh -c 'jq "del(.plugins[2])" /etc/cni/net.d/10-bridge.conflist >/tmp/anew && cp /tmp/anew /etc/cni/net.d/10-bridge.conflist'
  soon eval '[ "$(plugins)" = "[\"bridge\",\"portmap\",\"weft-cni\"]" ]'
}

# The node without its agent: a pod starts, finds that nothing is captured, says so, and runs nothing. The agent comes back,
# and the same pod goes on.
uncaptured_pods_wait() {
  "$here/kubectl" -n "$agents" patch daemonset weft-cni --type=merge -p '{"spec":{"template":{"spec":{"nodeSelector":{"nowhere":"at-all"}}}}}'
  soon eval '[ "$(plugins)" = "[\"bridge\",\"portmap\"]" ]'
  "$here/kubectl" -n "$agents" wait pod --all --for=delete --timeout=60s
  calm_pod late caller
  soon eval 'c logs late -c weft-proxy | grep "do not come to the proxy"'
  sleep 5
  c get pod late -o json | jq -e '.status.containerStatuses | all(.started != true and .restartCount == 0)'
  soon eval 'c get events -o json | jq -e "[.items[] | select(.involvedObject.name == \"late\" and .reason == \"Unhealthy\")] | length > 0"'
  # Who is of no mesh is not kept waiting.
  k run unmeshed --image=weft.local/probe:1 --image-pull-policy=Never -- serve
  k wait pod/unmeshed --for=condition=Ready --timeout=60s
  "$here/kubectl" -n "$agents" patch daemonset weft-cni --type=json -p '[{"op": "remove", "path": "/spec/template/spec/nodeSelector/nowhere"}]'
  c wait pod/late --for=condition=Ready --timeout=90s || { c describe pod late; c logs late -c weft-proxy --tail=20; agent_says; false; }
  c get pod late -o json | jq -e '[.status.containerStatuses[], .status.initContainerStatuses[]] | all(.restartCount == 0)'
  agent_says | grep "had started without its rules"
  [ "$(agent_counts weft_cni_rules_repaired_total)" -ge 1 ]
  [ "$(c exec late -c app -- /probe get http://called/)" = called ]
}
