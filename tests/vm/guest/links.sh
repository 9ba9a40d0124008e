# Links of every kind, by the protocol as a runtime speaks it. In /links: configurations, each as NAME.json, and as
# NAME.open without its last brace.

export CNI_PATH=/usr/lib/cni
mkdir -p /run/netns

# Busybox prefers its own.
ip() {
    /usr/local/bin/ip "$@"
}

# A network namespace of this name; its end.
netns() {
    : > "/run/netns/$1"
    unshare "--net=/run/netns/$1" /usr/local/bin/ip link set lo up
}
no_netns() {
    umount "/run/netns/$1"
    rm "/run/netns/$1"
}
within() {
    namespace=$1
    shift
    [ "$1" != ip ] || { shift; set -- /usr/local/bin/ip "$@"; }
    nsenter "--net=/run/netns/$namespace" "$@"
}

# What the host's link `uplink` leads to: 192.0.2.1 and fd99::1, and 198.51.100.1 in VLAN 42.
world() {
    netns world
    ip link add uplink type veth peer name eth0 netns world
    ip link set uplink up
    within world ip link add link eth0 name vlan42 type vlan id 42
    within world ip address add 192.0.2.1/24 dev eth0
    within world ip address add fd99::1/64 dev eth0 nodad
    within world ip address add 198.51.100.1/24 dev vlan42
    within world ip link set eth0 up
    within world ip link set vlan42 up
}
no_world() {
    ip link delete uplink
    no_netns world
}

# cni VERB PLUGIN NAME CONTAINER [IFNAME]: the configuration goes in on stdin.
cni() {
    CNI_COMMAND=$1 CNI_CONTAINERID=$4 CNI_NETNS=/run/netns/$4 CNI_IFNAME=${5:-eth0} "/usr/lib/cni/$2" < /tmp/stdin
}

# configure NAME [RESULT]: what the next call gets, with a prevResult if one is given.
configure() {
    if [ -n "$2" ]; then
        { cat "/links/$1.open"; printf ',"prevResult":'; cat "$2"; echo '}'; } > /tmp/stdin
    else
        cp "/links/$1.json" /tmp/stdin
    fi
}

# add STEP PLUGIN NAME CONTAINER [EARLIER-RESULT]: the result is in /tmp/NAME-CONTAINER.
add() {
    configure "$3" "$5"
    section "$1/add" cni ADD "$2" "$3" "$4"
    cp /tmp/stdout "/tmp/$3-$4"
}

# check STEP PLUGIN NAME CONTAINER [RESULT]
check() {
    configure "$3" "${5:-/tmp/$3-$4}"
    section "$1/check" cni CHECK "$2" "$3" "$4"
}

# del STEP PLUGIN NAME CONTAINER
del() {
    configure "$3"
    section "$1/del" cni DEL "$2" "$3" "$4"
}

pings() { # STEP CONTAINER ADDRESS
    section "$1" within "$2" ping -c 2 -W 2 "$3"
}

# What a plugin made, in the container.
state() {
    within "$1" ip -o link
    within "$1" ip -o address
    within "$1" ip -4 route show table all
    within "$1" ip -6 route show table all
}

# both STEP NAME CONTAINER: the same by the reference plugin of the configuration's type, in a container of its own.
both() {
    netns reference
    netns "$3"
    type=$(sed 's/.*"type":"\([a-z-]*\)".*/\1/;q' "/links/$2.type")
    add "$1/reference" "$type" "$2" reference "$4"
    section "$1/reference/state" state reference
    del "$1/reference" "$type" "$2" reference
    add "$1" groundwork "$2" "$3" "$4"
    section "$1/state" state "$3"
    no_netns reference
}

# What is left of a container.
left() { # STEP CONTAINER
    section "$1/left" within "$2" ip -o link
    no_netns "$2"
}

modprobe -a veth 8021q
world

for mode in ipvlan ipvlan-l3 vlan; do
    both $mode $mode web
    check $mode groundwork $mode web
    pings $mode/ping web $(cat /links/$mode.gateway)
    del $mode groundwork $mode web
    left $mode web
done

netns web
echo '{"cniVersion":"1.0.0","interfaces":[{"name":"uplink"}],"ips":[{"address":"192.0.2.77/24"}]}' > /tmp/earlier
add chained-ipvlan groundwork chained-ipvlan web /tmp/earlier
pings chained-ipvlan/ping web 192.0.2.1
del chained-ipvlan groundwork chained-ipvlan web
left chained-ipvlan web

