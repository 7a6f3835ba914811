#!/usr/bin/env bash
# Makes .venv and installs the project into it with the extras named, in the pinned versions of constraints.txt.
# Usage: scripts/setup.sh EXTRA[,EXTRA...]     PYTHON=/path/to/python chooses the interpreter of a new .venv.
# A second call with nothing changed returns at once.
set -euo pipefail
cd "$(dirname "$0")/.."
extras=$1
stamp=.venv/.installed-${extras//,/-}
wanted=$(cat pyproject.toml constraints.txt setup.py airflow_provider_personalize/local/*/*.c | cksum)

[ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && [ -x .venv/bin/python ] && exit 0

fail() {
    printf '\n%s\n' "$@" >&2
    exit 1
}

supported='import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        if "$candidate" -c "$supported" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "No Python 3.11, 3.12 or 3.13 was found${PYTHON:+ at PYTHON=$PYTHON}." \
        "Debian, Ubuntu: apt install python3 python3-venv python3-dev    Fedora, RHEL: dnf install python3.12 python3.12-devel" \
        "macOS: brew install python@3.13    Or name one: make demo PYTHON=/path/to/python3.12"
}

if ! .venv/bin/python -c "$supported" 2>/dev/null; then
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make a virtual environment." "Debian, Ubuntu: apt install python3-venv"
    echo "Making .venv with $("$python" --version) ($python)"
    "$python" -m venv --clear .venv
fi

# LightFM comes as source; nothing else needs these two.
if ! .venv/bin/python -c 'import lightfm' 2>/dev/null; then
    command -v "${CC:-cc}" >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null ||
        fail "LightFM is built from source and there is no C compiler." \
            "Debian, Ubuntu: apt install build-essential    Fedora, RHEL: dnf install gcc    macOS: xcode-select --install"
    headers=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))')
    version=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    [ -f "$headers/Python.h" ] ||
        fail "LightFM is built from source and Python's headers are missing ($headers/Python.h)." \
            "Debian, Ubuntu: apt install python$version-dev    Fedora, RHEL: dnf install python$version-devel    macOS: xcode-select --install"
fi

echo "Installing airflow-provider-personalize[$extras]; the first time this takes a few minutes"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$extras]"
printf '%s\n' "$wanted" >"$stamp"
