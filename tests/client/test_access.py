"""The key goes with every call, and nowhere else."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner

from lafi.app.cli import app
from lafi.board.storyboard import Storyboard
from lafi_client.access import Access, key_metadata
from lafi_client.aio import AsyncStoryboardClient
from lafi_client.client import StoryboardClient
from lafi_client.errors import NotAllowed, error_from_status, error_from_text
from lafi_client.identity import IdentityClient

KEY = "lafi_A-secret-of-43-letters"
runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


@pytest.fixture
def seen(server: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """Each call of the fake server with the key that it carried."""
    calls: list[tuple[str, str | None]] = []

    def noted(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            headers = dict(context.invocation_metadata())
            calls.append((name, headers.get("authorization")))
            return method(request, context)

        return call

    server.ids = True
    for name in ("ModelReady", "ModelInfer", "ModelStreamInfer", "ServerLive"):
        monkeypatch.setattr(server, name, noted(name, getattr(server, name)))
    server.stop()
    server.start()
    return calls


def use(client: StoryboardClient, storyboard: Storyboard) -> None:
    with client:
        assert client.ready()
        client.draw_all(storyboard)
        client.queue()
        client._probe(client._servers.all[0])


async def use_async(client: AsyncStoryboardClient, storyboard: Storyboard) -> None:
    async with client:
        assert await client.ready()
        await client.draw_all(storyboard)
        await client.queue()
        await client._probe(client._servers.all[0])


@pytest.mark.parametrize("key", [KEY, ""])
def test_every_call_carries_the_key(
    server: Any, seen: list[tuple[str, str | None]], storyboard: Storyboard, key: str
) -> None:
    use(StoryboardClient(server.url, api_key=key), storyboard)
    asyncio.run(use_async(AsyncStoryboardClient(server.url, api_key=key), storyboard))
    with IdentityClient(server.url, api_key=key) as client, pytest.raises(Exception):  # noqa: B017
        client.identify(b"")
    assert {name for name, _ in seen} == {
        "ModelReady",
        "ModelInfer",
        "ModelStreamInfer",
        "ServerLive",
    }
    assert {carried for _, carried in seen} == {f"Bearer {key}" if key else None}


@pytest.fixture
def denying(server: Any) -> Any:
    def deny(request: Any, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "got no keys, allowed: one")

    server.ModelStreamInfer = server.ModelInfer = deny
    server.stop()
    server.start()
    return server


def test_without_a_key_the_command_says_so_at_once(denying: Any, tmp_path: Path) -> None:
    story = tmp_path / "story.yaml"
    story.write_text("panels: [{prompt: a house}]")
    for arguments in (["draw", str(story), "--out", str(tmp_path / "out")], ["queue"]):
        result = runner.invoke(app, [*arguments, "--url", denying.url])
        assert result.exit_code == 2
        assert "got no keys, allowed: one" in result.output


def test_the_key_is_in_no_file_and_no_output(
    server: Any, seen: list[tuple[str, str | None]], tmp_path: Path
) -> None:
    story = tmp_path / "story.yaml"
    story.write_text("panels: [{prompt: a house}]")
    arguments = ["draw", str(story), "--out", str(tmp_path / "out"), "--url", server.url]
    result = runner.invoke(app, arguments, env={"LAFI_API_KEY": KEY})
    assert result.exit_code == 0
    assert ("ModelStreamInfer", f"Bearer {KEY}") in seen
    assert KEY not in result.output
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert not any(KEY.encode() in path.read_bytes() for path in files)
    assert "LAFI_API_KEY" not in os.environ
    assert KEY not in repr(Access(KEY))


@pytest.mark.parametrize("key", ["a b", "a\n", "ä", "a\x00"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match=r"^api_key: got blanks or special") as refused:
        key_metadata(key)
    assert key not in str(refused.value)


@pytest.mark.parametrize("status", ["PERMISSION_DENIED", "UNAUTHENTICATED"])
def test_what_is_not_allowed_is_not_tried_again(status: str) -> None:
    whole = error_from_status(grpc.StatusCode[status], "no", "target")
    streamed = error_from_text(f"{status}: no", "target")
    for error in (whole, streamed):
        assert isinstance(error, NotAllowed)
        assert str(error) == "no"
        assert not error.retryable


def test_a_full_server_is_tried_again() -> None:
    assert error_from_text("RESOURCE_EXHAUSTED: 5 of 4 bytes", "target").retryable


def test_half_a_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="give both or neither"):
        Access(tls_key=Path("key.pem"))
    result = runner.invoke(app, ["queue", "--tls-certificate", "x.pem"])
    assert result.exit_code == 2
    assert "give both or neither" in result.output
