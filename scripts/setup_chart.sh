#!/usr/bin/env bash
# Builds .venv-chart, with which `make check-chart` proves the Helm chart: real Helm, kubectl, checkov and schemas.
#
# It is an environment of its own since checkov wants older versions of what `.venv` has.
set -euo pipefail
cd "$(dirname "$0")/.."

KSERVE=0.21.0
needed=server_config/chart_check/requirements.txt

[ -d .venv-chart ] || .venv/bin/python -m venv .venv-chart
pip=(.venv-chart/bin/python -m pip install -qq --disable-pip-version-check --no-deps)
echo "setup: installing what proves the chart (.venv-chart, about 800 MB)"
"${pip[@]}" --requirement "$needed"
# Only the models of its Python package are read; what it needs to run is not here.
"${pip[@]}" "kserve==$KSERVE"
touch .venv-chart/.ready
