#!/bin/sh
# install.sh [uninstall] docker|containerd|k3s|files...
#
# Run in a privileged container with the host's root at /host: puts multiwasm into the host's PREFIX (/usr/local), or removes it,
# and has the host's own `multiwasm` tell Docker, containerd or K3s about it; `files` tells nobody. A second run changes nothing.
# Each file is replaced whole, under the name that it had, so containers that run are not disturbed. Nothing is restarted.
#
#   HOST_ROOT     /host         where the host's root is mounted
#   PREFIX        /usr/local    where to install; engines are found without configuration below /usr and /usr/local alone
#   SHIM_FOLDER   PREFIX/bin    another folder for shim, links and command, /usr/bin say
#   SOURCE        /multiwasm    what is installed: bin and lib, as the tarballs have them
set -eu
umask 022

host=${HOST_ROOT:-/host}
prefix=${PREFIX:-/usr/local}
programs=${SHIM_FOLDER:-$prefix/bin}
source=${SOURCE:-/multiwasm}
# What lies on the host because of us, a path a line.
list=$prefix/lib/multiwasm/installed

die() {
    echo "install.sh: $*" >&2
    exit 1
}

# targets: of all files and links, where in `source` each is and where on the host it goes.
targets() {
    (cd "$source" && find bin lib \( -type f -o -type l \) | sort) | while read -r path; do
        case $path in
            bin/*) echo "$path $programs/${path#bin/}" ;;
            *) echo "$path $prefix/$path" ;;
        esac
    done
}

# same FILE OTHER: whether both are the same link, or files of the same content.
same() {
    if [ -L "$1" ]; then
        [ -L "$2" ] && [ "$(readlink "$1")" = "$(readlink "$2")" ]
    else
        [ -f "$2" ] && [ ! -L "$2" ] && cmp -s "$1" "$2"
    fi
}

# put FILE TARGET: the file under the target's name, whole at each moment, root's, and writable by root alone.
put() {
    same "$1" "$host$2" && return
    [ ! -d "$host$2" ] || die "$2 is a folder on the host: remove it"
    mkdir -p "$host${2%/*}"
    new=$host${2%/*}/.${2##*/}.new
    rm -f "$new"
    cp -P "$1" "$new"
    if [ ! -L "$new" ]; then
        chown 0:0 "$new"
        case $2 in "$programs"/*) chmod 0755 "$new" ;; *) chmod 0644 "$new" ;; esac
    fi
    mv -f "$new" "$host$2"
    echo "$2: written"
    changed=yes
}

# The command runs on the host before anything there is replaced.
try() {
    trial=$prefix/lib/multiwasm/.trial
    mkdir -p "$host${trial%/*}"
    cp "$source/bin/multiwasm" "$host$trial"
    chmod 0755 "$host$trial"
    said=$(chroot "$host" "$trial" --version 2>&1) && ran=yes || ran=
    rm -f "$host$trial"
    [ -n "$ran" ] || {
        rmdir "$host${trial%/*}" 2>/dev/null || true
        die "multiwasm does not run on this host: $said
It needs glibc 2.34 (2.36 for WasmEdge) and libseccomp there. Nothing was changed."
    }
}

# remove PATH: from the host.
remove() {
    [ -e "$host$1" ] || [ -L "$host$1" ] || return 0
    rm -f "$host$1"
    echo "$1: removed"
    changed=yes
}

# What an earlier release installed and this one has not.
remove_old() {
    [ -e "$host$list" ] || return 0
    while read -r path; do
        grep -qxF "$path" "$new_list" || remove "$path"
    done <"$host$list"
}

# tell install|uninstall TARGET...: by the host's own command.
tell() {
    verb=$1
    shift
    for target; do
        [ "$target" = files ] || chroot "$host" "$programs/multiwasm" "$verb" "$target"
    done
}

install() {
    try
    new_list=$(mktemp)
    targets | cut -d' ' -f2 >"$new_list"
    targets >"$new_list.pairs"
    while read -r path target; do put "$source/$path" "$target"; done <"$new_list.pairs"
    remove_old
    put "$new_list" "$list"
    rm -f "$new_list" "$new_list.pairs"
    [ -n "$changed" ] || echo "$prefix: nothing to change"
    case $prefix in
        /usr | /usr/local) ;;
        *) echo "note: name the engines' folder in /etc/multiwasm/config.toml: engine_path = [\"$prefix/lib/multiwasm/engines\"]" ;;
    esac
    tell install "$@"
    echo "Containers that start from now on are run by what is installed now."
}

uninstall() {
    # It may be done again, after a restart of the node for one.
    [ -e "$host$list" ] || { echo "$list is not on this host: nothing that this script has installed is below $prefix"; return; }
    # Where it was put, whatever SHIM_FOLDER says now.
    programs=$(grep '/multiwasm$' "$host$list" | grep -v "^$prefix/lib/" | head -n 1)
    programs=${programs%/multiwasm}
    [ ! -x "$host$programs/multiwasm" ] || tell uninstall "$@"
    while read -r path; do remove "$path"; done <"$host$list"
    remove "$list"
    find "$host$prefix/lib/multiwasm" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    echo "The compile cache, /var/cache/multiwasm, and /etc/multiwasm stay."
}

changed=
action=install
[ "${1:-}" != uninstall ] || { action=uninstall; shift; }
[ "$#" -gt 0 ] || set -- help
for target; do
    case $target in
        docker | containerd | k3s | files) ;;
        *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
[ -d "$source/bin" ] || die "there is nothing to install in $source"
[ -d "$host/etc" ] || die "the host's root is not at $host: run the container with --privileged -v /:/host"
"$action" "$@"
