"""SD3 folders that were published without T5: diffusers' pixels, and nothing cut in silence."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from exported_family import check_exported
from joint_checkpoints import joint_checkpoint
from PIL import Image
from rich.console import Console

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.checkpoint import CheckpointError, check_configs, read_model_info
from lafi.ports.engines import Engines
from lafi.wire.events import PanelImage
from lafi.wire.model_spec import text_encoder_spec
from lafi_export import export_checkpoint
from lafi_export.check_command import check_command
from lafi_export.parity_report import PARITY_FILE, ParityReport

STEPS, NEGATIVE = 3, "night"
PARTS = ("text_encoder_3", "tokenizer_3")
SEVENTY_FIVE = (
    "a girl in a red coat with golden buttons is running over the wet sand towards the old boat "
    "of h"
)
"""As many tokens as CLIP reads here, where every letter is one."""


def published(name: str, folder: Path, **lacking: Any) -> Path:
    """A folder as diffusers saves it without T5. lacking: parts that are None."""
    joint_checkpoint(name, folder / "whole")
    pipe = StableDiffusion3Pipeline.from_pretrained(folder / "whole", **lacking)
    pipe.save_pretrained(folder / "without")
    return folder / "without"


@pytest.fixture(scope="module", params=["sd3", "sd35"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SD3 lacks T5's tokenizer too; SD3.5 has it, as some folders do."""
    lacking = PARTS if request.param == "sd3" else PARTS[:1]
    made = tmp_path_factory.mktemp(request.param)
    return published(request.param, made, **dict.fromkeys(lacking))


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Any:
    lacking = {part: None for part in PARTS if not (folder / part).exists()}
    pipe: Any = StableDiffusion3Pipeline.from_pretrained(folder, **lacking)
    assert pipe.text_encoder_3 is None
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def engines(folder: Path) -> Engines:
    return load_torch_engines(folder)


def board(prompt: str, guidance: float = 1.0) -> Storyboard:
    return Storyboard(
        width=48,
        height=32,
        negative_prompt=NEGATIVE if guidance > 1.0 else "",
        sampling={"steps": STEPS, "guidance": guidance},
        injection={"layers": "none"},
        panels=[Panel(prompt=prompt, seed=7)],
    )


@pytest.mark.parametrize(("prompt", "guidance"), [("a child", 1.0), (SEVENTY_FIVE, 4.0)])
def test_the_pixels_are_those_of_the_stock_pipeline(
    engines: Engines, pipe: Any, prompt: str, guidance: float
) -> None:
    (panel,) = (e for e in draw(board(prompt, guidance), engines) if isinstance(e, PanelImage))
    theirs = pipe(
        prompt,
        negative_prompt=NEGATIVE,
        num_inference_steps=STEPS,
        guidance_scale=guidance,
        width=48,
        height=32,
        generator=torch.Generator().manual_seed(7),
    ).images[0]
    ours = np.asarray(Image.open(io.BytesIO(panel.png)), dtype=np.int16)
    assert np.abs(ours - np.asarray(theirs, dtype=np.int16)).max() <= 2
    assert ours.std() > 1.0


def test_what_clip_does_not_read_is_refused_since_nobody_else_does(engines: Engines) -> None:
    """A word is not torn: all of it is too much."""
    with pytest.raises(StoryboardError) as refused:
        draw(board(f"{SEVENTY_FIVE}er uncle"), engines)
    (line,) = refused.value.problems
    name = engines.info.name
    assert line == (
        f"panels[0].prompt: got 'her uncle' too much, allowed: at most 77 tokens with {name}"
    )


def test_zeros_are_neither_encoded_nor_sent(engines: Engines) -> None:
    info = engines.info
    assert info.absent_parts == ("text_encoder_3",)
    text, _ = text_encoder_spec(info).outputs
    assert text.shape == (77, 40), "both CLIPs' own widths"


def test_checking_a_folder_says_what_it_lacks(folder: Path) -> None:
    console = Console(file=io.StringIO(), width=500)
    assert check_command([folder], console=console) == 0
    assert isinstance(console.file, io.StringIO)
    assert "of the family sd3, without text_encoder_3" in console.file.getvalue()


def test_a_folder_that_contradicts_itself_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, both := tmp_path / "both")
    (both / "text_encoder_3").mkdir()
    with pytest.raises(CheckpointError) as refused:
        check_configs(both)
    assert "text_encoder_3: got null beside a folder of that name" in str(refused.value)
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index["text_encoder_3"] = ["transformers", "T5EncoderModel"]
    shutil.copytree(folder, neither := tmp_path / "neither")
    (neither / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(CheckpointError) as refused:
        check_configs(neither)
    assert "has no text_encoder_3; allowed: a folder that" in str(refused.value)
    assert "or null for text_encoder_3 in its model_index.json" in str(refused.value)


def test_other_parts_may_not_be_missing(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, less := tmp_path / "less")
    index = json.loads((less / "model_index.json").read_text(encoding="utf-8"))
    index["text_encoder_2"] = [None, None]
    (less / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(CheckpointError, match="text_encoder_2: got None, allowed CLIPText"):
        check_configs(less)


def test_with_t5_nothing_is_absent(tmp_path: Path) -> None:
    joint_checkpoint("sd3", tmp_path)
    assert read_model_info(tmp_path).absent_parts == ()


@pytest.mark.slow
def test_exported_graphs_give_what_torch_gives(folder: Path, tmp_path: Path) -> None:
    check_exported(folder, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_parity_report_says_that_t5_is_absent(folder: Path, tmp_path: Path) -> None:
    report = export_checkpoint(folder, tmp_path / "out", runtime="onnxruntime", threads=1)
    assert report.passed
    kept = tmp_path / "out" / "artifacts" / PARITY_FILE
    assert ParityReport.model_validate_json(kept.read_bytes()).absent_parts == ("text_encoder_3",)
    said = (kept.parent / "parity.md").read_text(encoding="utf-8")
    assert "text_encoder_3 is absent: the checkpoint was published without it" in said
