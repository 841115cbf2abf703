"""A probe is kept after every layer, goes on, and gives the checkpoint its presets."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lafi.app.cli import app
from lafi.board.storyboard import Storyboard
from lafi.engine.torch.engines import TorchDenoiser, load_torch_engines
from lafi.model.checkpoint import CheckpointError, read_model_info
from lafi.model.probe_report import PROBE_FILE, ProbeError, load_probe
from lafi.probe.run import probe
from lafi.probe.story import probe_story

STORY = probe_story(32, 32, steps=2)


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "model"))


def probed(folder: Path, story: Storyboard = STORY, seconds: float | None = None) -> int:
    """Sites that the report has afterwards."""
    engines = load_torch_engines(folder)
    assert isinstance(engines.denoiser, TorchDenoiser)
    report = probe(story, engines, engines.denoiser.network, folder, seconds=seconds)
    return len(report.sites)


@pytest.mark.slow
def test_it_goes_on_where_it_stopped_and_then_chooses_sets(folder: Path) -> None:
    count = len(read_model_info(folder).layers)
    assert probed(folder, seconds=0.0) == 1
    assert read_model_info(folder).presets == {}
    engines = load_torch_engines(folder)
    assert isinstance(engines.denoiser, TorchDenoiser)
    told = []
    report = probe(
        STORY,
        engines,
        engines.denoiser.network,
        folder,
        said=lambda site, left: told.append((site.name, left)),
    )
    assert report.finished
    assert report == load_probe(folder)
    assert [left for _, left in told] == [*range(count - 2, -1, -1)]
    assert {site.name for site in report.sites} == {site.name for site in engines.info.layers}
    assert len({(site.position, site.content) for site in report.sites}) > count // 2
    info = read_model_info(folder)
    assert info.presets.items() >= report.presets().items()
    assert {"none", "decoder"} <= info.presets.keys()


def test_a_probe_of_something_else_is_refused(folder: Path) -> None:
    probed(folder, seconds=0.0)
    path, engines = folder / PROBE_FILE, load_torch_engines(folder)
    assert isinstance(engines.denoiser, TorchDenoiser)
    other = probe_story(32, 32, steps=3)
    with pytest.raises(ProbeError, match="got a probe of other weights or another storyboard"):
        probe(other, engines, engines.denoiser.network, folder)
    document = json.loads(path.read_text(encoding="utf-8"))
    document["settings"]["weights_sha256"] = "0" * 64
    document["count"] = len(document["sites"])
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(CheckpointError, match="got a probe of other weights, allowed: of these"):
        read_model_info(folder)


def test_every_panel_must_show_somebody(folder: Path) -> None:
    nobody = STORY.model_copy(
        update={
            "panels": (STORY.panels[0].model_copy(update={"characters": (), "prompt": "a beach"}),)
        }
    )
    with pytest.raises(ProbeError, match=r"panels\[0\]: got no character, allowed one or more"):
        probed(folder, nobody)


def test_the_command_says_what_it_found(folder: Path, tmp_path: Path) -> None:
    story = tmp_path / "story.yaml"
    story.write_text(
        "width: 32\nheight: 32\nsampling: {steps: 1}\n"
        "characters: [{name: mia, prompt: a child}]\npanels: [{prompt: '{mia} runs', seed: 1}]\n",
        encoding="utf-8",
    )
    picture = tmp_path / "probe.png"
    asked = ["probe", str(folder), "--story", str(story), "--plot", str(picture)]
    result = CliRunner().invoke(app, [*asked, "--minutes", "0"])
    assert result.exit_code == 0, result.output
    assert "the same command goes on" in result.output
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    assert "texture: " in result.output
    assert picture.read_bytes().startswith(b"\x89PNG")
