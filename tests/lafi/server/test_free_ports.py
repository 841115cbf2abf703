import socket

import pytest

from lafi.server.free_ports import PortTakenError, hold_ports, url_host

LOOPBACK = "127.0.0.1"


def choose_ports(host: str, wanted: dict[str, int]) -> dict[str, int]:
    """Held for a moment."""
    with hold_ports(host, wanted) as held:
        return held.numbers


def test_zero_picks_free_ports_that_differ() -> None:
    ports = choose_ports(LOOPBACK, {"grpc": 0, "http": 0, "metrics": 0})
    assert list(ports) == ["grpc", "http", "metrics"]
    assert len(set(ports.values())) == 3
    assert all(1024 <= port <= 65535 for port in ports.values())


def test_a_port_that_was_asked_for_is_kept_and_not_picked_again() -> None:
    wanted = choose_ports(LOOPBACK, {"grpc": 0})["grpc"]
    assert choose_ports(LOOPBACK, {"http": 0, "grpc": wanted})["grpc"] == wanted


def test_a_taken_port_is_named_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = f"port {port} on 127.0.0.1 is taken: .* choose another with --http-port"
        with pytest.raises(PortTakenError, match=text):
            choose_ports(LOOPBACK, {"grpc": 0, "http": port})


def listening_at(port: int) -> socket.socket:
    """As a server listens that asks for a port by its number."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port))
    listener.listen()
    return listener


def test_a_held_port_is_given_to_nobody_who_asks_for_any_and_to_its_server_again_and_again() -> (
    None
):
    with hold_ports(LOOPBACK, {"grpc": 0}) as held:
        port = held.numbers["grpc"]
        others = [choose_ports(LOOPBACK, {"grpc": 0})["grpc"] for _ in range(300)]
        assert port not in others
        for _ in range(2):
            with (
                listening_at(port),
                socket.create_connection((LOOPBACK, port), timeout=5),
                pytest.raises(PortTakenError, match=f"port {port} on 127.0.0.1 is taken"),
            ):
                hold_ports(LOOPBACK, {"grpc": port})
    held.release()
    assert choose_ports(LOOPBACK, {"grpc": port}) == {"grpc": port}


def test_a_refused_port_leaves_no_other_held() -> None:
    with listening_at(0) as taken:
        port = taken.getsockname()[1]
        free = choose_ports(LOOPBACK, {"grpc": 0})["grpc"]
        with pytest.raises(PortTakenError):
            hold_ports(LOOPBACK, {"http": free, "grpc": port})
    with socket.socket() as unshared:
        unshared.bind((LOOPBACK, free))


def test_the_same_port_twice_is_refused() -> None:
    port = choose_ports(LOOPBACK, {"grpc": 0})["grpc"]
    with pytest.raises(PortTakenError, match=f"--metrics-port: port {port} is given twice"):
        choose_ports(LOOPBACK, {"http": port, "metrics": port})


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match=rf"--grpc-port: got {port}, allowed: 0"):
        choose_ports(LOOPBACK, {"grpc": port})


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ValueError, match=r"--host: got '192\.0\.2\.1', which is no address of"):
        choose_ports("192.0.2.1", {"grpc": 0})


def test_an_ipv6_address_gets_brackets_in_a_url() -> None:
    assert (url_host("::1"), url_host(LOOPBACK)) == ("[::1]", LOOPBACK)
