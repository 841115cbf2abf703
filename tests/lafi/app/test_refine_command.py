"""`lafi refine` passes its options on, and refuses what no round can be drawn with."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lafi.app.cli import app
from lafi.board.refinement import Refinement

runner = CliRunner()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    found: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def instead(*args: Any, **options: Any) -> int:
        found.append((args, options))
        return 7

    monkeypatch.setattr("lafi_client.refining.refine", instead)
    return found


def test_it_passes_its_options(calls: Any) -> None:
    rounds = ["--rounds", "3", "--others", "2", "--denoise", "0.5", "-o", "there", "--overwrite"]
    settings = ["--set", "width=96", "--upscale", "2", "--recipe", "r"]
    assert runner.invoke(app, ["refine", "a.yaml", *rounds, *settings]).exit_code == 7
    ((args, options),) = calls
    assert args == (Path("a.yaml"), Path("there"), "127.0.0.1:8001")
    assert (options["rounds"], options["refinement"]) == (3, Refinement(others=2, denoise=0.5))
    assert options["overwrite"] is True
    assert options["overrides"].settings == ("width=96", "upscale=2")
    assert options["overrides"].recipe == "r"


def test_once_from_noise_is_what_it_does_by_itself(calls: Any) -> None:
    assert runner.invoke(app, ["refine", "a.yaml"]).exit_code == 7
    ((_, options),) = calls
    assert (options["rounds"], options["refinement"]) == (1, Refinement())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rounds", "0"],
        ["--rounds", "5"],
        ["--others", "0"],
        ["--others", "5"],
        ["--denoise", "0"],
        ["--denoise", "1.1"],
        ["--denoise", "nan"],
    ],
)
def test_what_cannot_be_is_refused(calls: Any, arguments: list[str]) -> None:
    assert runner.invoke(app, ["refine", "a.yaml", *arguments]).exit_code == 2
    assert not calls
