"""Real balancers before several servers: Envoy as the chart's gateway sets it up, and HAProxy.

Both see what a cluster shows them: an address is used while its /readyz says so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import yaml

from lafi.server.envoy_process import find_envoy
from lafi.server.free_ports import hold_ports

HOST = "127.0.0.1"
CHART = Path("server_config/helm/golden/many_gpus.yaml")
"""What the chart renders; its GRPCRoute says which requests come through."""
LOOK_SECONDS = 0.2
_TYPE = "type.googleapis.com/envoy"


class Pod(NamedTuple):
    """The ports of a server, which stay while it is replaced, and its loopback address."""

    grpc: int
    health: int
    host: str = HOST


class Balancer(Protocol):
    """One address for several servers."""

    name: str

    def run(self, pods: Sequence[Pod], folder: Path) -> AbstractContextManager[str]:
        """Runs while the context is open; gives "host:port". folder: its own, not there yet."""


class Envoy:
    """Envoy with the routes of the chart's GRPCRoute and addresses from a file, as gateways do."""

    name = "Envoy"

    @contextmanager
    def run(self, pods: Sequence[Pod], folder: Path) -> Iterator[str]:
        """As `Balancer.run`. Raises EnvoyMissingError."""
        folder.mkdir()
        held = hold_ports(HOST, {"grpc": 0})
        port = held.numbers["grpc"]
        addresses = folder / "endpoints.json"
        write_addresses(addresses, [])
        config = folder / "envoy.json"
        config.write_text(json.dumps(bootstrap(port, routes_of(chart_route()), addresses)))
        command = [str(find_envoy()), "--config-path", str(config), "--disable-hot-restart"]
        with (
            held,
            balancer_process([*command, "--log-level", "warning", "--concurrency", "1"], folder),
            _watched(pods, addresses),
        ):
            yield f"{HOST}:{port}"


class HaProxy:
    """HAProxy, which asks /readyz by itself."""

    name = "HAProxy"

    @contextmanager
    def run(self, pods: Sequence[Pod], folder: Path) -> Iterator[str]:
        """As `Balancer.run`. Raises RuntimeError where HAProxy is not installed."""
        binary = find_haproxy()
        if binary is None:
            raise RuntimeError("haproxy is not installed: apt-get install haproxy")
        folder.mkdir()
        held = hold_ports(HOST, {"grpc": 0})
        port = held.numbers["grpc"]
        config = folder / "haproxy.cfg"
        config.write_text(_haproxy(port, pods))
        with held, balancer_process([binary, "-f", str(config), "-db"], folder):
            yield f"{HOST}:{port}"


def find_haproxy() -> str | None:
    """Its binary, which Debian puts where only root looks."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")


def chart_route(chart: Path = CHART) -> Mapping[str, Any]:
    """The first GRPCRoute that the chart renders. Raises LookupError."""
    for document in yaml.safe_load_all(chart.read_text(encoding="utf-8")):
        if document and document["kind"] == "GRPCRoute":
            return dict(document)
    raise LookupError(f"{chart}: got no GRPCRoute, allowed one")


def routes_of(route: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Envoy's routes for a GRPCRoute whose matches name services, as gateways translate them.

    Raises ValueError for a match of another kind.
    """
    services = []
    for rule in route["spec"]["rules"]:
        for match in rule["matches"]:
            method = match["method"]
            if method.get("type", "Exact") != "Exact" or {*method} - {"type", "service"}:
                raise ValueError(f"match: got {match}, allowed: a service by its exact name")
            services.append(method["service"])
    # A gRPC stream has no time limit but its client's.
    action = {"cluster": "lafi", "timeout": "0s"}
    return [{"match": {"prefix": f"/{service}/"}, "route": action} for service in services]


def bootstrap(port: int, routes: list[dict[str, Any]], addresses: Path) -> dict[str, Any]:
    """Envoy's settings: the routes lead to the cluster `lafi`, whose addresses stand in a file."""
    http = f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = f"{_TYPE}.extensions.filters.http.router.v3.Router"
    manager = {
        "@type": http,
        "stat_prefix": "gateway",
        "codec_type": "HTTP2",
        "stream_idle_timeout": "0s",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": router}}],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    listener = {
        "name": "clients",
        "address": {"socket_address": {"address": HOST, "port_value": port}},
        "filter_chains": [chain],
    }
    options = f"{_TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions"
    source = {"path_config_source": {"path": str(addresses)}, "resource_api_version": "V3"}
    cluster = {
        "name": "lafi",
        "type": "EDS",
        "eds_cluster_config": {"eds_config": source},
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": "2s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": options,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }
    return {
        "node": {"id": "gateway", "cluster": "gateway"},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }


def write_addresses(path: Path, pods: Sequence[Pod]) -> None:
    """Renamed into place, which is what Envoy looks for."""
    ends = [
        {"endpoint": {"address": {"socket_address": {"address": pod.host, "port_value": pod.grpc}}}}
        for pod in pods
    ]
    resource = {
        "@type": f"{_TYPE}.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": "lafi",
        "endpoints": [{"lb_endpoints": ends}],
    }
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"resources": [resource]}))
    new.replace(path)


@contextmanager
def _watched(pods: Sequence[Pod], addresses: Path) -> Iterator[None]:
    """Keeps the file of addresses true, as a cluster's control plane does."""
    ended = threading.Event()
    known: list[Pod] = []

    def look() -> None:
        nonlocal known
        while not ended.is_set():
            ready = [pod for pod in pods if is_ready(pod)]
            if ready != known:
                write_addresses(addresses, ready)
                known = ready
            ended.wait(LOOK_SECONDS)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        while not known:
            time.sleep(LOOK_SECONDS)
        yield
    finally:
        ended.set()
        thread.join()


def is_ready(pod: Pod) -> bool:
    """What its /readyz says; false where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{pod.host}:{pod.health}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _haproxy(port: int, pods: Sequence[Pod]) -> str:
    check = f"check check-proto h1 inter {LOOK_SECONDS * 1000:.0f}ms fall 1 rise 1"
    lines = [
        "defaults",
        "    mode http",
        "    timeout connect 2s",
        "    timeout client 1h",
        "    timeout server 1h",
        "    option redispatch",
        "frontend clients",
        f"    bind {HOST}:{port} proto h2",
        "    default_backend lafi",
        "backend lafi",
        "    balance leastconn",
        "    option httpchk GET /readyz",
        # On each server's line: HAProxy 2.6 does not take check-proto from `default-server`.
        *(
            f"    server pod{number} {pod.host}:{pod.grpc} proto h2 port {pod.health} {check}"
            for number, pod in enumerate(pods)
        ),
    ]
    return "\n".join(lines) + "\n"


@contextmanager
def balancer_process(command: Sequence[str], folder: Path) -> Iterator[None]:
    """Raises RuntimeError, with its log, if it ends by itself."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        yield
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended: {log.read_text(errors='replace')}")
    finally:
        process.terminate()
        process.wait(10)
