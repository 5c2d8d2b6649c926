# Gives a shell (bash or zsh) in which every command of the README works:
#
#     source setup.sh
#
# Where CVMFS has an LCG view (or LCG_VIEW names one), the view is sourced and only what it lacks is installed, into
# .overlay; elsewhere everything goes into .venv. Sourcing it again is quick and changes nothing.
# NTUPLEML_DEV=1 adds the tools that `make lint`, `make test` and `make docs` need; NTUPLEML_ENVIRONMENT names another folder than
# .venv or .overlay.

if [ -n "${ZSH_VERSION:-}" ]; then
    _ntupleml_top=$(cd "$(dirname "${(%):-%x}")" && pwd)
else
    _ntupleml_top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fi

_ntupleml_say() { echo "setup.sh: $*" >&2; }

# The newest LCG view of this machine's system, or nothing.
_ntupleml_newest_view() {
    [ -d /cvmfs/sft.cern.ch/lcg/views ] || return 0
    local system
    system=$(. /etc/os-release 2>/dev/null && echo "${PLATFORM_ID:-}" | sed 's/^platform://')
    find /cvmfs/sft.cern.ch/lcg/views/ -mindepth 2 -maxdepth 2 -path "*/LCG_[0-9]*/$(uname -m)-${system:-el9}-gcc*-opt" \
        2>/dev/null | grep -E '/LCG_[0-9]+/' | sort -V | tail -n 1
}

# The first Python of this machine that we support.
_ntupleml_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
        then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

# Install what the environment lacks, once for each pyproject.toml.
_ntupleml_install() { # environment, python of the environment
    local stamp missing extras="batch,keras,root,trees" more=""
    local developers="$extras,dev,docs"
    if [ -n "${NTUPLEML_DEV:-}" ]; then
        extras="$developers"
        [ -n "${NTUPLEML_VIEW:-}" ] || more=",hgq,hls" # HGQ2 asks for a Keras that views may not have yet
    fi
    stamp="$1/ntupleml-$(cksum < "$_ntupleml_top/pyproject.toml" | tr ' ' '-')"
    if [ -e "$stamp-$developers" ] || [ -e "$stamp-$extras" ]; then return 0; fi
    missing=$("$2" "$_ntupleml_top/tools/missing_requirements.py" "$extras$more") || return 1
    if [ -n "$missing" ]; then
        _ntupleml_say "installing into $1: $(echo "$missing" | tr '\n' ' ')"
        echo "$missing" > "$1/missing-requirements.txt"
        "$2" -m pip install --quiet --disable-pip-version-check --requirement "$1/missing-requirements.txt" || return 1
    fi
    echo "$_ntupleml_top/python" > "$("$2" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/ntupleml.pth" \
        || return 1
    printf '#!/bin/sh\nexec "%s" -m ntupleml "$@"\n' "$2" > "$1/bin/ntupleml" && chmod +x "$1/bin/ntupleml" || return 1
    touch "$stamp-$extras"
}

_ntupleml_set_up() {
    local view environment python packages
    view="${LCG_VIEW:-$(_ntupleml_newest_view)}"
    if [ -n "$view" ]; then
        if [ ! -r "$view/setup.sh" ]; then
            _ntupleml_say "LCG_VIEW=$view: no setup.sh there; name the folder of a view, or unset LCG_VIEW"
            return 1
        fi
        if [ "${NTUPLEML_VIEW:-}" != "$view" ]; then
            . "$view/setup.sh" || return 1
            export NTUPLEML_VIEW="$view"
        fi
        environment="${NTUPLEML_ENVIRONMENT:-$_ntupleml_top/.overlay}"
    else
        environment="${NTUPLEML_ENVIRONMENT:-$_ntupleml_top/.venv}"
    fi
    if [ ! -x "$environment/bin/python" ]; then
        python=$(_ntupleml_python) || {
            _ntupleml_say "no Python from 3.11 to 3.13 found; install one, e.g. python3.13"
            return 1
        }
        _ntupleml_say "making $environment with $("$python" --version)"
        "$python" -m venv ${view:+--system-site-packages} "$environment" || {
            rm -rf "$environment"
            _ntupleml_say "$python cannot make an environment; install its venv module, e.g. python3-venv"
            return 1
        }
    fi
    if [ -n "$view" ]; then # a view puts its packages on PYTHONPATH, which goes before those of an environment
        packages=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || return 1
        case ":${PYTHONPATH:-}:" in
            ":$packages:"*) ;;
            *) export PYTHONPATH="$packages${PYTHONPATH:+:$PYTHONPATH}" ;;
        esac
    fi
    _ntupleml_install "$environment" "$environment/bin/python" || {
        _ntupleml_say "the installation into $environment failed (see above); fix the cause and source setup.sh again"
        return 1
    }
    case ":$PATH:" in
        ":$environment/bin:"*) ;;
        *) export PATH="$environment/bin:$PATH" ;;
    esac
    export VIRTUAL_ENV="$environment"
}

_ntupleml_set_up
_ntupleml_status=$?
unset -f _ntupleml_say _ntupleml_newest_view _ntupleml_python _ntupleml_install _ntupleml_set_up
unset _ntupleml_top
eval "unset _ntupleml_status; (exit $_ntupleml_status)"
