"""One address for several servers: gRPC goes round them, call by call."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
import trustme
from fake_triton import FakeTritonServer
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2_grpc

from lafi.board.storyboard import Panel, Storyboard
from lafi_client.aio import AsyncStoryboardClient
from lafi_client.channel import channel_options, is_balanced, is_encrypted, parse_target
from lafi_client.client import StoryboardClient
from lafi_client.servers import addresses

STORYBOARD = Storyboard(panels=(Panel(prompt="a house"),))
PORTS = st.integers(1, 65535)
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z0-9-]{1,20}){0,4}", fullmatch=True)


@pytest.fixture
def pair() -> Iterator[tuple[FakeTritonServer, FakeTritonServer]]:
    servers = (FakeTritonServer(), FakeTritonServer())
    for number, server in enumerate(servers):
        server.ids = True
        server.streams = 100 * number
    yield servers
    for server in servers:
        server.stop()


def listed(*servers: Any) -> str:
    return "ipv4:" + ",".join(server.url for server in servers)


@given(name=NAMES, port=PORTS, scheme=st.sampled_from(["", "grpc://", "grpcs://"]))
def test_a_name_with_dns_is_one_balanced_address(name: str, port: int, scheme: str) -> None:
    url = f"{scheme}dns:///{name}:{port}"
    assert parse_target(url) == f"dns:///{name}:{port}"
    assert is_encrypted(url) == (scheme == "grpcs://")
    assert is_balanced(parse_target(url))
    assert addresses(url) == (url,)
    assert addresses(f"{url},{name}:{port}") == (url, f"{name}:{port}")
    assert not is_balanced(parse_target(f"{scheme}{name}:{port}"))


@given(st.lists(st.tuples(st.ip_addresses(v=4), PORTS), min_size=1, max_size=4, unique=True))
def test_a_list_of_addresses_is_one_balanced_address(several: list[Any]) -> None:
    url = "ipv4:" + ",".join(f"{address}:{port}" for address, port in several)
    assert addresses(url) == (url,)
    assert parse_target(url) == url
    options = dict(channel_options(url))
    assert "round_robin" in str(options["grpc.service_config"])
    assert "grpc.service_config" not in dict(channel_options("127.0.0.1:1"))


@pytest.mark.parametrize(
    "url",
    [
        *("dns:///lafi", "dns:///lafi:0", "dns://8.8.8.8/lafi:1", "dns:lafi:1", "dns:///a:1,b:2"),
        *("ipv4:", "ipv4:lafi:1", "ipv4:1.2.3.4", "ipv4:1.2.3.4:1,", "ipv4:[::1]:1"),
        *("unix:/tmp/socket", "xds:///lafi:1", "dns:///a/b:1", "dns:///dns:///a:1"),
    ],
)
def test_what_is_no_address_is_named(url: str) -> None:
    with pytest.raises(ValueError, match=r"url: got .*, allowed host:port .* or dns:///host:port"):
        parse_target(url)


def test_both_servers_get_calls_of_the_client(
    pair: tuple[FakeTritonServer, FakeTritonServer],
) -> None:
    with StoryboardClient(listed(*pair)) as client:
        for _ in range(8):
            assert len(client.draw_all(STORYBOARD)) == 1
    # Each draws and acknowledges, so one may get all of the one and the other all of the other.
    assert all(server.received or server.commands for server in pair)
    assert sum(len(server.received) for server in pair) == 8


def test_both_servers_get_calls_of_the_asynchronous_client(
    pair: tuple[FakeTritonServer, FakeTritonServer],
) -> None:
    async def draw() -> None:
        async with AsyncStoryboardClient(listed(*pair)) as client:
            for _ in range(8):
                assert len(await client.draw_all(STORYBOARD)) == 1

    asyncio.run(draw())
    # Each draws and acknowledges, so one may get all of the one and the other all of the other.
    assert all(server.received or server.commands for server in pair)
    assert sum(len(server.received) for server in pair) == 8


def test_a_server_that_is_gone_is_passed_over(
    pair: tuple[FakeTritonServer, FakeTritonServer],
) -> None:
    first, second = pair
    first.stop()
    with StoryboardClient(listed(first, second)) as client:
        for _ in range(4):
            assert len(client.draw_all(STORYBOARD)) == 1
    assert len(second.received) == 4


@pytest.mark.parametrize("scheme", ["grpcs://", ""])
def test_a_balanced_address_with_tls(scheme: str) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([(issued.private_key_pem.bytes(), chain)])
    fakes, servers, ports = (FakeTritonServer(), FakeTritonServer()), [], []
    try:
        for fake in fakes:
            server = grpc.server(ThreadPoolExecutor(4))
            service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
            ports.append(server.add_secure_port("127.0.0.1:0", credentials))
            server.start()
            servers.append(server)
        url = f"{scheme}ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
        roots = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        with StoryboardClient(url, credentials=roots) as client:
            for _ in range(8):
                assert len(client.draw_all(STORYBOARD)) == 1
        assert all(fake.received for fake in fakes)
        with StoryboardClient(f"grpcs://dns:///localhost:{ports[0]}", credentials=roots) as client:
            assert client.ready()
    finally:
        for each in [*servers, *(fake._server for fake in fakes)]:
            each.stop(None).wait()
