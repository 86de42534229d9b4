# etcd, the API server, and the two that work through it. What they listen on lies in the node's network namespace.
# shellcheck shell=bash
pki="$state/pki"

start etcd "$etcd/etcd" --data-dir /var/lib/etcd --unsafe-no-fsync --log-level warn \
  --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
  --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
  --initial-cluster default=http://127.0.0.1:2380
await etcd "answers" says_ok http://127.0.0.1:2379/health

start kube-apiserver "$kubernetes/kube-apiserver" --etcd-servers http://127.0.0.1:2379 \
  --advertise-address "$node4" --bind-address "$node4" --service-cluster-ip-range "$services4,$services6" \
  --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
  --kubelet-certificate-authority "$pki/ca.crt" --kubelet-client-certificate "$pki/apiserver-to-kubelet.crt" \
  --kubelet-client-key "$pki/apiserver-to-kubelet.key" --kubelet-preferred-address-types InternalIP \
  --service-account-issuer https://kubernetes.default.svc.cluster.local \
  --service-account-key-file "$pki/service-accounts.pub" --service-account-signing-key-file "$pki/service-accounts.key" \
  --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged=true
await kube-apiserver "is ready" says_ok "https://$node4:6443/readyz"

start kube-controller-manager "$kubernetes/kube-controller-manager" --bind-address 127.0.0.1 --leader-elect=false \
  --kubeconfig "$pki/controller-manager.kubeconfig" --authentication-kubeconfig "$pki/controller-manager.kubeconfig" \
  --authorization-kubeconfig "$pki/controller-manager.kubeconfig" --use-service-account-credentials \
  --root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/service-accounts.key" \
  --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" \
  --cluster-cidr "$pods4,$pods6" --service-cluster-ip-range "$services4,$services6"
start kube-scheduler "$kubernetes/kube-scheduler" --bind-address 127.0.0.1 --leader-elect=false \
  --kubeconfig "$pki/scheduler.kubeconfig" --authentication-kubeconfig "$pki/scheduler.kubeconfig" \
  --authorization-kubeconfig "$pki/scheduler.kubeconfig"
await kube-controller-manager "is healthy" says_ok https://127.0.0.1:10257/healthz
await kube-scheduler "is healthy" says_ok https://127.0.0.1:10259/healthz