netns web
add dummy groundwork dummy web
pings dummy/ping web 192.0.2.10
check dummy groundwork dummy web
within web ip link set eth0 down
check dummy/down groundwork dummy web
del dummy groundwork dummy web
left dummy web

netns web; netns db; netns other
add vlan100 groundwork vlan100 web
section vlan100/ports bridge vlan show
add vlan100/db groundwork vlan100 db
add vlan200 groundwork vlan200 other
pings vlan100/gateway web 10.5.0.1
pings vlan100/neighbour web 10.5.0.3
pings vlan200/gateway other 10.6.0.1
within other ip address add 10.5.0.99/24 dev eth0
pings vlan200/across other 10.5.0.2
check vlan100 groundwork vlan100 web
port=$(sed 's/.*\(veth[0-9a-f]*\).*/\1/;q' /tmp/vlan100-web)
bridge vlan add dev $port vid 200
check vlan100/opened groundwork vlan100 web
bridge vlan del dev $port vid 200
bridge vlan del dev $port vid 100
section vlan100/repair groundwork repair
check vlan100/repaired groundwork vlan100 web
ip link set br0 type bridge vlan_filtering 0
check vlan100/unfiltered groundwork vlan100 web
netns trunk
add trunk groundwork trunk trunk
section trunk/filtering ip -d -o link show br0
section trunk/ports bridge vlan show
check trunk groundwork trunk trunk
within trunk ip link add link eth0 name eth0.100 type vlan id 100
within trunk ip address add 10.5.0.50/24 dev eth0.100
within trunk ip link set eth0.100 up
pings trunk/gateway trunk 10.5.0.1
pings trunk/untagged other 10.5.0.50
for name in vlan100:web vlan100:db vlan200:other trunk:trunk; do
    del ${name%:*}/${name#*:} groundwork ${name%:*} ${name#*:}
    no_netns ${name#*:}
done
section vlan100/left bridge vlan show
ip link delete br0.100; ip link delete br0.200; ip link delete br0
netns reference
add vlan100/reference bridge vlan100 reference
section vlan100/reference/ports bridge vlan show
ip link delete br0.100; ip link delete br0
no_netns reference

netns web
add inner groundwork inner web
add vrf groundwork vrf web /tmp/inner-web
section vrf/state state web
check vrf groundwork vrf web
check vrf/inner groundwork inner web
section vrf/ping within web ping -I eth0 -c 2 -W 2 10.5.0.1
section vrf/ping6 within web ping -6 -I eth0 -c 2 -W 2 fd05::1
section vrf/repair groundwork repair
configure sbr /tmp/inner-web
section vrf/sbr/add cni ADD groundwork sbr web
within web ip link set eth0 nomaster
check vrf/freed groundwork vrf web
section vrf/freed/repair groundwork repair
check vrf/repaired groundwork vrf web
check vrf/repaired/inner groundwork inner web
del vrf groundwork vrf web
section vrf/links within web ip -o link
add vrf/again groundwork vrf web /tmp/inner-web
del vrf/again groundwork vrf web
del vrf/inner groundwork inner web
left vrf web
netns web
add sbr/inner groundwork inner web
add sbr groundwork sbr web /tmp/inner-web
configure vrf /tmp/inner-web
section sbr/vrf/add cni ADD groundwork vrf web
check sbr groundwork sbr web
del sbr groundwork sbr web
add sbr/then-vrf groundwork vrf web /tmp/inner-web
del sbr/then-vrf groundwork vrf web
del sbr/inner groundwork inner web
no_netns web
for config in plain declaring; do
    configure $config
    section status/$config cni STATUS groundwork $config status
done
netns web
add vrf/own groundwork own-vrf web
section vrf/own/ping within web ping -I eth0 -c 2 -W 2 10.5.0.1
section vrf/own/state state web
check vrf/own groundwork own-vrf web
del vrf/own groundwork own-vrf web
left vrf/own web
ip link delete br0

modprobe -a virtio_pci virtio_net
nic=$(ls /sys/bus/pci/devices/0000:00:07.0/virtio*/net)
ip link set $nic name nic0
ip link set nic0 up
for how in nic-by-bus nic-by-id nic-by-name; do
    netns web
    add $how groundwork $how web
    section $how/state state web
    check $how groundwork $how web
    del $how groundwork $how web
    section $how/back ip -o link
    left $how web
done
netns web
add nic-lost groundwork nic-by-name web
no_netns web
for second in 1 2 3 4 5 6 7 8 9 10; do ip -o link | grep -q 52:54:00:00:00:07 || usleep 300000; done
section nic-lost/kernel ip -o link
del nic-lost groundwork nic-by-name web
section nic-lost/back ip -o link
no_world
