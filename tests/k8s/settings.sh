# What the scripts of this folder agree on: versions, where things lie, addresses. Sourced, never run.
# shellcheck shell=bash disable=SC2034
export PATH="$PATH:/usr/sbin:/sbin:/usr/local/go/bin"
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

# Everything that a running cluster has on disk. `down` leaves only the log/ in it.
state="${WEFT_K8S_STATE:-/var/lib/weft-k8s}"
# Programs, one folder a version, built once and kept for every checkout and every run.
cache="${XDG_CACHE_HOME:-$HOME/.cache}/weft-k8s"

# The version of a module as a go.mod pins it.
pinned() { awk -v module="$2" '$1 == "require" && $2 == module { print $3 } $1 == module && $2 ~ /^v/ { print $2 }' \
  "$here/programs/$1/go.mod" | head -n 1; }
kubernetes="$cache/kubernetes-$(pinned cluster k8s.io/kubernetes)"
etcd="$cache/etcd-$(pinned cluster go.etcd.io/etcd/server/v3)"
coredns="$cache/coredns-$(pinned coredns github.com/coredns/coredns)"
helm="$cache/helm-$(pinned helm helm.sh/helm/v3)"
# Kinds, and no program: what Weft's routes are written in.
gateway="$cache/gateway-api-$(pinned gateway-api sigs.k8s.io/gateway-api)"
# Our own two programs have no version; what they are made of stands for it.
workloads="$cache/workloads-$(cat "$here"/programs/workloads/{go.mod,*/*.go} | sha256sum | head -c 12)"

# Each program: the folder it is cached in, the go.mod it is built from, its package, its name.
programs() { cat <<PROGRAMS
$workloads workloads ./pause pause
$workloads workloads ./probe probe
$etcd cluster go.etcd.io/etcd/server/v3 etcd
$kubernetes cluster k8s.io/kubernetes/cmd/kube-apiserver kube-apiserver
$kubernetes cluster k8s.io/kubernetes/cmd/kube-controller-manager kube-controller-manager
$kubernetes cluster k8s.io/kubernetes/cmd/kube-scheduler kube-scheduler
$kubernetes cluster k8s.io/kubernetes/cmd/kubelet kubelet
$kubernetes cluster k8s.io/kubernetes/cmd/kube-proxy kube-proxy
$kubernetes cluster k8s.io/kubernetes/cmd/kubectl kubectl
$coredns coredns . coredns
$helm helm helm.sh/helm/v3/cmd/helm helm
PROGRAMS
}

# What is not cached yet, by name.
missing_programs() {
  programs | while read -r folder _ _ name; do [ -x "$folder/$name" ] || echo "$name"; done
  [ -s "$gateway/standard.yaml" ] || echo gateway-api
}

# What Debian brings, as command:package.
debian=(containerd:containerd runc:runc iptables:iptables nft:nftables ip:iproute2 unshare:util-linux openssl:openssl
  jq:jq curl:curl /usr/lib/cni/bridge:containernetworking-plugins)
missing_packages() {
  local pair
  for pair in "${debian[@]}"; do command -v "${pair%%:*}" >/dev/null || echo "${pair##*:}"; done
}

# The node lives in a network namespace of its own. One link joins it to this machine; it has no other way out.
namespace=weft-k8s
link4=10.243.0.0/30 host4=10.243.0.1 node4=10.243.0.2
link6=fd00:10:243::/126 host6=fd00:10:243::1 node6=fd00:10:243::2
pods4=10.244.0.0/24 bridge4=10.244.0.1
pods6=fd00:10:244::/64 bridge6=fd00:10:244::1
services4=10.96.0.0/16 apiserver4=10.96.0.1 dns4=10.96.0.10
services6=fd00:10:96::/112
node=weft-node
# The folder in every cgroup hierarchy under which the kubelet puts its pods.
cgroup=weft-k8s

# Whether root here may do what a node needs: root of a container often may not. Tried, and gone with the process.
may_have_a_node() {
  unshare --mount --propagation private --net --pid --fork --mount-proc -- sh -c '
    mount -t tmpfs tmpfs /run && mkdir /run/up /run/work && mount -t overlay -o lowerdir=/etc,upperdir=/run/up,workdir=/run/work \
      overlay /etc && ip link add cni0 type bridge && nft add table inet weft-check' >/dev/null 2>&1 &&
    [ -w "$(echo /sys/fs/cgroup/*/ | cut -d" " -f1)" ]
}

# Whether a process is still the one that was written down: ids come round again, ids with a starting time do not.
started() { awk '{ sub(/.*\) /, ""); print $20 }' "/proc/$1/stat" 2>/dev/null; }
remember() { echo "$1 $(started "$1")" >"$2"; }
# One that has ended and waits to be taken away keeps both, and is not alive.
alive() {
  local pid start
  [ -f "$1" ] && read -r pid start <"$1" && [ -n "$start" ] && [ "$(started "$pid")" = "$start" ] &&
    ! grep -q "^State:.*Z" "/proc/$pid/status" 2>/dev/null
}

# Seconds since a reading of $EPOCHREALTIME, to a tenth.
since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", to - from }'; }
