"""The configuration of Envoy before the front: TLS, and limits for what strangers may do.

Written as JSON, which Envoy reads as it reads YAML. Names and values are Envoy's own (its v3 API).
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from lafi.front.control import TlsFiles

FRONT_SOCKET = "front"
"""The front's Unix socket, in the server's folder, where Envoy runs."""
MAX_CONNECTIONS = 1024
MAX_STREAMS = 100
"""Of one connection."""
HANDSHAKE_SECONDS = 10
HEADER_KIB = 16
_WINDOW = 2**20
_TYPE = "type.googleapis.com/envoy.extensions"
_SECRET = f"{_TYPE}.transport_sockets.tls.v3.Secret"


def write_config(folder: Path, host: str, port: int, tls: TlsFiles | None) -> Path:
    """Write what Envoy needs into a folder; returns the file to start it with.

    host: an address or name to listen on. tls: None in the clear.
    """
    if tls is not None:
        _write_secrets(folder, tls)
    path = folder / "envoy.json"
    path.write_text(json.dumps(_bootstrap(folder, host, port, tls), indent=1))
    return path


def _bootstrap(folder: Path, host: str, port: int, tls: TlsFiles | None) -> dict[str, Any]:
    limit = {
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {
            "@type": f"{_TYPE}.resource_monitors.downstream_connections.v3."
            "DownstreamConnectionsConfig",
            "max_active_downstream_connections": MAX_CONNECTIONS,
        },
    }
    return {
        "node": {"id": "lafi", "cluster": "lafi"},
        "overload_manager": {"resource_monitors": [limit]},
        "static_resources": {
            "listeners": [_listener(folder, host, port, tls)],
            "clusters": [_front()],
        },
    }


def _listener(folder: Path, host: str, port: int, tls: TlsFiles | None) -> dict[str, Any]:
    manager = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "clients",
            "codec_type": "HTTP2",
            "max_request_headers_kb": HEADER_KIB,
            "request_headers_timeout": "10s",
            "stream_idle_timeout": "600s",
            "common_http_protocol_options": {"idle_timeout": "3600s", "max_headers_count": 64},
            "http2_protocol_options": _http2(),
            "route_config": {"virtual_hosts": [_everything()]},
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"},
                }
            ],
        },
    }
    chain: dict[str, Any] = {"filters": [manager]}
    if tls is not None:
        chain["transport_socket"] = _transport(folder, tls)
        chain["transport_socket_connect_timeout"] = f"{HANDSHAKE_SECONDS}s"
    return {
        "name": "clients",
        "address": {"socket_address": {"address": _address(host), "port_value": port}},
        "per_connection_buffer_limit_bytes": _WINDOW,
        "filter_chains": [chain],
    }


def _http2() -> dict[str, Any]:
    """Streams and windows of a connection, and how many frames nobody needs it may bring."""
    return {
        "max_concurrent_streams": MAX_STREAMS,
        "initial_stream_window_size": _WINDOW,
        "initial_connection_window_size": 16 * _WINDOW,
        "max_outbound_frames": 10_000,
        "max_outbound_control_frames": 1_000,
        "max_consecutive_inbound_frames_with_empty_payload": 1,
        "max_inbound_priority_frames_per_stream": 10,
        "max_inbound_window_update_frames_per_data_frame_sent": 10,
        "connection_keepalive": {"interval": "30s", "timeout": "10s"},
    }


def _everything() -> dict[str, Any]:
    """Every path goes to the front. A drawing has no time limit but the client's."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": "front", "timeout": "0s"}}
    return {"name": "front", "domains": ["*"], "routes": [route]}


def _front() -> dict[str, Any]:
    """The front's socket. The connection's window is so large that no stream stops another."""
    endpoint = {"endpoint": {"address": {"pipe": {"path": FRONT_SOCKET}}}}
    most = dict.fromkeys(("max_pending_requests", "max_requests"), MAX_CONNECTIONS)
    http2 = {
        "initial_stream_window_size": _WINDOW,
        "initial_connection_window_size": MAX_CONNECTIONS * _WINDOW,
    }
    return {
        "name": "front",
        "type": "STATIC",
        "connect_timeout": "2s",
        "per_connection_buffer_limit_bytes": _WINDOW,
        "circuit_breakers": {"thresholds": [most]},
        "load_assignment": {
            "cluster_name": "front",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": http2},
            }
        },
    }


def _transport(folder: Path, tls: TlsFiles) -> dict[str, Any]:
    common: dict[str, Any] = {
        "alpn_protocols": ["h2"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificate_sds_secret_configs": [_secret(folder, "server")],
    }
    if tls.client_ca:
        common["validation_context_sds_secret_config"] = _secret(folder, "clients")
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": common,
            "require_client_certificate": bool(tls.client_ca),
        },
    }


def _secret(folder: Path, name: str) -> dict[str, Any]:
    path = str(folder / f"envoy.{name}.json")
    return {"name": name, "sds_config": {"path_config_source": {"path": path}}}


def _write_secrets(folder: Path, tls: TlsFiles) -> None:
    """Files that name the certificates; Envoy reads those again when one is renamed into place."""
    server = {
        "certificate_chain": {"filename": tls.certificate},
        "private_key": {"filename": tls.key},
        "watched_directory": {"path": str(Path(tls.certificate).parent)},
    }
    secrets: dict[str, dict[str, Any]] = {"server": {"tls_certificate": server}}
    if tls.client_ca:
        watched = {"path": str(Path(tls.client_ca).parent)}
        clients = {"trusted_ca": {"filename": tls.client_ca}, "watched_directory": watched}
        secrets["clients"] = {"validation_context": clients}
    for name, secret in secrets.items():
        resource = {"@type": _SECRET, "name": name, **secret}
        path = folder / f"envoy.{name}.json"
        path.write_text(json.dumps({"resources": [resource]}, indent=1))


def _address(host: str) -> str:
    """Envoy listens on addresses, never on names."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return str(found[0][4][0])
