# The pod bridge and its plugins: bridge, host-local, portmap, loopback. No default route: what is neither a pod nor a
# Service nor this machine's end of the link cannot be reached, and cannot reach in.
# shellcheck shell=bash
begin=$EPOCHREALTIME
ip link set lo up
ip link add cni0 type bridge
ip address add "$bridge4/24" dev cni0
ip -6 address add "$bridge6/64" dev cni0 nodad
ip link set cni0 up
# Service addresses need some route, or the kernel refuses to send before kube-proxy's rules are asked.
ip route add "$services4" dev cni0
ip -6 route add "$services6" dev cni0
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
# Two pods on one bridge, talking by a Service's address: the answer has to pass kube-proxy's rules on its way back.
sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1

cat >/etc/cni/net.d/10-bridge.conflist <<CNI
{ "cniVersion": "0.4.0", "name": "pods", "plugins": [
  { "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false, "ipam": {
      "type": "host-local", "dataDir": "/run/cni/addresses",
      "ranges": [[{ "subnet": "$pods4", "gateway": "$bridge4" }], [{ "subnet": "$pods6", "gateway": "$bridge6" }]],
      "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }] } },
  { "type": "portmap", "capabilities": { "portMappings": true } } ] }
CNI
printf '  %-24s %-36s %s\n' node "has a pod bridge" "$(since "$begin")"
