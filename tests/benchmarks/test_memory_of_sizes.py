"""The sizes of `benchmarks.memory_of_sizes`, and what it writes of a server that is not there."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import memory_of_sizes
from lafi.board.storyboard import Storyboard
from model_infos import bare_repository, save_facts


@pytest.mark.parametrize(("largest", "count"), [(320, 100), (640, 100), (96, 9)])
def test_sizes_are_many_and_none_is_larger(largest: int, count: int) -> None:
    sizes = memory_of_sizes.sizes_up_to(largest, 32)
    assert len(sizes) == len({*sizes}) == count
    assert max(map(max, sizes)) == largest
    assert all(side % 32 == 0 for size in sizes for side in size)


def test_what_has_grown_is_counted_from_the_most_of_one_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Storyboard] = []

    class Client:
        def __init__(self, url: str) -> None:
            self.url = url

        def __enter__(self) -> "Client":
            return self

        def __exit__(self, *_: object) -> None: ...

        def draw_all(self, board: Storyboard) -> None:
            drawn.append(board)

    served: Any = SimpleNamespace(
        url="", resident_bytes=lambda: memory_of_sizes.MIB * (100 + len(drawn))
    )
    monkeypatch.setattr(memory_of_sizes, "StoryboardClient", Client)
    monkeypatch.setattr(memory_of_sizes, "serve", lambda *_: nullcontext(served))
    repository = bare_repository(tmp_path / "repository")
    save_facts(repository)
    memory_of_sizes.main(repository, count=7, before=3, out=tmp_path)
    said = json.loads((tmp_path / "memory_of_sizes.json").read_text(encoding="utf-8"))
    assert len({(board.width, board.height) for board in drawn[:3]}) == 1
    assert len(drawn) == 10
    assert said["grown_mib"] == 7
    assert (tmp_path / "memory_of_sizes.png").is_file()
