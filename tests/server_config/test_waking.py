"""What wakes the first pod: a real Envoy with the chart's route and no pod behind it."""

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.faults.balancers import (
    HOST,
    balancer_process,
    bootstrap,
    chart_route,
    routes_of,
    write_addresses,
)
from lafi.server.envoy_process import find_envoy
from lafi.server.free_ports import hold_ports

pytest.importorskip("envoy")

GOLDEN = Path(__file__).parents[2] / "server_config/helm/golden/to_zero.yaml"
STAYS = "envoy_cluster_upstream_rq_total"
CALLS = 3


def wake_query() -> str:
    documents = yaml.safe_load_all(GOLDEN.read_text(encoding="utf-8"))
    (scaled,) = [each for each in documents if each["kind"] == "ScaledObject"]
    (query,) = [
        each["metadata"]["query"] for each in scaled["spec"]["triggers"] if each["name"] == "wake"
    ]
    return str(query)


class Gateway:
    """An Envoy without pods."""

    def __init__(self, url: str, admin: str) -> None:
        self.url, self._admin = url, admin

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._admin}/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def numbers(self) -> dict[str, float]:
        """Of the cluster that the chart's route leads to, as Prometheus scrapes them."""
        with urllib.request.urlopen(f"{self._admin}/stats/prometheus", timeout=5) as answer:
            text = answer.read().decode()
        found = re.findall(r'^(\w+)\{envoy_cluster_name="lafi"\} (\S+)$', text, re.MULTILINE)
        return {name: float(value) for name, value in found}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    addresses, config = tmp_path / "endpoints.json", tmp_path / "envoy.json"
    write_addresses(addresses, [])
    with hold_ports(HOST, {"grpc": 0, "admin": 0}) as held:
        ports = held.numbers
        settings: dict[str, Any] = bootstrap(
            ports["grpc"], routes_of(chart_route(GOLDEN)), addresses
        )
        where = {"address": HOST, "port_value": ports["admin"]}
        settings["admin"] = {"address": {"socket_address": where}}
        config.write_text(json.dumps(settings))
        command = [str(find_envoy()), "--config-path", str(config), "--disable-hot-restart"]
        with balancer_process([*command, "--concurrency", "1"], tmp_path):
            running = Gateway(f"{HOST}:{ports['grpc']}", f"http://{HOST}:{ports['admin']}")
            until = time.monotonic() + 60
            while not running.is_ready():
                assert time.monotonic() < until, (tmp_path / "log").read_text()
                time.sleep(0.1)
            yield running


def test_a_call_without_a_pod_changes_what_wakes_the_first(gateway: Gateway) -> None:
    (metric,) = {*re.findall(r"envoy_\w+(?=\{)", wake_query())}
    before = gateway.numbers()
    assert before[metric] == 0
    with grpc.insecure_channel(gateway.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for _ in range(CALLS):
            with pytest.raises(grpc.RpcError) as refused:
                stub.ModelInfer(service_pb2.ModelInferRequest(model_name="storyboard"))
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    after = gateway.numbers()
    assert after[metric] - before[metric] == CALLS
    # Why the query asks for no other: without a pod nothing is sent on.
    assert after[STAYS] == before[STAYS] == 0


def test_the_query_names_the_routes_cluster() -> None:
    (pattern,) = re.findall(r'envoy_cluster_name=~"([^"]+)"', wake_query())
    names = ("httproute/drawing/lafi-main/rule/0", "outbound|8001||lafi-main.drawing.svc", "lafi")
    assert [name for name in names if not re.fullmatch(pattern, name)] == []
