"""Parses the server's address and opens gRPC channels to it.

One address may stand for several servers, over which gRPC balances call by call: `dns:///host:port`
is every address that the name has (a headless Service), `ipv4:a:port,b:port` those that are listed.
"""

from __future__ import annotations

import ipaddress
import json
import re

import grpc

_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
_ENCRYPTED = "grpcs://"
_DNS, _LISTED = "dns:///", "ipv4:"
_ROUND = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})

ChannelOptions = list[tuple[str, int | str]]


def parse_target(url: str) -> str:
    """The target for gRPC: `host:port`, `dns:///host:port` or `ipv4:address:port,address:port`.

    `grpc://` or, for TLS, `grpcs://` may stand before each. Raises ValueError, which names the
    address and what is allowed.
    """
    target = _without_scheme(url).rstrip("/")
    several = target.removeprefix(_LISTED).split(",")
    if target.startswith(_LISTED):
        good = all(_is_address(each) and _is_ipv4(each) for each in several)
    else:
        good = _is_address(target.removeprefix(_DNS))
    if not good:
        raise ValueError(
            f"url: got {url!r}, allowed host:port of the server's gRPC port, "
            "for example 127.0.0.1:8001, or dns:///host:port for all servers that the name has"
        )
    return target


def is_one_address(url: str) -> bool:
    """Whether the commas in a text are part of one address, which gRPC balances over."""
    return _without_scheme(url).startswith(_LISTED)


def is_balanced(target: str) -> bool:
    """Whether each call to `target` may reach another server."""
    return target.startswith((_DNS, _LISTED))


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
    retries. Loopback addresses never use an HTTP proxy, nor do balanced ones: a proxy would look up
    the name itself and hide the servers. Calls to those go round all that are connected.
    """
    options: ChannelOptions = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 5000),
        ("grpc.max_reconnect_backoff_ms", 2000),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if is_balanced(target):
        options += [("grpc.service_config", _ROUND), ("grpc.service_config_disable_resolution", 1)]
    if target.startswith(_LISTED):
        # Whose name the certificate must have; gRPC would take the whole list for a name.
        options.append(("grpc.default_authority", target.removeprefix(_LISTED).split(",")[0]))
    if is_balanced(target) or _is_loopback(target.rpartition(":")[0]):
        options.append(("grpc.enable_http_proxy", 0))
    return options


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """A channel to `target`, with TLS if there are credentials."""
    options = channel_options(target)
    if credentials is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, credentials, options)


def _without_scheme(url: str) -> str:
    return url.strip().removeprefix("grpc://").removeprefix(_ENCRYPTED)


def _is_address(text: str) -> bool:
    match = _ADDRESS.fullmatch(text)
    return match is not None and 0 < int(match["port"]) < 65536


def _is_ipv4(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.rpartition(":")[0]).version == 4
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
