#!/bin/sh
# Installs Patchbay's agent on this host, enrols it and sends the first report:
#
#   curl -fsS http://HOST:8080/agent/install.sh | sudo sh -s -- --server http://HOST:8080 --token TOKEN
#
# Everything is inside main, so that a download which breaks off runs nothing.
set -eu

usage() {
    cat <<'USAGE'
Usage: install.sh --server URL --token TOKEN [options]
  --server URL     where Patchbay answers
  --token TOKEN    enrolment token (or in the environment as PATCHBAY_ENROL_TOKEN)
  --ca-file FILE   CA certificates to trust instead of the system's
  --proxy URL      proxy for this host's reports
  --tags A,B       tags of this host
  --every MINUTES  how often to report, default 60
  --no-timer       install no schedule
  --root DIR       install, enrol and report the system below DIR
USAGE
}

die() {
    printf 'patchbay: %s\n' "$1" >&2
    exit 1
}

# The first interpreter that is new enough. The system's own comes first: it has apt's binding, and root can run it.
# platform-python is what RHEL 8 has without the package python3.
find_python() {
    for candidate in /usr/bin/python3 /usr/libexec/platform-python python3 python3.12 python3.11 python3.9 python3.8 python3.6; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 6))' >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

download() {
    if command -v curl >/dev/null 2>&1; then
        curl -fsS ${ca_file:+--cacert "$ca_file"} ${proxy:+--proxy "$proxy"} -o "$2" "$1"
    elif command -v wget >/dev/null 2>&1; then
        if [ -n "$proxy" ]; then
            http_proxy=$proxy https_proxy=$proxy
            export http_proxy https_proxy
        fi
        wget -q ${ca_file:+--ca-certificate="$ca_file"} -O "$2" "$1"
    else
        die 'neither curl nor wget is installed: install one of them'
    fi
}

main() {
    server='' token=${PATCHBAY_ENROL_TOKEN:-} ca_file='' proxy='' tags='' every=60 timer='' root=/
    while [ $# -gt 0 ]; do
        case $1 in
        --server | --token | --ca-file | --proxy | --tags | --every | --root)
            [ $# -gt 1 ] || die "$1 needs a value"
            case $1 in
            --server) server=${2%/} ;;
            --token) token=$2 ;;
            --ca-file) ca_file=$2 ;;
            --proxy) proxy=$2 ;;
            --tags) tags=$2 ;;
            --every) every=$2 ;;
            --root) root=$2 ;;
            esac
            shift 2
            ;;
        --no-timer)
            timer=--no-timer
            shift
            ;;
        -h | --help)
            usage
            return 0
            ;;
        *)
            usage >&2
            die "unknown option: $1"
            ;;
        esac
    done
    [ -n "$server" ] || die '--server is missing: the URL where Patchbay answers'
    [ -n "$token" ] || die '--token is missing: make an enrolment token in Patchbay'
    [ "$(id -u)" -eq 0 ] || die 'not root: run `| sudo sh -s -- …`, or as root'
    if [ -n "$ca_file" ] && [ ! -r "$ca_file" ]; then
        die "the CA file $ca_file cannot be read"
    fi
    python=$(find_python) || die 'Python 3.6 or newer is missing: install the package python3'

    work=$(mktemp -d) || die 'no temporary directory can be made'
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    agent=$work/patchbay-agent
    download "$server/agent/patchbay-agent" "$agent" || die "the agent cannot be fetched from $server"
    "$python" "$agent" --version >/dev/null 2>&1 || die "what $server sent is not Patchbay's agent"

    if [ "$root" != / ]; then
        : "${PATCHBAY_CONFIG:=$root/etc/patchbay/agent.conf}" "${PATCHBAY_STATE_DIR:=$root/var/lib/patchbay-agent}"
        export PATCHBAY_CONFIG PATCHBAY_STATE_DIR
    fi
    # In the environment and not on the command line, where every user of the host could read it.
    PATCHBAY_ENROL_TOKEN=$token
    export PATCHBAY_ENROL_TOKEN
    "$python" "$agent" enrol --server "$server" --root "$root" \
        ${ca_file:+--ca-file "$ca_file"} ${proxy:+--proxy "$proxy"} ${tags:+--tags "$tags"} ||
        die 'the host could not be enrolled'
    unset PATCHBAY_ENROL_TOKEN
    "$python" "$agent" install --root "$root" --every "$every" $timer || die 'the agent could not be installed'
    receipt=$("$python" "$agent" report --root "$root" --wait) ||
        die 'installed, but the first report was not delivered'
    printf 'patchbay: first report delivered, receipt %s\n' "$receipt"
}

main "$@"
