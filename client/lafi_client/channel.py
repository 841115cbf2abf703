"""Parses the server's address and opens gRPC channels to it."""

from __future__ import annotations

import ipaddress
import re

import grpc

_ADDRESS = re.compile(r"^(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})$")
_ENCRYPTED = "grpcs://"

ChannelOptions = list[tuple[str, int]]


def parse_target(url: str) -> str:
    """`host:port` from `host:port`, `grpc://host:port` or, for TLS, `grpcs://host:port`.

    Raises ValueError, which names the address and what is allowed.
    """
    target = url.strip().removeprefix("grpc://").removeprefix(_ENCRYPTED).rstrip("/")
    match = _ADDRESS.match(target)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise ValueError(
            f"url: got {url!r}, allowed host:port of the server's gRPC port, "
            "for example 127.0.0.1:8001"
        )
    return target


def is_encrypted(url: str) -> bool:
    """Whether the address asks for TLS."""
    return url.strip().startswith(_ENCRYPTED)


def credentials_for(
    url: str, credentials: grpc.ChannelCredentials | None
) -> grpc.ChannelCredentials | None:
    """Those that are given; the usual authorities for an address that asks for TLS."""
    if credentials is None and is_encrypted(url):
        return grpc.ssl_channel_credentials()
    return credentials


def channel_options(target: str) -> ChannelOptions:
    """gRPC channel arguments for `target`.

    Messages have no size limit (a 2048 px PNG exceeds gRPC's default of 4 MiB). gRPC reconnects
    to a lost server within seconds; its default backoff, up to two minutes, is longer than all our
    retries. Loopback addresses never use an HTTP proxy.
    """
    options: ChannelOptions = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 5000),
        ("grpc.max_reconnect_backoff_ms", 2000),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if _is_loopback(target.rpartition(":")[0]):
        options.append(("grpc.enable_http_proxy", 0))
    return options


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """A channel to `target`, with TLS if there are credentials."""
    options = channel_options(target)
    if credentials is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, credentials, options)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
