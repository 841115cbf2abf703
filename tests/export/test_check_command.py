"""`lafi check`: what files are, whether they fit, and what would be refused."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

from brought_files import LFS_POINTER, saved
from lafi_export.check_command import check_command


@pytest.fixture
def said() -> Callable[..., tuple[int, str]]:
    def run(*files: Path, repository: Path | None = None) -> tuple[int, str]:
        console = Console(record=True, width=300, file=io.StringIO())
        code = check_command(list(files), repository, console)
        return code, console.export_text()

    return run


def test_every_kind_is_named(
    said: Callable[..., tuple[int, str]], checkpoint: Path, tmp_path: Path
) -> None:
    lora = {"unet.a.lora_A.weight": torch.ones(2, 4), "unet.a.lora_B.weight": torch.ones(4, 2)}
    Image.new("RGB", (40, 32)).save(tmp_path / "a.png")
    (tmp_path / "story.yaml").write_text("panels:\n  - prompt: a child\n")
    code, text = said(
        checkpoint,
        saved(tmp_path / "lora.safetensors", lora),
        saved(tmp_path / "word.safetensors", {"<mia>": torch.ones(2, 64)}),
        tmp_path / "a.png",
        tmp_path / "story.yaml",
    )
    assert code == 0
    for part in (
        "a checkpoint, StableDiffusionPipeline",
        "a LoRA of rank 2",
        "a learnt word <mia> of 2 embeddings",
        "a picture, PNG, 40 x 32 pixels",
        "a storyboard of 1 panels",
    ):
        assert part in text


def test_what_would_be_refused_is_said(
    said: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "lfs.safetensors").write_text(LFS_POINTER)
    playground = saved(tmp_path / "pg.safetensors", {"edm_mean": torch.ones(4), "a": torch.ones(1)})
    code, text = said(tmp_path / "lfs.safetensors", playground, tmp_path / "nowhere")
    assert code == 1
    assert "lfs.safetensors: refused: is a git-lfs pointer" in text
    assert "pg.safetensors: refused: got Playground 2.5" in text
    assert "nowhere: refused: no such file" in text
