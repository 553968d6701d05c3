# What the scripts here share: it is read by them, not run. It goes to the top of the repository.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

policy=/usr/sbin/policy-rc.d
target="${CARGO_TARGET_DIR:-target}"
# Client connections and those to servers of a proxy with ten thousand of each.
descriptors=200000
export PATH="$PATH:/usr/sbin:/sbin"

say() { echo "bench: $*" >&2; }
fail() { echo "bench: $*" >&2; exit 1; }

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# Installs the Debian package of each program that is missing. Arguments: program:package.
install_missing() {
    local pair packages=()
    for pair in "$@"; do
        type -P "${pair%%:*}" >/dev/null || packages+=("${pair##*:}")
    done
    ((${#packages[@]} == 0)) || install_packages "${packages[@]}"
}

install_packages() {
    command -v apt-get >/dev/null || fail "missing: $*; install them (there is no apt-get here to do it)"
    ((EUID == 0)) || command -v sudo >/dev/null || fail "missing: $*; install them as root (there is no sudo here)"
    say "installing $*"
    as_root apt-get update -q
    without_starting_services as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
}

# Debian starts a service when it installs one. Everything here is started by the comparison itself, on ports of its own.
without_starting_services() {
    if [[ -e $policy ]]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    trap 'as_root rm -f "$policy"' EXIT
    as_root chmod 755 "$policy"
    "$@"
    as_root rm -f "$policy"
    trap - EXIT
}

# A process may open few files by default; root may raise the limit, others only as far as they were given.
raise_limits() {
    ulimit -n "$descriptors" 2>/dev/null || ulimit -n "$(ulimit -Hn)"
    (($(ulimit -n) >= 16384)) || say "only $(ulimit -n) open files are allowed: the cases with ten thousand of anything may fail"
}

# Goes on as a command where the network is a loopback device and nothing else: no packet filter, such as a container engine sets up,
# has a part in any packet then, and nothing is reached but what runs here.
in_a_network_of_its_own() {
    local user=()
    ((EUID == 0)) || user=(--user --map-root-user)
    if unshare "${user[@]}" --net true 2>/dev/null; then
        exec unshare "${user[@]}" --net sh -c 'ip link set lo up && exec "$@"' sh "$@"
    else
        say "no network namespace can be made here: the host's packet filter, if it has one, has its part in the figures"
        exec "$@"
    fi
}

# What all of them need.
prepare() {
    command -v cargo >/dev/null || fail "no Rust toolchain here: install one (cargo and rustc) first"
    (($(nproc) >= 2)) || fail "two cores are needed: one for the proxy, one for the client and the servers"
    install_missing redis-server:redis-server taskset:util-linux setpriv:util-linux unshare:util-linux ip:iproute2 "$@"
    cargo build --locked --release -p roundhouse -p bench
    raise_limits
}

is_asking_for_help() {
    [[ " $* " == *" --help "* || " $* " == *" -h "* ]]
}
