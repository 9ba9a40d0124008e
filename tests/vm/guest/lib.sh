# What plans are written with. Each step's report has a name, what it printed and how it ended; report.rs reads it.

# section NAME COMMAND...: run it and report it.
section() {
    echo "@begin $1" >&3
    shift
    "$@" > /tmp/stdout 2> /tmp/stderr
    section_status=$?
    {
        awk '{ print "|" $0 }' /tmp/stdout
        awk '{ print "!" $0 }' /tmp/stderr
        echo "@end $section_status"
    } >&3
}

# The names of the modules that are in.
loaded() {
    cut -d' ' -f1 /proc/modules
}

# Every module out: each round takes those that nothing uses. A network namespace ends a moment after its last process.
unload() {
    for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -n "$(loaded)" ] || return 0
        for module in $(awk '$3 == 0 { print $1 }' /proc/modules); do rmmod "$module"; done 2> /dev/null
        [ "$round" -lt 10 ] || usleep 100000
    done
}
