"""`lafi check FILE --repository REPO`: what fits a repository, and why something does not."""

import io
from collections.abc import Callable
from pathlib import Path

import profiles
import pytest
import torch
from PIL import Image
from rich.console import Console

from brought_files import saved
from lafi.model.info import load_model_info
from lafi_export.check_command import check_command
from model_infos import save_facts

Check = Callable[[Path], tuple[int, str]]
QUERY = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.fixture
def check(repository: Path) -> Check:
    """A file -> exit code, and what is said of it beside the tests' repository."""

    def run(file: Path) -> tuple[int, str]:
        console = Console(record=True, width=300, file=io.StringIO())
        return check_command([file], repository, console), console.export_text()

    return run


def lora(folder: Path, name: str, width: int) -> Path:
    tensors = {f"{name}.lora_A.weight": torch.ones(2, width)}
    return saved(
        folder / "ink.safetensors", tensors | {f"{name}.lora_B.weight": torch.ones(width, 2)}
    )


def test_a_lora(check: Check, repository: Path, tmp_path: Path) -> None:
    info = load_model_info(repository / "artifacts")
    site = info.layers[0]
    name = f"unet.{site.name}.to_q"
    code, text = check(lora(tmp_path, name, site.width))
    assert (code, "a LoRA of rank 2" in text, f"fits {repository}" in text) == (0, True, True)
    code, text = check(lora(tmp_path, name, site.width + 1))
    assert code == 1
    assert "refused: " in text
    assert site.name.partition(".attn1")[0].replace(".", "_") in text.replace(".", "_")
    assert "fits" not in text.replace("no fit", "")
    code, text = check(lora(tmp_path, "unet.nowhere.to_q", site.width))
    assert code == 1
    assert "nowhere" in text


def test_a_learnt_word(check: Check, repository: Path, tmp_path: Path) -> None:
    width = load_model_info(repository / "artifacts").text_width
    word = saved(tmp_path / "word.safetensors", {"<mia>": torch.ones(2, width)})
    code, text = check(word)
    assert (code, "a learnt word <mia> of 2 embeddings" in text) == (0, True)
    assert f"fits {repository}" in text
    code, text = check(saved(tmp_path / "wide.safetensors", {"<mia>": torch.ones(2, 768)}))
    assert code == 1
    assert "768" in text
    assert str(width) in text


@pytest.mark.parametrize(
    ("board", "error"),
    [
        ("width: 32\nheight: 32\npanels:\n  - prompt: a child\n", ""),
        (
            "width: 40\nheight: 32\npanels:\n  - prompt: a child\n",
            "width: got 40, allowed: a multiple of",
        ),
        (
            "width: 32\nheight: 32\nclip_skip: 40\npanels:\n  - prompt: a child\n",
            "clip_skip: got 40, allowed: 0 to",
        ),
        (
            "width: 32\nheight: 32\ninjection: {layers: 99}\npanels:\n  - prompt: a child\n",
            "injection.layers: got 99",
        ),
        (
            "width: 32\nheight: 32\nvariant: ink\npanels:\n  - prompt: a child\n",
            "variant: got 'ink', allowed none",
        ),
        (
            "width: 32\nheight: 32\npanels:\n  - prompt: a child\n    sampling: {variant: ink}\n",
            "variant: got 'ink', allowed none",
        ),
    ],
)
def test_a_storyboard(
    check: Check, repository: Path, tmp_path: Path, board: str, error: str
) -> None:
    file = tmp_path / "story.yaml"
    file.write_text(board, encoding="utf-8")
    code, text = check(file)
    assert code == bool(error)
    assert (error or f"fits {repository}") in text
    assert ("refused" in text) == bool(error)


def test_a_picture(check: Check, tmp_path: Path) -> None:
    noise = Image.effect_noise((40, 32), 50)
    noise.save(tmp_path / "good.png")
    Image.new("RGB", (4, 32)).save(tmp_path / "small.png")
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    noise.convert("RGB").save(tmp_path / "cmyk.png", icc_profile=profiles.cmyk())
    assert check(tmp_path / "good.png")[0] == 0
    for name, error in (
        ("small.png", "a PNG image of 4 x 32 pixels, allowed: 8 to 4096"),
        ("half.png", "ends too early"),
        ("cmyk.png", "colour profile is for CMYK colours"),
    ):
        code, text = check(tmp_path / name)
        assert code == 1
        assert error in text


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    (tmp_path / "story.yaml").write_text("panels:\n  - prompt: a child\n")
    console = Console(record=True, width=300, file=io.StringIO())
    assert check_command([tmp_path / "story.yaml"], tmp_path / "nowhere", console) == 1
    assert "lafi.json: no such file" in console.export_text()


def test_a_repository_of_another_format_is_refused_whatever_the_file(tmp_path: Path) -> None:
    save_facts(tmp_path / "old")
    facts = tmp_path / "old" / "artifacts" / "lafi.json"
    facts.write_text(facts.read_text().replace('"format": ', '"format": 99'))
    console = Console(record=True, width=300, file=io.StringIO())
    assert check_command([tmp_path / "no_such_file.png"], tmp_path / "old", console) == 1
    assert "format of the repository: got 99" in console.export_text()
