#!/usr/bin/env bash
# Builds .venv-peers: optimum-intel and openvino-genai, which benchmarks/openvino_peers.py measures beside ours.
#
# It is an environment of its own since they want older versions of what `.venv` has. They name torchvision too, which
# has no CPU build beside our torch on every index, and which none of them imports to draw: it is left out.
set -euo pipefail
cd "$(dirname "$0")/.."

TORCH=2.13.0
[ -d .venv-peers ] || .venv/bin/python -m venv .venv-peers
pip=(.venv-peers/bin/python -m pip install -qq --disable-pip-version-check --no-deps)
echo "setup: installing what ours is measured beside (.venv-peers, about 2 GB)"
"${pip[@]}" "torch==$TORCH+cpu" 2>/dev/null || "${pip[@]}" "torch==$TORCH"
"${pip[@]}" --requirement benchmarks/peers/requirements.txt
