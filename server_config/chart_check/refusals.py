"""Wrong values must be refused, with the name of the value in the message."""

from __future__ import annotations

from typing import Any, Final

from helm_python.errors import HelmError

from server_config.chart_check.rendering import render

_OPEN: Final[dict[str, Any]] = {"insecure": True}
_SAFE: Final = {"tls": {"secret": "x"}, "keys": {"secret": "y"}}
_SCALED: Final = {"enabled": True, "prometheus": "http://prometheus:9090"}
_MODEL: Final = {"name": "main", "replicas": 1, "checkpoint": "bundled"}
_BUILT: Final = {"name": "main", "replicas": 1, "repository": "sdxl_rtx"}
_CLAIM: Final = {"checkpoints": {"claim": "checkpoints"}}
_FETCHED: Final = {"enabled": True, "storageUri": "s3://models/main"}
_TENSORRT: Final = {"target": "tensorrt"}
_GPU: Final = {"resource": "nvidia.com/gpu"}
_NONE: Final = {"resource": ""}

WRONG: Final[tuple[tuple[dict[str, Any], tuple[str, ...]], ...]] = (
    ({}, ("tls.secret and keys.secret", "insecure: true")),
    ({"tls": {"secret": "x"}}, ("tls.secret and keys.secret",)),
    ({**_OPEN, "replicas": 3}, ("replicas",)),
    ({**_OPEN, "image": {"digest": "sha256:abc"}}, ("/image/digest", "sha256")),
    ({**_OPEN, "engines": {"target": "cuda"}}, ("/engines/target", "cpu")),
    ({**_OPEN, "engines": {"target": "tensorrt"}}, ("engines.target", "gpu.resource")),
    ({**_OPEN, "engines": {"sides": [256, 512]}}, ("/engines/sides", "3")),
    ({**_OPEN, "resources": {"sharedMemoryMebibytes": 64}}, ("sharedMemoryMebibytes", "256")),
    ({**_OPEN, "resources": {"memoryMebibytes": "8Gi"}}, ("memoryMebibytes", "integer")),
    ({**_OPEN, "models": [{**_MODEL, "name": "A_B"}]}, ("/models/0/name",)),
    ({**_OPEN, "models": [{**_MODEL, "checkpoint": "../x"}]}, ("/models/0/checkpoint",)),
    ({**_OPEN, "models": [{**_MODEL, "checkpoint": "x"}]}, ("checkpoint", "checkpoints.claim")),
    ({**_OPEN, "models": [{"name": "main", "replicas": 1}]}, ("/models/0", "oneOf")),
    ({**_OPEN, "models": [{**_MODEL, **_BUILT}], **_CLAIM}, ("/models/0", "oneOf")),
    ({**_OPEN, "models": [_BUILT]}, ("models.main.repository", "checkpoints.claim")),
    (
        {**_OPEN, "models": [{**_BUILT, "exportArguments": ["-v"]}], **_CLAIM},
        ("models.main.exportArguments", "checkpoint"),
    ),
    ({**_OPEN, "store": {"place": "s3:/panels"}}, ("/store/place",)),
    ({**_OPEN, "store": {"place": "s3://panels"}}, ("store.egress.cidrs",)),
    ({**_OPEN, "drain": {"longestStoryboardSeconds": 0}}, ("longestStoryboardSeconds", "1")),
    ({**_OPEN, "autoscaling": {"enabled": True}}, ("autoscaling.prometheus",)),
    ({**_OPEN, "autoscaling": {**_SCALED, "minReplicas": 0}}, ("autoscaling.minReplicas", "wake")),
    ({**_OPEN, "autoscaling": {**_SCALED, "minReplicas": 9}}, ("minReplicas", "maxReplicas, 4")),
    ({**_OPEN, "gateway": {"enabled": True}}, ("gateway.name",)),
    ({**_OPEN, "gpu": {"resource": "gpu"}}, ("/gpu/resource",)),
    ({**_OPEN, "tls": {"clientCertificates": True}}, ("tls.clientCertificates", "tls.secret")),
    ({**_SAFE}, ("tests.keySecret",)),
    ({**_SAFE, "monitoring": {"serviceMonitor": True}}, ("monitoring.keySecret",)),
    ({**_OPEN, "keys": {"secret": "y"}}, ("tests.enabled", "in the clear")),
    ({**_OPEN, "models": [_MODEL, _MODEL]}, ("models.main", "two of this name")),
    ({**_OPEN, "engines": {"sides": [512, 256, 1024]}}, ("engines.sides", "512 256 1024")),
    ({**_OPEN, "engines": {"sides": [256, 512, 1023]}}, ("/engines/sides/2", "multipleOf", "8")),
    ({**_OPEN, "disruption": {"maxUnavailable": "150%"}}, ("/disruption/maxUnavailable", "100")),
    ({**_OPEN, "disruption": {"maxUnavailable": "05%"}}, ("/disruption/maxUnavailable",)),
    ({**_OPEN, "store": {"place": "none"}}, ("tests.enabled", "a store")),
    ({**_OPEN, "store": {"secret": "x"}}, ("store.secret", "s3://")),
    ({**_OPEN, "store": {"endpoint": "https://x"}}, ("store.endpoint", "s3://")),
    ({**_OPEN, "autoscaling": {"toZero": True}}, ("autoscaling.toZero", "autoscaling.enabled")),
    (
        {**_OPEN, "autoscaling": {**_SCALED, "toZero": True, "wakeQuery": "up"}},
        ("autoscaling.toZero", "monitoring.serviceMonitor"),
    ),
    (
        {**_OPEN, "models": [_MODEL], "autoscaling": _SCALED},
        ("models.main.replicas: got 1", "minReplicas"),
    ),
    ({**_OPEN, "kserve": {"example": {"enabled": True}}}, ("kserve.example", "kserve.enabled")),
    (
        {**_OPEN, "kserve": {"enabled": True, "example": _FETCHED}},
        ("store.egress.cidrs", "kserve.example.storageUri"),
    ),
    ({**_OPEN, "startup": {"seconds": 29}}, ("/startup/seconds", "30")),
    ({**_OPEN, "models": [{**_MODEL, "gpu": {"resource": "gpu"}}]}, ("/models/0/gpu/resource",)),
    (
        {**_OPEN, "models": [{**_MODEL, "gpu": _NONE}], "engines": _TENSORRT, "gpu": _GPU},
        ("engines.target", "models.main"),
    ),
)
"""Values, and what the message must have."""


def refusal_problems() -> list[str]:
    """Values that were taken, or refused without the words that help."""
    found = []
    for values, words in WRONG:
        try:
            render(values)
        except HelmError as error:
            missing = [word for word in words if word not in str(error).replace("'", "")]
            if missing:
                found.append(f"{values}: refused without {missing}: {error}")
        else:
            found.append(f"{values}: was not refused")
    return found
