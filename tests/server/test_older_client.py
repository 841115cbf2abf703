"""A client of an earlier commit and today's server understand each other."""

from pathlib import Path

import pytest

from benchmarks.faults.drawing import board, client_of, draw
from benchmarks.faults.older_client import older_client
from lafi.server.supervisor import Supervisor


def test_an_older_client_gets_the_panels_that_todays_client_gets(
    server: Supervisor, tmp_path: Path
) -> None:
    wanted = board(424_242, panels=2, steps=1)
    panels, error = older_client(tmp_path / "older").draw(server.client_url, wanted, retries=3)
    assert error == ""
    with client_of(server.client_url) as client:
        today = draw(client, wanted)
    assert today.wrong() == ""
    assert {panel.panel: panel.digest for panel in panels} == today.panels


def test_what_the_server_refuses_reaches_an_older_client(
    server: Supervisor, tmp_path: Path
) -> None:
    wanted = board(424_243, panels=1, steps=1).model_copy(update={"variant": "ink"})
    client = older_client(tmp_path / "older")
    panels, error = client.draw(server.client_url, wanted, retries=0)
    assert panels == []
    assert "variant: got 'ink', allowed" in error


def test_a_commit_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="commit: got 0000000, allowed: one of this checkout's"):
        older_client(tmp_path, "0000000")
