"""What no schema knows of manifests: who is let in, and what fits into what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from server_config.chart_check.rendering import NAMESPACE, Manifest, Rendered, render, title

LONGEST_LABEL: Final = 63
_REVISION: Final = len("-") + 10
"""What the StatefulSet controller appends to the name for the label of a pod's revision."""
_LONG: Final = "a-release-with-a-name-of-53-characters-which-is-most-"
_OPEN: Final[dict[str, Any]] = {"insecure": True}
_MODEL: Final = {"name": "a", "checkpoint": "bundled"}
_GPU: Final = {"resource": "nvidia.com/gpu", "nodeSelector": {"card": "one"}, "count": 2}


def meaning_problems(rendered: list[Rendered]) -> list[str]:
    """Of all sets, and of values that only stand here."""
    found = [f"{each.name}: {problem}" for each in rendered for problem in _problems(each)]
    for values in (
        {"serve": {"requestMebibytes": 2047}},
        {"startup": {"seconds": 30}},
        {"network": {"clients": [{"podSelector": {"matchLabels": {"app": "caller"}}}]}},
    ):
        found += [f"{values}: {problem}" for problem in _problems(render({**_OPEN, **values}))]
    return [*found, *_long_names(), *_own_gpu(), *_pods()]


def _problems(rendered: Rendered) -> Iterator[str]:
    for manifest in rendered.manifests:
        for container in _servers(manifest):
            yield from (f"{title(manifest)}: {each}" for each in _unfit_options(container))
        if manifest["kind"] == "StatefulSet":
            yield from (f"{title(manifest)}: {each}" for each in _unknown_to_each_other(manifest))
    yield from _shut_out(rendered)


def _unknown_to_each_other(manifest: Manifest) -> Iterator[str]:
    """What keeps a pod from passing on calls about another pod's storyboard."""
    (container,) = _servers(manifest)
    given = {each["name"]: each for each in container["env"]}
    field = given["LAFI_POD"]["valueFrom"]["fieldRef"]["fieldPath"]
    if field != "metadata.name":
        yield f"LAFI_POD: got {field}, allowed: metadata.name"
    peers = given["LAFI_PEERS"]["value"]
    service = manifest["spec"]["serviceName"]
    if peers != f"{{pod}}.{service}.{NAMESPACE}.svc:8001":
        yield f"LAFI_PEERS: got {peers}, which is not in the headless Service {service}"
    encrypted = any(each.startswith("--tls-certificate=") for each in container["args"])
    if encrypted != ("LAFI_PEER_CA" in given):
        yield f"LAFI_PEER_CA: got {given.get('LAFI_PEER_CA')}, with TLS {encrypted}"


def _unfit_options(container: dict[str, Any]) -> Iterator[str]:
    """Options that `lafi serve` refuses together, or that do not fit the probe."""
    pairs = (each.removeprefix("--").partition("=") for each in container["args"])
    options = {name: value for name, _, value in pairs}
    if int(options["requests-mib"]) < int(options["request-mib"]):
        yield f"requests-mib: got {options['requests-mib']}, allowed: {options['request-mib']}"
    probe = container["startupProbe"]
    limit = probe["failureThreshold"] * probe["periodSeconds"]
    if not 10 <= int(options["startup-seconds"]) < limit:
        yield f"startup-seconds: got {options['startup-seconds']}, allowed: 10 to below {limit}"


def _shut_out(rendered: Rendered) -> Iterator[str]:
    """Pods of `helm test` that no policy lets to the servers, and servers without a policy."""
    policies = [each for each in rendered.manifests if each["kind"] == "NetworkPolicy"]
    for manifest in rendered.manifests:
        kind = manifest["kind"]
        if any(_servers(manifest)):
            of = {"StatefulSet": "template", "ClusterServingRuntime": ""}[kind]
            spec = manifest["spec"]
            labels = spec[of]["metadata"]["labels"] if of else spec.get("labels", {})
            its = [each for each in policies if _selects(each["spec"]["podSelector"], labels)]
            if not its:
                yield f"{title(manifest)}: no network policy is for its pods"
            for way in (_callers, _called):
                if not any(_is_peer(peer, labels) for each in its for peer in way(each, 8001)):
                    yield f"{title(manifest)}: its pods cannot call each other"
        if kind == "Pod":
            peers = [peer for each in policies for peer in _callers(each, 8001)]
            labels = manifest["metadata"]["labels"]
            if not any(_is_peer(peer, labels) for peer in peers):
                yield f"{title(manifest)}: no network policy lets it call the servers"


