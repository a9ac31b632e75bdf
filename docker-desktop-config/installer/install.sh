#!/bin/sh
# install.sh [uninstall] docker|containerd|k3s|files...
#
# Run in a privileged container with the host's root at /host: puts multiwasm into the host's PREFIX (/usr/local), or removes it,
# and has the host's own `multiwasm` tell Docker, containerd or K3s about it; `files` tells nobody. A second run changes nothing.
# Each file is replaced whole, under the name that it had, so containers that run are not disturbed. Nothing is restarted. What a run
# that was killed has left, the next one knows of, and so does `uninstall`.
#
#   HOST_ROOT     /host         where the host's root is mounted
#   PREFIX        /usr/local    where to install; engines are found without configuration below /usr and /usr/local alone
#   SHIM_FOLDER   PREFIX/bin    another folder for shim, links and command, /usr/bin say
#   SOURCE        /multiwasm    what is installed: bin and lib, as the tarballs have them
set -eu
umask 022
# The list on the host is sorted; two images of different bases sort alike.
export LC_ALL=C

host=${HOST_ROOT:-/host}
prefix=${PREFIX:-/usr/local}
programs=${SHIM_FOLDER:-$prefix/bin}
source=${SOURCE:-/multiwasm}
# What lies on the host because of us, or may if a run was killed: a path a line, sorted.
list=$prefix/lib/multiwasm/installed
trial_name=.multiwasm-trial

die() {
    echo "install.sh: $*" >&2
    exit 1
}

# targets: of all files and links, where in `source` each is and where on the host it goes, in the order in which they are put
# there: the shim is what starts, so it comes when all that it needs is there.
targets() {
    {
        cd "$source"
        find lib \( -type f -o -type l \) | sort
        find bin -type f ! -name 'containerd-shim-*' | sort
        find bin -type l | sort
        find bin -type f -name 'containerd-shim-*' | sort
    } | while read -r path; do
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

# new_of PATH: the file beside it on the host that becomes it.
new_of() { echo "$host${1%/*}/.${1##*/}.new"; }

# bring FILE TARGET: the file beside its target, root's, and writable by root alone; nothing where the target is the same already.
bring() {
    new=$(new_of "$2")
    rm -f "$new"
    ! same "$1" "$host$2" || return 0
    mkdir -p "$host${2%/*}" && cp -P "$1" "$new" || {
        remove_leftovers
        die "$2 could not be brought to the host, the reason is above: mend that and run this again"
    }
    if [ ! -L "$new" ]; then
        chown 0:0 "$new"
        case $2 in "$programs"/*) chmod 0755 "$new" ;; *) chmod 0644 "$new" ;; esac
    fi
}

# put TARGET: what was brought takes its name; the target is whole at each moment.
put() {
    new=$(new_of "$1")
    [ -e "$new" ] || [ -L "$new" ] || return 0
    mv -f "$new" "$host$1"
    echo "$1: written"
    changed=yes
}

# above FOLDER: it and all folders above it, a line each; the root is the empty one.
above() {
    folder=$1
    while echo "$folder" && [ -n "$folder" ]; do folder=${folder%/*}; done
}

# The command runs on the host before anything there is replaced, from the nearest folder that is there already: none is made.
try() {
    folder=$(above "$prefix/lib/multiwasm" | while read -r folder; do [ ! -d "$host$folder" ] || { echo "$folder"; break; }; done)
    trial=$folder/$trial_name
    cp "$source/bin/multiwasm" "$host$trial" && chmod 0755 "$host$trial" || {
        rm -f "$host$trial"
        die "multiwasm could not be copied to $trial on the host to be tried, the reason is above. Nothing was changed."
    }
    said=$(chroot "$host" "$trial" --version 2>&1) && ran=yes || ran=
    rm -f "$host$trial"
    [ -n "$ran" ] || die "multiwasm does not run on this host: $said
It needs glibc 2.34 (2.36 for WasmEdge) and libseccomp there. Nothing was changed."
}

# What a run that was killed left half-way: the command on trial, and what was brought and not put.
remove_leftovers() {
    above "$prefix/lib/multiwasm" | while read -r folder; do rm -f "$host$folder/$trial_name"; done
    rm -f "$(new_of "$list")"
    [ ! -e "$host$list" ] || while read -r path; do rm -f "$(new_of "$path")"; done <"$host$list"
}

# remove PATH: from the host, where it is a file or a link; a folder is not from here.
remove() {
    [ -f "$host$1" ] || [ -L "$host$1" ] || return 0
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
    scratch=$(mktemp -d)
    targets >"$scratch/targets"
    while read -r path target; do
        [ ! -d "$host$target" ] || die "$target is a folder on the host: remove it. Nothing was changed."
    done <"$scratch/targets"
    remove_leftovers
    try
    cut -d' ' -f2 "$scratch/targets" | sort >"$scratch/new"
    new_list=$scratch/new
    # Until all is done the list names what was there and what comes, so that nothing is on the host that no list has.
    both=$scratch/both
    if [ -e "$host$list" ]; then sort -u "$host$list" "$new_list" >"$both"; else cp "$new_list" "$both"; fi
    bring "$both" "$list"
    put "$list"
    # All is brought before the first is put: containers that start meanwhile find shim and engines of one release.
    while read -r path target; do bring "$source/$path" "$target"; done <"$scratch/targets"
    while read -r path target; do put "$target"; done <"$scratch/targets"
    remove_old
    bring "$new_list" "$list"
    put "$list"
    rm -r "$scratch"
    [ -n "$changed" ] || echo "$prefix: nothing to change"
    case $prefix in
        /usr | /usr/local) ;;
        *) echo "note: name the engines' folder in /etc/multiwasm/config.toml: engine_path = [\"$prefix/lib/multiwasm/engines\"]" ;;
    esac
    tell install "$@"
    echo "Containers that start from now on are run by what is installed now."
}

uninstall() {
    remove_leftovers
    # It may be done again, after a restart of the node for one.
    if [ -e "$host$list" ]; then
        # Where it was put, whatever SHIM_FOLDER says now.
        programs=$(grep '/multiwasm$' "$host$list" | while read -r path; do [ ! -x "$host$path" ] || { echo "${path%/*}"; break; }; done)
        [ -z "$programs" ] || tell uninstall "$@"
        while read -r path; do remove "$path"; done <"$host$list"
        remove "$list"
    else
        echo "$list is not on this host: nothing that this script has installed is below $prefix"
    fi
    find "$host$prefix/lib/multiwasm" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    [ -z "$changed" ] || echo "The compile cache, /var/cache/multiwasm, and /etc/multiwasm stay."
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
case $prefix:$programs in
    /*:/*) ;;
    *) die "PREFIX ($prefix) and SHIM_FOLDER ($programs) are paths from the host's root on: begin them with /" ;;
esac
[ -d "$source/bin" ] || die "there is nothing to install in $source"
[ -d "$host/etc" ] || die "the host's root is not at $host: run the container with --privileged -v /:/host"
"$action" "$@"
