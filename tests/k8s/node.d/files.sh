# A node's file system over this machine's: the folders where Kubernetes, containerd and CNI plugins write are the
# node's own, at the paths where every chart and every hostPath volume expects them. The machine's are not touched.
# shellcheck shell=bash
begin=$EPOCHREALTIME

# Pods' mounts have to be seen by kubelet and containerd alike (and by nobody outside of this namespace).
mount --make-rshared /

mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/state /run/lock
mount --bind "$state" /run/state
for folder in etc opt; do
  mkdir -p "/run/over/$folder/upper" "/run/over/$folder/work"
  mount -t overlay -o "lowerdir=/$folder,upperdir=/run/over/$folder/upper,workdir=/run/over/$folder/work" overlay "/$folder"
done
mount -t tmpfs -o mode=755 tmpfs /var/lib
# etcd in memory: a cluster that starts empty each time has nothing to keep.
mkdir /var/lib/etcd
for folder in kubelet containerd cni; do
  mkdir -p "/run/state/data/$folder" "/var/lib/$folder"
  mount --bind "/run/state/data/$folder" "/var/lib/$folder"
done
mkdir -p /run/state/log/node "$state"
mount --bind /run/state/log/node /var/log
[ "$state" -ef /run/state ] || mount --bind /run/state "$state"

# The kubelet sets these for the whole machine and never sets them back. It finds its values, written on paper.
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys \
  kernel/keys/root_maxbytes; do
  mkdir -p "/run/settings/$(dirname "$setting")"
  cat "/proc/sys/$setting" >"/run/settings/$setting"
  mount --bind "/run/settings/$setting" "/proc/sys/$setting"
done

for hierarchy in /sys/fs/cgroup/*/; do
  mkdir -p "$hierarchy$cgroup"
done

mkdir -p /opt/cni/bin /etc/cni/net.d /etc/kubernetes
ln -sf /usr/lib/cni/* /opt/cni/bin/
# No name outside of the cluster has an answer: pods that take their node's resolver get none.
: >/etc/kubernetes/resolv.conf
printf '127.0.0.1 localhost\n::1 localhost\n%s %s\n' "$node4" "$node" >/etc/hosts
printf '  %-24s %-36s %s\n' node "has its own file system" "$(since "$begin")"
