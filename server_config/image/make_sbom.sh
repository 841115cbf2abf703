#!/usr/bin/env bash
# Writes what an environment holds as CycloneDX, for the release and for scanners: make_sbom.sh PYTHON FILE
#
# PYTHON: of the image's environment, unpacked; FILE: JSON. The tool gets an environment of its own, .venv-sbom;
# make_sbom.sh --install makes that alone.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ $# -eq 2 ] || [ "$*" = --install ] || { echo "make_sbom.sh: got $# arguments, allowed: PYTHON FILE, or --install" >&2; exit 2; }
if [ ! -x .venv-sbom/bin/cyclonedx-py ]; then
    python3 -m venv .venv-sbom
    .venv-sbom/bin/python -m pip install -qq --disable-pip-version-check cyclonedx-bom==7.5.0
fi
[ "$*" != --install ] || exit 0
exec .venv-sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application \
    --output-reproducible --of JSON -o "$2" "$1"
