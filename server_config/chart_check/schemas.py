"""Checks manifests strictly against the schemas of several versions of Kubernetes.

A kind without a schema fails, but for the custom resources that `custom_resources` knows by name.
"""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Final

import kubernetes_validate

from server_config.chart_check.custom_resources import CUSTOM
from server_config.chart_check.rendering import Manifest, Rendered, title

VERSIONS: Final = ("1.30", "1.34", "1.37")
"""The oldest that Chart.yaml allows, one between, and the newest that the schemas know."""


def schema_problems(rendered: Rendered, versions: tuple[str, ...] = VERSIONS) -> list[str]:
    """What does not fit."""
    found = []
    for manifest in rendered.manifests:
        custom = CUSTOM.get((manifest["apiVersion"], manifest["kind"]))
        if custom is not None:
            found += [f"{title(manifest)}: {problem}" for problem in custom(manifest)]
        else:
            found += [
                f"{title(manifest)}, Kubernetes {version}: {problem}"
                for version in versions
                if (problem := _problem(json.dumps(manifest), version))
            ]
    return found


def blind_spots(rendered: list[Rendered]) -> list[str]:
    """Kinds of which an unknown field goes unnoticed: a check of these checks."""
    kinds = {each["kind"]: each for several in rendered for each in several.manifests}
    found = []
    for kind, manifest in kinds.items():
        broken = copy.deepcopy(manifest)
        broken.get("spec", broken)["notAField"] = 1
        if not schema_problems(Rendered("broken", (broken,))):
            found.append(f"{kind}: an unknown field goes unnoticed")
    return found


@cache
def _problem(text: str, version: str) -> str:
    """text: the manifest as JSON; many sets of values give the same."""
    manifest: Manifest = json.loads(text)
    try:
        used = kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        return str(error.message)
    return "" if used == version else f"there is no schema of {version}, only of {used}"
