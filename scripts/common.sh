# Sourced by every script here: where things are built, one line a step, and an apt beside the host's own.
# shellcheck shell=bash

MULTIWASM_BUILD=$(realpath -m "${MULTIWASM_BUILD:-${XDG_CACHE_HOME:-$HOME/.cache}/multiwasm}")
export MULTIWASM_BUILD
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$MULTIWASM_BUILD/target}
PATH=$PATH:/usr/sbin:/sbin # ldconfig, ip and iptables are there, and a plain user's PATH is not
mkdir -p "$MULTIWASM_BUILD"

# step TEXT says what starts; done_step [NOTE] says how long it took.
step() {
    echo "==> $*"
    step_began=$EPOCHREALTIME
}
done_step() {
    local us=$((${EPOCHREALTIME/[.,]/} - ${step_began/[.,]/}))
    printf '    %d.%d s%s\n' $((us / 1000000)) $((us / 100000 % 10)) "${1:+, $1}"
}

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# scratch_dir makes $scratch, gone when the script ends. It lies in the build folder, so a finished
# thing is moved into its place by rename; one script at a time works there.
scratch_dir() {
    exec {setup_lock}>"$MULTIWASM_BUILD/.setup-lock"
    flock "$setup_lock"
    scratch=$(mktemp -d "$MULTIWASM_BUILD/.scratch.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# put_in_place NEW PLACE: NEW, finished and on the same file system, becomes PLACE. All that was there goes, so PLACE is one of
# ours; who takes it from a user asks first whose it is.
put_in_place() {
    mkdir -p "$(dirname "$2")"
    rm -rf "$2"
    mv -T "$1" "$2"
}

# The folder with crictl and critest: the caller's own, or what get-cri-tools built.
cri_tools() { echo "${MULTIWASM_CRI_TOOLS:-$MULTIWASM_BUILD/cri-tools}"; }

# private_apt SUITE [ARCHITECTURE]: `papt` and `papt_cache` become apt-get and apt-cache for that suite of Debian, with sources,
# lists and status of their own. The mirror is the one that the host has, so no address is written anywhere.
private_apt() {
    local suite=$1 architecture=${2:-$(dpkg --print-architecture)} dir=$MULTIWASM_BUILD/apt/$1${2:+-$2} mirror=${DEBIAN_MIRROR:-}
    [ -n "$mirror" ] || mirror=$(host_mirror)
    # apt knows an origin's label from the lists alone, and images of Debian come without them
    [ -n "$mirror" ] || { apt-get -qq update || true; mirror=$(host_mirror); }
    [ -n "$mirror" ] || die "apt knows no mirror of Debian here: set DEBIAN_MIRROR to the address of one"
    mkdir -p "$dir"/{lists/partial,archives/partial}
    : >"$dir/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$dir/sources.list"
    cat >"$dir/apt.conf" <<CONF
APT::Architecture "$architecture"; APT::Architectures { "$architecture"; };
Dir::State::lists "$dir/lists"; Dir::State::status "$dir/status"; Dir::Cache "$dir";
Dir::Etc::SourceList "$dir/sources.list"; Dir::Etc::SourceParts "/dev/null";
Dir::Etc::PreferencesParts "/dev/null"; Dir::Etc::Preferences "/dev/null";
Acquire::Languages "none"; Acquire::Retries "3"; Acquire::Check-Valid-Until "false";
APT::Sandbox::User "root"; APT::Install-Recommends "false";
CONF
    papt_conf=$dir/apt.conf
    papt update
}
papt() { apt-get -qq -c "$papt_conf" "$@"; }
papt_cache() { apt-cache -q -c "$papt_conf" "$@"; }
host_mirror() {
    apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" && !n++ { print $2 }'
}
