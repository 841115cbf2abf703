"""Addresses of a server, and how channels to it behave."""

from __future__ import annotations

import pytest

from lafi_client.channel import channel_options, parse_target


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("127.0.0.1:8001", "127.0.0.1:8001"),
        (" grpc://draw.example.org:443/ ", "draw.example.org:443"),
        ("[::1]:8001", "[::1]:8001"),
    ],
)
def test_addresses(url: str, target: str) -> None:
    assert parse_target(url) == target


@pytest.mark.parametrize(
    ("target", "direct"),
    [
        ("127.0.0.1:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("draw.example.org:1", False),
        ("10.0.0.1:1", False),
    ],
)
def test_only_loopback_avoids_a_proxy(target: str, direct: bool) -> None:
    options = dict(channel_options(target))
    assert (options.get("grpc.enable_http_proxy") == 0) == direct
    assert options["grpc.max_receive_message_length"] == -1
