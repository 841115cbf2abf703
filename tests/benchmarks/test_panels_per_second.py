"""What is made of the measured speeds and pictures."""

from pathlib import Path

import numpy as np
import pytest
import typer

from benchmarks.panels_per_second import (
    CONCAT,
    DIFFUSERS,
    FASTEST,
    PUBLISHED,
    check_same_model,
    distances,
    engine_name,
    ratios,
)
from benchmarks.throughput.comparison import IN_PROCESS, Contestant, Field, in_turn
from benchmarks.throughput.growth import medians
from benchmarks.throughput.picture_distance import psnr
from lafi.drawing.images import encode_png
from lafi.model.checkpoint import read_model_info

SPEEDS = {
    PUBLISHED: [2.0, 4.0, 3.0],
    CONCAT: [1.0, 1.0, 1.0],
    DIFFUSERS: [2.0, 2.0, 2.0],
    "StoryDiffusion's manner": [1.0, 1.0, 1.0],
    "Triton Server tutorial's manner": [1.0, 1.0, 1.0],
    "lafi none": [3.0, 6.0, 3.0],
    "lafi decoder, fixed level, known characters": [3.0, 5.0, 2.0],
    IN_PROCESS: [2.5, 4.0, 2.0],
}


def grey(value: int, side: int = 8) -> bytes:
    return encode_png(np.full((side, side, 3), value, dtype=np.uint8), {})


def test_ratios_are_medians_and_the_fastest_engine_is_told_apart() -> None:
    figures = ratios(SPEEDS)
    assert figures["ratio_vs_concat_fp32"] == 3.0
    assert figures["ratio_vs_plain_fp32"] == 1.5
    assert figures["known_character_cost"] == 1.2
    assert figures["server_vs_in_process"] == 1.0
    assert not any("fastest" in name for name in figures)
    with_fastest = ratios({**SPEEDS, FASTEST: [4.0, 8.0, 5.0]})
    assert with_fastest["ratio_vs_concat_fastest"] == 5.0
    assert with_fastest["ratio_vs_plain_fastest"] == 2.5
    assert {name: with_fastest[name] for name in figures} == figures


def test_larger_calls_are_asked_of_a_copy_of_the_repository(tmp_path: Path) -> None:
    models = tmp_path / "one" / "models" / "storyboard"
    models.mkdir(parents=True)
    (models / "config.pbtxt").write_text('name: "storyboard"\n', encoding="utf-8")
    one = tmp_path / "one"
    assert Field(one, one).served(one, tmp_path / "copies") == one
    copy = Field(one, one, max_rows=34).served(one, tmp_path / "copies")
    config = (copy / "models" / "storyboard" / "config.pbtxt").read_text(encoding="utf-8")
    assert 'key: "max_rows", value: { string_value: "34" }' in config
    assert "max_rows" not in (models / "config.pbtxt").read_text(encoding="utf-8")


def test_every_second_round_goes_the_other_way() -> None:
    one, other, last = (Contestant(name, lambda boards: None) for name in "abc")
    assert in_turn([one, other, last], 1) == [one, other, last]
    assert in_turn([one, other, last], 2) == [last, other, one]


def test_a_row_of_growth_is_the_median_of_its_turns() -> None:
    turns = [{"injection": "none", "panels": 4, "panels_per_second": x} for x in (2.0, 9.0, 3.0)]
    assert medians(turns) == {"injection": "none", "panels": 4, "panels_per_second": 3.0}


def test_the_distance_of_pictures_is_their_psnr() -> None:
    assert psnr(grey(7), grey(7)) == 100.0
    assert psnr(grey(0), grey(255)) == 0.0
    assert psnr(grey(100), grey(110)) == pytest.approx(20 * np.log10(25.5))
    with pytest.raises(ValueError, match="allowed: one size"):
        psnr(grey(0), grey(0, side=9))
    assert distances([]) == {}
    assert distances([40.0, 50.0, 45.0]) == {
        "fastest_psnr_median": 45.0,
        "fastest_psnr_worst": 40.0,
        "fastest_psnr_panels": 3,
    }


def test_the_fastest_engine_draws_the_same_model(checkpoint: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, weights in ((one, "1" * 64), (other, "0" * 64)):
        (folder / "artifacts").mkdir(parents=True)
        info = read_model_info(checkpoint, engine="openvino", precision="bf16")
        info.model_copy(update={"weights_sha256": weights}).save(folder / "artifacts")
    check_same_model(one, one)
    assert engine_name(one) == "openvino bf16"
    with pytest.raises(typer.BadParameter, match="got weights 000000000000"):
        check_same_model(one, other)
