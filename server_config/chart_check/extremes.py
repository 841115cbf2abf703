"""Values that YAML likes to change: large whole numbers, and words that look like numbers.

Helm holds every number as a float, which is written as 1.048576e+07 from a million on, and a
Secret named 1234 is a number where nothing quotes it.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import yaml

from server_config.chart_check.rendering import CHART, Rendered, render, title
from server_config.chart_check.schemas import VERSIONS, schema_problems

LARGE: Final = 10_485_760
"""Above the million from which Helm writes floats; smaller where the schema's maximum is."""
ODD: Final = ("1234", "true", "1e3")
"""Strings that YAML reads as something else, where nothing quotes them."""
_FLOAT: Final = re.compile(r"\b\d(?:\.\d+)?e\+\d+\b")
_MODELS: Final = (
    {"name": "a", "checkpoint": "x", "exportArguments": ["x"]},
    {"name": "a", "repository": "x"},
)
_EVERYTHING: Final[dict[str, Any]] = {
    "checkpoints": {"claim": "x"},
    "engines": {"target": "tensorrt"},
    "gpu": {"resource": "nvidia.com/gpu"},
    "store": {"place": "s3://panels", "egress": {"cidrs": ["10.0.0.0/8"]}},
    "tls": {"secret": "x", "clientCertificates": True},
    "keys": {"secret": "x"},
    "autoscaling": {"enabled": True, "prometheus": "http://prometheus:9090"},
    "gateway": {"enabled": True, "name": "x"},
    "kserve": {"enabled": True, "example": {"enabled": True}},
    "monitoring": {"serviceMonitor": True, "rules": True, "dashboard": True, "keySecret": "x"},
    "tests": {"keySecret": "x", "certificateSecret": "x"},
}
"""Every part of the chart at once."""
_PLAIN: Final[dict[str, Any]] = {
    "insecure": True,
    "models": [{"name": "a", "checkpoint": "bundled", "replicas": 1}],
}
"""With what autoscaling does not take."""

Choice = Callable[[dict[str, Any]], Any]
"""A value for a schema, or None."""


def extreme_problems() -> list[str]:
    """Numbers that became floats, and words that became something else."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    found = _blind()
    for base in (_PLAIN, *({**_EVERYTHING, "models": [model]} for model in _MODELS)):
        values = _with(base, schema, _large)
        rendered = render(values)
        found += [f"a large number became a float: {each}" for each in floats(rendered)]
        found += _wrong(rendered, "large numbers")
    for word in ODD:
        for model in _MODELS:
            base = {**_EVERYTHING, "models": [model]}
            values = _with(base, schema, partial(_odd, word))
            found += _wrong(render(values), f"strings that are {word}")
            values["engines"]["claim"] = ""
            found += _wrong(render(values), f"strings that are {word}")
    return found


def floats(rendered: Rendered) -> list[str]:
    """Where a manifest has a float, as a number or written into a text."""
    return [
        f"{title(manifest)}: {found}"
        for manifest in rendered.manifests
        for found in dict.fromkeys(_floats_in(manifest, ""))
    ]


def _floats_in(value: Any, place: str) -> Iterator[str]:
    match value:
        case dict():
            for name, part in value.items():
                yield from _floats_in(name, f"{place}.{name}")
                yield from _floats_in(part, f"{place}.{name}")
        case list():
            for number, part in enumerate(value):
                yield from _floats_in(part, f"{place}[{number}]")
        case float():
            yield f"{place[1:]}: {value}"
        case str():
            lines = (line.strip() for line in value.splitlines() if _FLOAT.search(line))
            yield from (f"{place[1:]}: {line}" for line in lines)


def _blind() -> list[str]:
    """What `floats` does not see, although it is planted here; and what it should not see."""
    found = []
    for text in ("{replicas: 1.048576e+07}", "{ports: [1.5e+06]}", "{args: ['--most=1.5e+06']}"):
        planted = {"kind": "Planted", "metadata": {"name": "a"}, "spec": yaml.safe_load(text)}
        if len(floats(Rendered("", (planted,)))) != 1:
            found.append(f"a planted float is not seen: {text}")
    whole = {"kind": "Planted", "metadata": {"name": "a"}, "spec": {"replicas": LARGE, "cpu": "1"}}
    return [*found, *(f"no float: {each}" for each in floats(Rendered("", (whole,))))]


def _wrong(rendered: Rendered, of: str) -> list[str]:
    """One version of Kubernetes is enough: they do not differ in what is a number."""
    return [f"{of}: {problem}" for problem in schema_problems(rendered, VERSIONS[-1:])]


def _large(schema: dict[str, Any]) -> Any:
    if "integer" in _types(schema) or "number" in _types(schema):
        return min(schema.get("maximum", LARGE), LARGE)
    return None


def _odd(word: str, schema: dict[str, Any]) -> Any:
    if _types(schema) != ["string"] or not re.search(schema.get("pattern", ""), word):
        return None
    return word if len(word) <= schema.get("maxLength", len(word)) else None


def _types(schema: dict[str, Any]) -> list[str]:
    named = schema.get("type", [])
    return [named] if isinstance(named, str) else named


def _with(base: dict[str, Any], schema: dict[str, Any], choose: Choice) -> dict[str, Any]:
    """The base with every value that `choose` makes. Items of a list only what the base has."""
    values = copy.deepcopy(base)
    for name, part in schema["properties"].items():
        value = choose(part)
        if value is not None:
            values[name] = value
        elif "properties" in part:
            values[name] = _with(values.get(name, {}), part, choose)
        elif (items := part.get("items")) and choose(items) is not None:
            values[name] = [choose(items)] * part.get("minItems", 1)
        elif items and "properties" in items and name in values:
            chosen = ({**_with(each, items, choose)} for each in values[name])
            values[name] = [
                {key: value for key, value in new.items() if key in old}
                for new, old in zip(chosen, values[name], strict=True)
            ]
    return values
