# An overlay's other hosts, each a network namespace, joined with this one only when its own container is there: a link
# to them takes a module. The case's functions for container() of containers.sh; in $step and $network what it says.

# Busybox prefers its own.
ip() {
    /usr/local/bin/ip "$@"
}
pings() { # STEP NAMESPACE ARGUMENTS...
    step_of_ping=$1 namespace=$2
    shift 2
    section "$step_of_ping" nsenter --net="/run/netns/$namespace" /usr/local/bin/ping -n "$@"
}

# host NAME ADDRESS: a host with this address in the underlay.
host() {
    : > "/run/netns/$1"
    unshare --net="/run/netns/$1" /usr/local/bin/ip link set lo up
    ip -n "$1" address add "$2/32" dev lo
    ip link add "to-$1" type veth peer name eth0 netns "$1"
    ip link set "to-$1" up
    ip -n "$1" link set eth0 up
    ip route add "$2" dev "to-$1"
    ip -n "$1" route add 192.0.2.1 dev eth0
}

# The peer's commands find its own state where every host's is.
on_the_peer() {
    CAP_ARGS='' NETCONFPATH=/cni/$step/peer nsenter --net=/run/netns/peer \
        unshare -m sh -c 'mount --bind /run/peer /run/groundwork && exec "$@"' sh "$@"
}

joined_meanwhile() {
    mkdir -p /run/peer
    host peer 192.0.2.2
    host stranger 192.0.2.3
    : > /run/netns/shop
    unshare --net=/run/netns/shop /usr/local/bin/ip link set lo up
    section "$step/peer/add" on_the_peer /bin/cnitool add "$network" /run/netns/shop
    nsenter --net=/run/netns/shop httpd -f -p '[::]:80' -h /www > /dev/null 2>&1 &
    httpd=$!
    # The largest packet that is not cut, and one byte more.
    for family in '4 10.210.80.2 10.210.81.2 1422' '6 fd00:210:80::2 fd00:210:81::2 1402'; do
        set -- $family
        pings "$step/peer/ping/$1" shop -c 2 -W 2 "$2"
        pings "$step/peer/whole/$1" shop -c 1 -W 2 -M do -s "$4" "$2"
        pings "$step/peer/more/$1" shop -c 1 -W 2 -M do -s "$(($4 + 1))" "$2"
        section "$step/peer/tcp/$1" seen_at "$3"
    done
    kill "$httpd"
    section "$step/overlay" /bin/groundwork overlay status --json
    stranger
    section "$step/peer/del" on_the_peer /bin/cnitool del "$network" /run/netns/shop
}

# The address that our container has in the eyes of the one that serves at this one.
seen_at() {
    printf 'GET /cgi-bin/seen HTTP/1.0\r\n\r\n' | nsenter --net=/run/netns/web nc -w 5 "$1" 80
}

# A frame as the peer would send it for its container; how many pings came to ours is in the report.
stranger() {
    ip -n stranger link add forged type vxlan id 80 dstport 4789 local 192.0.2.3 remote 192.0.2.1
    ip -n stranger address add 10.210.81.2/32 dev forged
    ip -n stranger link set forged up
    ip -n stranger route add 10.210.80.0/24 dev forged
    ip -n stranger neigh add 10.210.80.2 lladdr 02:67:c0:00:02:01 dev forged
    section "$step/echoes/before" echoes
    pings "$step/stranger" stranger -c 1 -W 1 10.210.80.2
    section "$step/echoes/guarded" echoes
    section "$step/guard" /usr/sbin/nft flush chain inet groundwork vxlan4_4789_80
    pings "$step/stranger/again" stranger -c 1 -W 1 10.210.80.2
    section "$step/echoes/unguarded" echoes
    section "$step/sync" /bin/groundwork sync --config "/cni/$step/network.conflist"
}

# How many ICMP echo requests came to our container.
echoes() {
    nsenter --net=/run/netns/web sh -c 'while read -r protocol _ _ _ _ _ _ _ _ echoes _; do
            [ "$protocol" != Icmp: ] || found=$echoes
        done < /proc/net/snmp; echo "$found"'
}

joined_end() {
    for namespace in shop peer stranger; do umount "/run/netns/$namespace"; done
    rm -rf /run/peer
}
