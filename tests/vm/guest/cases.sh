# The hosts that groundwork meets. Each case is up to three functions: CASE_host makes the host so, CASE_in starts a
# command where groundwork would run, CASE_end makes the host as it was. In $module: the module that the feature needs.

release=$(uname -r)

# Which of /trees the kernel's modules come from; no name for none.
modules_from() {
    rm -f "/lib/modules/$release"
    [ -z "$1" ] || ln -s "/trees/$1/lib/modules/$release" "/lib/modules/$release"
}

# No module loaded, all of them on disk, nothing configured.
as_it_was() {
    unload
    rm -f /etc/modprobe.d/*
    modules_from shipped
    : > /log/modprobe
}

# A function of the case's, where it has one.
host_of() {
    ! type "$1" > /dev/null 2>&1 || "$1"
}

# A command, started the way the case says.
in_case() {
    way=$1_in
    shift
    if type "$way" > /dev/null 2>&1; then "$way" "$@"; else "$@"; fi
}

# try STEP CASE MODULE CONFIGURATION: groundwork loads what the configuration needs, which is this module.
try() {
    module=$3
    echo "$4" > /tmp/config
    echo "$4" > /container/tmp/config
    as_it_was
    host_of "$2_host"
    section "$1/before" loaded
    section "$1/run" in_case "$2" /bin/groundwork doctor --load --json --config /tmp/config
    section "$1/asked" cat /log/modprobe
    section "$1/after" loaded
    host_of "$2_end"
}

# Docker-in-Docker without a bind mount of /lib/modules, and any minimal container: no modprobe to run.
no_modprobe_here_in() {
    unshare -m sh -c 'mount -t tmpfs none /sbin && mount -t tmpfs none /opt && exec "$@"' sh "$@"
}

# Where distributions keep it elsewhere (NixOS, Guix): the kernel cannot run it, groundwork finds it in PATH.
modprobe_in_path_only_host() {
    mv /sbin/modprobe /opt/bin/modprobe
}
modprobe_in_path_only_in() {
    PATH=/opt/bin:$PATH "$@"
}
modprobe_in_path_only_end() {
    mv /opt/bin/modprobe /sbin/modprobe
}

# A runtime that gave no environment but the protocol's.
no_environment_in() {
    env -i "$@"
}

busybox_modprobe_host() {
    ln -sf /bin/busybox /opt/modprobe
}
busybox_modprobe_end() {
    ln -sf /usr/bin/kmod /opt/modprobe
}

net_admin_only_in() {
    /usr/bin/setpriv --bounding-set -all,+net_admin --inh-caps -all "$@"
}

user_namespace_in() {
    unshare -U -r -n -m "$@"
}

# Privileged, in namespaces of its own, from an image without modprobe and without /lib/modules.
docker_in_docker_in() {
    unshare -m -n sh -c 'mount -t proc proc /container/proc && mount -t sysfs sysfs /container/sys &&
        exec chroot /container "$@"' sh "$@"
}

blacklisted_host() {
    echo "blacklist $module" > /etc/modprobe.d/case.conf
}

install_false_host() {
    echo "install $module /bin/false" > /etc/modprobe.d/case.conf
}

no_kernel_modprobe_host() {
    echo > /proc/sys/kernel/modprobe
}
no_kernel_modprobe_end() {
    echo /sbin/modprobe > /proc/sys/kernel/modprobe
}

not_built_host() {
    modules_from few
}

upgraded_host() {
    modules_from ""
    mkdir /lib/modules/99.0-later
}
upgraded_end() {
    rmdir /lib/modules/99.0-later
}

plain_host() {
    modules_from plain
}

xz_host() {
    modules_from xz
}

zst_host() {
    modules_from zst
}

# For good, until the next boot.
modules_disabled_host() {
    echo 1 > /proc/sys/kernel/modules_disabled
}
