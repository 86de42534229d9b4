# containerd with the images of this run, the kubelet, kube-proxy.
# shellcheck shell=bash
mkdir -p /etc/containerd
cat >/etc/containerd/config.toml <<CONTAINERD
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "weft.local/pause:1"
  disable_apparmor = true
  # Root without CAP_SYS_RESOURCE, as in many a container or virtual machine, may not go below its own score.
  restrict_oom_score_adj = true
  # runc refuses a hugetlb limit where no such hierarchy is mounted.
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
CONTAINERD
start containerd containerd
await containerd "answers" ctr version

begin=$EPOCHREALTIME
for archive in "$state"/images/*.tar; do
  ctr -n k8s.io images import "$archive" >>"$state/log/containerd.log" 2>&1 || fail containerd "did not take $archive"
done
printf '  %-24s %-36s %s\n' containerd "has the images" "$(since "$begin")"

cat >/etc/kubernetes/kubelet.yaml <<KUBELET
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node4
readOnlyPort: 0
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: $pki/ca.crt } }
authorization: { mode: Webhook }
tlsCertFile: $pki/kubelet-serving.crt
tlsPrivateKeyFile: $pki/kubelet-serving.key
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
# The machine may have cgroups v1 only, of which the kubelet has to be told that we know.
failCgroupV1: false
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: [$dns4]
resolvConf: /etc/kubernetes/resolv.conf
# A nearly full disk of a developer's machine is no reason to evict pods or to delete images that no registry has.
imageGCHighThresholdPercent: 100
evictionHard: { imagefs.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.inodesFree: "0%" }
KUBELET
start kubelet "$kubernetes/kubelet" --config /etc/kubernetes/kubelet.yaml --kubeconfig "$pki/kubelet.kubeconfig" \
  --hostname-override "$node" --node-ip "$node4,$node6"

cat >/etc/kubernetes/kube-proxy.yaml <<PROXY
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: { kubeconfig: $pki/kube-proxy.kubeconfig }
clusterCIDR: "$pods4,$pods6"
hostnameOverride: $node
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
# The size of the kernel's table is the machine's, not the node's, to set.
conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s }
PROXY
node_is_ready() { kubectl get node "$node" -o json | jq -e '.status.conditions[] | select(.type == "Ready").status == "True"'; }
await kubelet "reports the node ready" node_is_ready
start kube-proxy "$kubernetes/kube-proxy" --config /etc/kubernetes/kube-proxy.yaml
await kube-proxy "has written its rules" says_ok http://127.0.0.1:10256/healthz
