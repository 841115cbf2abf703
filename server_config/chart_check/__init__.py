"""Proof of the Helm chart without a cluster: `make check-chart`.

Runs in an environment of its own, `.venv-chart`, with real Helm, kubectl, checkov and schemas.
Knows the rendered manifests, nothing of storyboards.
"""
