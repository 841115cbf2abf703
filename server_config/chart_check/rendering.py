"""Renders the chart with a real Helm, once for each set of values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from helm_python.chart import Chart, lint

ROOT: Final = Path(__file__).parent.parent.parent
HELM: Final = ROOT / "server_config" / "helm"
CHART: Final = HELM / "lafi"
VALUE_SETS: Final = HELM / "value_sets"
RELEASE: Final = "lafi"
NAMESPACE: Final = "drawing"
_WARNING: Final = 2
"""Severity of a lint message; below it are hints."""

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """What one set of values gives. name: of its file; manifests: in order of the templates."""

    name: str
    manifests: tuple[Manifest, ...]

    @property
    def text(self) -> str:
        """All manifests as one YAML document stream."""
        return yaml.safe_dump_all(self.manifests, sort_keys=False, width=120, allow_unicode=True)


def value_sets() -> dict[str, dict[str, Any]]:
    """The values of each set by its name."""
    files = sorted(VALUE_SETS.glob("*.yaml"))
    return {file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in files}


def render(values: dict[str, Any], name: str = "", release: str = RELEASE) -> Rendered:
    """What Helm makes of these values. Raises its errors."""
    with Chart.load(CHART) as chart:
        files = chart.render(values, name=release, namespace=NAMESPACE)
    documents = (yaml.safe_load_all(files[file]) for file in sorted(files))
    return Rendered(name, tuple(one for several in documents for one in several if one))


def lint_problems(values: dict[str, Any]) -> list[str]:
    """What `helm lint --strict` says of the chart with these values."""
    result = lint(CHART, values, strict=True, namespace=NAMESPACE)
    said = [f"{m['path']}: {m['error']}" for m in result["messages"] if m["severity"] >= _WARNING]
    return said + [str(error) for error in result["errors"]]


def title(manifest: Manifest) -> str:
    """Kind and name, as messages show it."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def doubled_names(rendered: Rendered) -> list[str]:
    """Objects that would overwrite each other."""
    titles = [title(manifest) for manifest in rendered.manifests]
    return sorted({f"{each} is there twice" for each in titles if titles.count(each) > 1})