def _callers(policy: Manifest, port: int) -> Iterator[dict[str, Any]]:
    for rule in policy["spec"].get("ingress", ()):
        if port in [each["port"] for each in rule["ports"]]:
            yield from rule["from"]


def _called(policy: Manifest, port: int) -> Iterator[dict[str, Any]]:
    for rule in policy["spec"].get("egress", ()):
        if port in [each["port"] for each in rule["ports"]]:
            yield from rule["to"]


def _is_peer(peer: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a pod of the release's namespace is meant."""
    name = {"kubernetes.io/metadata.name": NAMESPACE}
    here = "namespaceSelector" not in peer or _selects(peer["namespaceSelector"], name)
    return here and "ipBlock" not in peer and _selects(peer.get("podSelector", {}), labels)


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items()


def _servers(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Containers that run `lafi serve`."""
    if manifest["kind"] == "StatefulSet":
        yield from manifest["spec"]["template"]["spec"]["containers"]
    if manifest["kind"] == "ClusterServingRuntime":
        yield from manifest["spec"]["containers"]


def _long_names() -> Iterator[str]:
    """Of the longest release and the longest model."""
    models = [{"name": "m" * 16, "checkpoint": "bundled"}]
    values = {**_OPEN, "models": models, "kserve": {"enabled": True}}
    for each in render(values, release=_LONG).manifests:
        most = LONGEST_LABEL - (_REVISION if each["kind"] == "StatefulSet" else 0)
        name = each["metadata"]["name"]
        if len(name) > most:
            yield f"{title(each)}: {len(name)} characters, allowed: {most}"
        if each["kind"] == "ClusterServingRuntime" and NAMESPACE not in name:
            yield f"{title(each)}: it is seen by all namespaces, and its name has none"


def _own_gpu() -> Iterator[str]:
    """A model's own values count more than `gpu`, and the others stay."""
    own = {"resource": "nvidia.com/mig-1g.18gb", "nodeSelector": {"other": "two"}}
    models = [{**_MODEL, "gpu": own}, {**_MODEL, "name": "b"}]
    rendered = render({**_OPEN, "models": models, "gpu": _GPU})
    pods = [
        each["spec"]["template"]["spec"]
        for each in rendered.manifests
        if "serviceName" in each.get("spec", {})
    ]
    got = [(pod["nodeSelector"], pod["containers"][0]["resources"]["limits"]) for pod in pods]
    wanted = (({"other": "two"}, own["resource"]), (_GPU["nodeSelector"], _GPU["resource"]))
    for (selector, limits), (nodes, resource) in zip(got, wanted, strict=True):
        if selector != nodes or limits.get(resource) != 2 or len(limits) != 3:
            yield f"models.gpu: got {selector} and {limits}, expected {nodes} and 2 {resource}"


def _pods() -> Iterator[str]:
    """Replicas: as asked, else one; with autoscaling the scaler's."""
    scaled = {"autoscaling": {"enabled": True, "prometheus": "http://prometheus:9090"}}
    for values, wanted in (
        ({"models": [_MODEL]}, 1),
        ({"models": [{**_MODEL, "replicas": 0}]}, 0),
        ({"models": [_MODEL], **scaled}, None),
    ):
        (served,) = (
            each["spec"]
            for each in render({**_OPEN, **values}).manifests
            if each["kind"] == "StatefulSet"
        )
        if served.get("replicas") != wanted:
            yield f"{values}: got {served.get('replicas')} replicas, expected {wanted}"
