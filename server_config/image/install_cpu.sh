#!/usr/bin/env bash
# The steps of Dockerfile.cpu, in a file of their own so that a test can run them in a bare Debian as well.
#
#   install_cpu.sh build SOURCE PREFIX    makes an environment of SOURCE in PREFIX/venv
#   install_cpu.sh finish SOURCE PREFIX   adds user, folders and the bundled model
#
# pip takes its index from its usual settings; TORCH_INDEX names one more, with CPU builds of torch.
set -euo pipefail

step=$1 source=$2 prefix=$3

build() {
    python3 -m venv "$prefix/venv"
    local pip=("$prefix/venv/bin/python" -m pip install --no-cache-dir --disable-pip-version-check -qq)
    local index=()
    if [ -n "${TORCH_INDEX:-}" ]; then index=(--extra-index-url "$TORCH_INDEX"); fi
    "${pip[@]}" "${index[@]}" --constraint "$source/constraints.txt" "torch==$(torch_version)+cpu" 2>/dev/null ||
        "${pip[@]}" "${index[@]}" --constraint "$source/constraints.txt" "torch==$(torch_version)"
    "${pip[@]}" --constraint "$source/constraints.txt" "$source[serve,export,s3]"
    "$prefix/venv/bin/python" -m pip check --disable-pip-version-check
}

torch_version() { sed -n 's/^torch==\([0-9.]*\).*/\1/p' "$source/constraints.txt"; }

finish() {
    groupadd --gid 10001 lafi
    useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin lafi
    install -d -o lafi -g lafi /var/lib/lafi /var/lib/lafi/engines /var/lib/lafi/state
    mkdir -p "$prefix/bundled"
    cp -r "$source/tiny_model/weights/." "$prefix/bundled/"
    cp "$source/server_config/image/draw_twice.py" "$prefix/"
}

case $step in
    build | finish) "$step" ;;
    *)
        echo "install_cpu.sh: got $step, allowed: build, finish" >&2
        exit 2
        ;;
esac
