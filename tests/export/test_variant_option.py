"""`--variant`: text to a `Variant`, or one line that says what is allowed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lafi_export.checkpoint_variant import Variant
from lafi_export.variant_option import VariantOptionError, parse_variants

FACTORS = {"unet.a.to_q.lora_A.weight": torch.ones(1, 2)}


def saved(path: Path, tensors: dict[str, Tensor]) -> Path:
    save_file(tensors, path)
    return path


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    """Only the names of the tensors are looked at here."""
    return saved(tmp_path / "style.safetensors", FACTORS)


def test_files_strengths_and_words(lora: Path, tmp_path: Path) -> None:
    named = saved(tmp_path / "mia.safetensors", {"<mia>": torch.ones(4)})
    dotted = saved(tmp_path / "tom.safetensors", {"mr.tom": torch.ones(4)})
    nameless = saved(tmp_path / "zoe.safetensors", {"clip_l": torch.ones(4)})
    options = [f"ink={lora}:0.8,{lora}:-1e-1,{lora}", f"all={named},{dotted},{nameless}:<zoe>"]
    assert parse_variants(options) == (
        Variant("ink", loras=((lora, 0.8), (lora, -0.1), (lora, 1.0))),
        Variant("all", words=((named, ""), (dotted, ""), (nameless, "<zoe>"))),
    )
    assert parse_variants([]) == ()


def test_a_file_with_a_colon_in_its_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "a:2", FACTORS)
    assert parse_variants([f"ink={path}", f"oil={path}:2"]) == (
        Variant("ink", loras=((path, 1.0),)),
        Variant("oil", loras=((path, 2.0),)),
    )


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("ink", r"--variant: got 'ink', allowed NAME=FILE\[:STRENGTH\]"),
        ("ink=", r"--variant: got 'ink=', allowed NAME=FILE"),
        ("=LORA", "allowed a lower-case name of up to 32 letters"),
        ("Ink=LORA", "got 'Ink=.*allowed a lower-case name"),
        ("../ink=LORA", "allowed a lower-case name"),
        ("ink=LORA:strong", "got 'strong', allowed as a LoRA's strength a number from -10 to 10"),
        ("ink=LORA:nan", "got 'nan', allowed as a LoRA's strength"),
        ("ink=LORA:0", "got '0', allowed .* not 0"),
        ("ink=LORA:11", "got '11', allowed"),
        ("ink=LORA,", "allowed files of tensors"),
        ("ink=nowhere.safetensors:1", r"allowed files of tensors \(nowhere.safetensors: "),
        ("ink=TEXT", r"allowed files of tensors \(.*notes.txt: "),
    ],
)
def test_what_names_no_variant_is_refused(
    option: str, error: str, lora: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no weights")
    option = option.replace("LORA", str(lora)).replace("TEXT", str(notes))
    with pytest.raises(VariantOptionError, match=error):
        parse_variants([option])


def test_a_name_comes_once(lora: Path) -> None:
    with pytest.raises(VariantOptionError, match="--variant: got 'ink', allowed each name once"):
        parse_variants([f"ink={lora}", f"oil={lora}", f"ink={lora}:2"])
