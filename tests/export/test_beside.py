"""`--beside`: its option, and what `lafi check` says of stages that cross from model to model."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from lafi.model.checkpoint import read_model_info
from lafi.model.info import ModelInfo, variant_folder
from lafi.wire.model_spec import served_models
from lafi_export.beside import BesideOptionError, parse_beside
from lafi_export.check_command import check_command
from lafi_export.command import export_command
from lafi_export.single_file import SingleFile


def test_an_option_is_a_name_and_a_checkpoint() -> None:
    assert parse_beside(["paint=models/z", "oil=a=b"]) == {
        "paint": Path("models/z"),
        "oil": Path("a=b"),
    }


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["paint"], "--beside: got 'paint', allowed NAME=CHECKPOINT"),
        (["paint="], "--beside: got 'paint=', allowed NAME=CHECKPOINT"),
        (["Paint=z"], "--beside: got 'Paint=z', allowed a lower-case name of up to 32 letters"),
        (["a=z", "a=y"], "--beside: got 'a', allowed each name once, variants' included"),
        (["ink=z"], "--beside: got 'ink', allowed each name once, variants' included"),
    ],
)
def test_what_is_no_such_option_is_named(options: list[str], line: str) -> None:
    with pytest.raises(BesideOptionError) as refused:
        parse_beside(options, ["ink"])
    assert str(refused.value).startswith(line)


def test_a_checkpoint_that_is_not_there_is_refused_before_any_work(
    checkpoint: Path, tmp_path: Path
) -> None:
    console = Console(file=io.StringIO(), width=300)
    where = [f"paint={tmp_path / 'nowhere'}"]
    out = tmp_path / "out"
    assert export_command(SingleFile(checkpoint), out, beside=where, console=console) == 1
    assert isinstance(console.file, io.StringIO)
    assert "nowhere: no such file or folder" in console.file.getvalue()
    assert not out.exists()


@pytest.fixture
def models(checkpoint: Path, small_checkpoints: Callable[[str], Path]) -> list[ModelInfo]:
    """A UNet, and Z-Image beside it."""
    beside = read_model_info(small_checkpoints("zimage"))
    return [read_model_info(checkpoint), beside.model_copy(update={"variant": "paint"})]


def test_it_shares_no_served_model(models: list[ModelInfo]) -> None:
    base, beside = models
    names = {spec.name for spec in served_models(base, [beside])}
    parts = {"text_encoder", "vae_encoder", "vae_decoder"}
    assert names == {"storyboard", *parts, *(f"{part}_paint" for part in parts)}
    assert (base.beside, beside.beside) == (False, True)
    assert not base.shares_latents(beside)
    assert base.shares_latents(base.model_copy(update={"weights_sha256": "ab" * 32}))


def test_checking_a_storyboard_says_where_latents_cannot_go(
    models: list[ModelInfo], tmp_path: Path
) -> None:
    base, beside = models
    folders = (tmp_path / "artifacts", variant_folder(tmp_path / "artifacts", "paint"))
    for folder, info in zip(folders, models, strict=True):
        folder.mkdir(parents=True)
        info.save(folder)
    said = {}
    for upscale in ("bilinear", "pixels"):
        refine = {"variant": "paint", "denoise": 0.5, "upscale": upscale}
        stages = {"stages": [{"size": 0.5}, refine]}
        board = {"width": 64, "height": 64, "sampling": stages, "panels": [{"prompt": "a child"}]}
        file = tmp_path / f"{upscale}.yaml"
        file.write_text(yaml.safe_dump(board), encoding="utf-8")
        console = Console(file=io.StringIO(), width=500)
        code = check_command([file], tmp_path, console)
        assert isinstance(console.file, io.StringIO)
        said[code] = console.file.getvalue()
    assert f"fits {tmp_path}" in said[0]
    assert (
        "panels[0].sampling.stages[1].upscale: got 'bilinear', allowed: pixels: "
        f"{base.name} draws the stage before, and its latents mean nothing to {beside.name}"
    ) in said[1]
