# What plans are written with. Each step's report has a name, what it printed and how it ended; report.rs reads it.
# Emulation makes processes dear: what the shell can do by itself, it does.

# section NAME COMMAND...: run it and report it.
section() {
    echo "@begin $1" >&3
    shift
    "$@" > /tmp/stdout 2> /tmp/stderr
    section_status=$?
    prefixed '|' < /tmp/stdout >&3
    prefixed '!' < /tmp/stderr >&3
    echo "@end $section_status" >&3
}

prefixed() {
    while IFS= read -r line || [ -n "$line" ]; do printf '%s%s\n' "$1" "$line"; done
}

# The names of the modules that are in.
loaded() {
    while read -r name _; do echo "$name"; done < /proc/modules
}

# Every module out: each round takes those that nothing uses. A network namespace ends a moment after its last process.
unload() {
    for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -n "$(loaded)" ] || return 0
        while read -r name _ users _; do
            [ "$users" -gt 0 ] || rmmod "$name"
        done < /proc/modules 2> /dev/null
        [ "$round" -lt 10 ] || usleep 100000
    done
}
