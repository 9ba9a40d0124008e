# Containers on networks, attached by cnitool as a runtime would. Builds on cases.sh.

export NETCONFPATH CNI_PATH=/usr/lib/cni CAP_ARGS
mkdir -p /run/netns
ip link set lo up
ip address add 192.0.2.1/32 dev lo # an overlay's underlay

# container STEP CASE NETWORK GATEWAY...: from a kernel without modules, through add, check and del, to one without.
container() {
    local step=$1 case=$2 network=$3 gateway
    shift 3
    NETCONFPATH=/cni/$step
    CAP_ARGS=$(cat "$NETCONFPATH/arguments")
    as_it_was
    : > /run/netns/web
    unshare --net=/run/netns/web ip link set lo up
    host_of "${case}_host"
    section "$step/before" loaded
    section "$step/add" in_case "$case" /bin/cnitool add "$network" /run/netns/web
    section "$step/asked" cat /log/modprobe
    section "$step/log" cat /log/groundwork
    for gateway; do
        section "$step/ping/$gateway" nsenter --net=/run/netns/web ping -c 3 -W 2 "$gateway"
    done
    host_of "${case}_meanwhile"
    section "$step/check" in_case "$case" /bin/cnitool check "$network" /run/netns/web
    section "$step/del" in_case "$case" /bin/cnitool del "$network" /run/netns/web
    section "$step/links" nsenter --net=/run/netns/web ip -o link
    host_of "${case}_end"
    clean "$network"
}

# What a network keeps when its last container is gone: its bridge, and tables.
clean() {
    umount /run/netns/web
    for link in /sys/class/net/gw-* /sys/class/net/vxlan.*; do ip link delete "${link##*/}"; done
    [ ! -d /sys/module/nf_tables ] || /usr/sbin/nft flush ruleset
    rm -rf /log/groundwork /run/groundwork /var/lib/cni /container/var
}

# Docker-in-Docker again, with the plugins in the image. Its network outlives each command.
nested_host() {
    : > /run/netns/outer
    unshare --net=/run/netns/outer ip link set lo up
}
nested_in() {
    nsenter --net=/run/netns/outer unshare -m sh -c 'for folder in bin usr/lib/cni cni lib/x86_64-linux-gnu lib64 run log; do
            mkdir -p "/container/$folder" && mount --rbind "/$folder" "/container/$folder" || exit
        done
        mount -t proc proc /container/proc && mount -t sysfs sysfs /container/sys && exec chroot /container "$@"' sh "$@"
}
nested_end() {
    umount /run/netns/outer
}
