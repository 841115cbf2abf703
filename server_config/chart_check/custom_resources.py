"""Checks custom resources against what their own projects publish, as far as a package carries it.

KEDA and the Prometheus operator: pydantic models made from their CRDs (cloudcoil). KServe: the
models of its own Python package. Gateway API: no Python package has its CRD. npm's
`@kubernetes-models/gateway-api` (2.0.0) carries no schema but checks compiled to JavaScript, which
need Node and 27 packages more, and which take a field that does not exist (tried). So the fields
that the chart uses are written down here.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor
from pydantic import BaseModel, ValidationError

from server_config.chart_check.rendering import Manifest

_KUBERNETES: Final = "1.34"
_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 253}


def _closed(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


def _listed(item: dict[str, Any], most: int) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "maxItems": most, "items": item}


_METHOD: Final = _closed(
    (), type={"enum": ["Exact", "RegularExpression"]}, service=_NAME, method=_NAME
)
_BACKEND: Final = _closed(
    ("name", "port"), name=_NAME, port={"type": "integer", "minimum": 1, "maximum": 65535}
)
_ROUTE: Final = _closed(
    ("parentRefs", "rules"),
    parentRefs=_listed(_closed(("name",), name=_NAME, namespace=_NAME, sectionName=_NAME), 32),
    hostnames=_listed(_NAME, 16),
    rules=_listed(
        _closed(
            ("backendRefs",),
            matches=_listed(_closed((), method=_METHOD), 8),
            backendRefs=_listed(_BACKEND, 16),
        ),
        16,
    ),
)


def _by_model(model: type[BaseModel], manifest: Manifest) -> list[str]:
    """The model takes what it does not know, so what it leaves out is a problem too."""
    try:
        taken = model.model_validate(manifest)
    except ValidationError as error:
        return [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    known = taken.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return [f"{path}: unknown" for path in _left_out(manifest, known, "")]


def _left_out(given: Any, known: Any, path: str) -> Iterator[str]:
    if isinstance(given, dict):
        if not isinstance(known, dict):
            yield path
            return
        for name, value in given.items():
            if name not in known:
                yield f"{path}.{name}"
            else:
                yield from _left_out(value, known[name], f"{path}.{name}")
    elif isinstance(given, list) and isinstance(known, list):
        for place, (one, other) in enumerate(zip(given, known, strict=True)):
            yield from _left_out(one, other, f"{path}.{place}")


def _by_gateway_api(manifest: Manifest) -> list[str]:
    validator = jsonschema.Draft202012Validator(_ROUTE)
    errors = validator.iter_errors(manifest["spec"])
    return [f"spec.{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in errors]


def _by_kserve(model: str, manifest: Manifest) -> list[str]:
    return list(_kserve_problems(model, manifest, ""))


def _kserve_problems(kind: str, value: Any, path: str) -> Iterator[str]:
    """kind: as KServe's models write it, such as list[V1Container] or dict(str, str)."""
    if kind.startswith("list["):
        if not isinstance(value, list):
            yield f"{path}: not a list"
            return
        for place, one in enumerate(value):
            yield from _kserve_problems(kind[5:-1], one, f"{path}.{place}")
    elif kind == "V1ObjectMeta":
        return
    elif kind.startswith("V1") and (model := _kserve_model(kind)):
        if not isinstance(value, dict):
            yield f"{path}: not an object"
            return
        for name, one in value.items():
            if name not in model:
                yield f"{path}.{name}: {kind} does not know it"
            else:
                yield from _kserve_problems(model[name], one, f"{path}.{name}")
    elif kind.startswith("V1"):
        yield from _kubernetes_problems(kind, value, path)
    else:
        wanted = {"str": str, "bool": bool, "int": int}.get(kind.partition("(")[0], object)
        if not isinstance(value, wanted):
            yield f"{path}: got {value!r}, allowed: {kind}"


def _kubernetes_problems(kind: str, value: Any, path: str) -> Iterator[str]:
    """A part of a pod, by putting it into one."""
    container = {"name": "x", "image": "x"}
    pod: dict[str, Any] = {"containers": [container]}
    places = {
        "V1Container": ("containers", [value]),
        "V1Volume": ("volumes", [value]),
        "V1Toleration": ("tolerations", [value]),
        "V1LocalObjectReference": ("imagePullSecrets", [value]),
        "V1PodSecurityContext": ("securityContext", value),
    }
    if kind not in places:
        yield f"{path}: {kind} is not checked by anything"
        return
    name, content = places[kind]
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod}
    body["spec"] = {**pod, name: content}
    try:
        kubernetes_validate.validate(body, _KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{path}: {'.'.join(map(str, error.path))}: {error.message}"


@cache
def _kserve_model(kind: str) -> dict[str, str]:
    """JSON name to type of one model; empty where KServe has none of this name.

    Read from the source, since importing the package needs all of KServe's own server.
    """
    spec = importlib.util.find_spec("kserve")
    assert spec is not None, "kserve is not installed"
    assert spec.origin is not None
    file = Path(spec.origin).parent / "models" / f"{_snake(kind)}.py"
    if not file.is_file():
        return {}
    tables: dict[str, dict[str, str]] = {}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in ("openapi_types", "attribute_map"):
                tables[name] = ast.literal_eval(node.value)
    types = tables["openapi_types"]
    return {json: types[name] for name, json in tables["attribute_map"].items()}


def _snake(kind: str) -> str:
    """V1alpha1ServingRuntimeSpec: v1alpha1_serving_runtime_spec."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in kind).lstrip("_")


CUSTOM: Final[dict[tuple[str, str], Callable[[Manifest], list[str]]]] = {
    ("keda.sh/v1alpha1", "ScaledObject"): partial(_by_model, ScaledObject),
    ("monitoring.coreos.com/v1", "ServiceMonitor"): partial(_by_model, ServiceMonitor),
    ("monitoring.coreos.com/v1", "PrometheusRule"): partial(_by_model, PrometheusRule),
    ("gateway.networking.k8s.io/v1", "GRPCRoute"): _by_gateway_api,
    ("serving.kserve.io/v1alpha1", "ClusterServingRuntime"): partial(
        _by_kserve, "V1alpha1ClusterServingRuntime"
    ),
    ("serving.kserve.io/v1beta1", "InferenceService"): partial(
        _by_kserve, "V1beta1InferenceService"
    ),
}
"""Every custom resource that the chart may make, and what finds its problems."""
