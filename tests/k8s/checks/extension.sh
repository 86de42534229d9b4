# What a control plane adds to an API server.
# shellcheck shell=bash disable=SC2016,SC2154
parcel() { # grams
  k apply -f - <<PARCEL
{ "apiVersion": "check.weft.local/v1", "kind": "Parcel", "metadata": { "name": "books" }, "spec": { "grams": $1 } }
PARCEL
}
crd() {
  k apply -f "$here/checks/crd.yaml"
  k wait crd/parcels.check.weft.local --for=condition=Established --timeout=30s
  soon parcel 500
  local refused
  refused="$(parcel 0 2>&1 || true)"
  [[ "$refused" == *"a parcel weighs something"* ]]
  k patch parcel books --subresource=status --type=merge -p '{"status":{"arrived":true}}'
  [ "$(k get pcl books -o jsonpath='{.status.arrived}')" = true ]
  k get parcels | grep GRAMS
}

webhook() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=webhook \
    -addext "subjectAltName=DNS:webhook.$space.svc" -keyout "$said/tls.key" -out "$said/tls.crt"
  k create secret tls webhook --cert="$said/tls.crt" --key="$said/tls.key"
  # Its pod first, and ready: a webhook that nobody serves yet refuses what it is asked about.
  sed "s/NAMESPACE/$space/; s/CA_BUNDLE/$(base64 -w0 "$said/tls.crt")/" "$here/checks/webhook.yaml" >"$said/webhook.yaml"
  k apply -f "$said/webhook.yaml"
  k wait pod/webhook --for=condition=Ready --timeout=60s
  soon eval 'k create configmap seen-$RANDOM -o json | jq -e ".metadata.annotations[\"seen-by\"] == \"the webhook\""'
}

lease() {
  k create -f - <<LEASE
{ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "check" }, "spec": { "holderIdentity": "one" } }
LEASE
  k get lease check -o json >"$said/stale.json"
  k patch lease check --type=merge -p '{"spec":{"holderIdentity":"two"}}'
  local refused
  refused="$(jq '.spec.holderIdentity = "one"' "$said/stale.json" | k replace -f - 2>&1 || true)"
  echo "$refused"
  [[ "$refused" == *"the object has been modified"* ]]
}
