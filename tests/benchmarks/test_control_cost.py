"""The parts of `benchmarks.control_cost`: networks that fit, turns, ratios, and a small run."""

import json
from pathlib import Path

import pytest

from benchmarks import control_cost
from benchmarks.control_cost import ADAPTER, NETWORK, NONE, PICTURE, Speed
from lafi.engine.torch.engines import load_torch_engines


def test_the_networks_fit_the_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    controls, pictures = control_cost.write_networks(checkpoint, tmp_path)
    engines = load_torch_engines(checkpoint, controls=controls, picture_prompts=pictures)
    given = control_cost.conditions(engines, 32)
    assert [*given] == [NONE, NETWORK, ADAPTER, PICTURE]
    for fields in given.values():
        speed = control_cost.panels_per_second(control_cost.board(fields, 1, 1, 32), engines)
        assert min(speed.passed, speed.cpu) > 0


def test_turns_go_forth_and_back_after_one_that_warms_up() -> None:
    asked: list[str] = []

    def measure(name: str) -> Speed:
        asked.append(name)
        return Speed(float(len(asked)), 1.0)

    speeds = control_cost.in_turns([NONE, NETWORK], 2, measure)
    assert asked == [NONE, NETWORK, NETWORK, NONE, NONE, NETWORK]
    assert {name: [one.passed for one in found] for name, found in speeds.items()} == {
        NONE: [4.0, 5.0],
        NETWORK: [3.0, 6.0],
    }


def test_a_cost_is_of_pairs_of_one_round() -> None:
    cpu = {NONE: [4.0, 2.0, 5.0], NETWORK: [2.0, 1.5, 1.0]}
    speeds = {name: [Speed(1.0, each) for each in found] for name, found in cpu.items()}
    assert control_cost.costs(speeds) == {NETWORK: {"median": 0.5, "least": 0.2}}


@pytest.mark.timeout(900)
def test_a_small_run_keeps_what_else_the_file_says(
    checkpoint: Path, steered_repository: Path, tmp_path: Path
) -> None:
    work, out = tmp_path / "work", tmp_path / "results"
    work.mkdir()
    (work / "repository").symlink_to(steered_repository)
    out.mkdir()
    (out / "control.json").write_text('{"edges_f1": 0.5}')
    control_cost.main(checkpoint, work, rounds=1, panels=1, steps=1, side=32, out=out)
    said = json.loads((out / "control.json").read_text())
    assert said["edges_f1"] == 0.5
    assert sorted(said["cost"]) == [ADAPTER, NETWORK, PICTURE]
    assert said["cost_measured"]["networks"].startswith("randomly initialised")
