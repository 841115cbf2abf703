"""Variants: a checkpoint in, a changed checkpoint out."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from lafi_export.checkpoint_variant import Variant, plan_variant, write_variant
from lafi_export.learnt_words import TextualInversionError
from lafi_export.lora_file import LoraError

MODULE = "mid_block.attentions.0.transformer_blocks.0.attn1.to_v"
WORD = "<mia>"


def lora_file(folder: Path, checkpoint: Path, module: str = MODULE) -> tuple[Path, Tensor]:
    """A LoRA of one UNet module and of a text projection, and its change of the UNet's weight."""
    weight = load_file(checkpoint / "unet" / "diffusion_pytorch_model.safetensors")[
        f"{MODULE}.weight"
    ]
    width = weight.shape[0]
    down, up = torch.randn(2, width), torch.randn(width, 2)
    path = folder / "style.safetensors"
    save_file({f"unet.{module}.lora_A.weight": down, f"unet.{module}.lora_B.weight": up}, path)
    return path, up @ down


def word_file(folder: Path, width: int) -> Path:
    path = folder / "word.safetensors"
    save_file({WORD: torch.full((2, width), 0.5)}, path)
    return path


def text_width(checkpoint: Path) -> int:
    width: int = CLIPTextModel.from_pretrained(checkpoint / "text_encoder").config.hidden_size
    return width


def test_a_variant_is_a_checkpoint_with_exactly_that_change(
    checkpoint: Path, tmp_path: Path
) -> None:
    lora, change = lora_file(tmp_path, checkpoint)
    word = word_file(tmp_path, text_width(checkpoint))
    variant = Variant("mia", loras=((lora, 0.5), (lora, -0.25)), words=((word, ""),))
    plan = plan_variant(checkpoint, variant)
    assert plan.parts == {"unet", "text_encoder"}
    assert plan.tokens == (WORD, f"{WORD}_1")
    write_variant(checkpoint, plan, tmp_path / "out")

    before = UNet2DConditionModel.from_pretrained(checkpoint / "unet").state_dict()
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "out")
    for name, weight in pipeline.unet.state_dict().items():
        expected = before[name] + (0.25 * change if name == f"{MODULE}.weight" else 0)
        torch.testing.assert_close(weight, expected.to(weight.dtype), rtol=2e-3, atol=2e-3)

    size = len(CLIPTokenizer.from_pretrained(checkpoint / "tokenizer"))
    ids = pipeline.tokenizer(f"a {WORD} {WORD}_1", add_special_tokens=False).input_ids
    assert ids[-2:] == [size, size + 1]
    table = pipeline.text_encoder.get_input_embeddings().weight
    assert len(table) == size + 2 == pipeline.text_encoder.config.vocab_size
    assert (table[-2:] == 0.5).all()


def test_what_does_not_change_is_the_same_file(checkpoint: Path, tmp_path: Path) -> None:
    lora, _ = lora_file(tmp_path, checkpoint)
    plan = plan_variant(checkpoint, Variant("style", loras=((lora, 1.0),)))
    assert (plan.parts, plan.tokens) == ({"unet"}, ())
    write_variant(checkpoint, plan, tmp_path / "out")
    for file in checkpoint.rglob("*"):
        if file.is_file() and "unet" not in file.parts:
            copy = tmp_path / "out" / file.relative_to(checkpoint)
            assert copy.read_bytes() == file.read_bytes()


def test_a_file_that_does_not_fit_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    lora, _ = lora_file(tmp_path, checkpoint, module="mid_block.attentions.9.proj_in")
    with pytest.raises(LoraError, match=r"mid_block\.attentions\.9\.proj_in"):
        plan_variant(checkpoint, Variant("style", loras=((lora, 1.0),)))
    word = word_file(tmp_path, text_width(checkpoint) + 1)
    with pytest.raises(TextualInversionError, match="<mia>: width: got"):
        plan_variant(checkpoint, Variant("word", words=((word, ""),)))
    word = word_file(tmp_path, text_width(checkpoint))
    with pytest.raises(TextualInversionError, match="got '<mia>', which is a token already"):
        plan_variant(checkpoint, Variant("word", words=((word, ""), (word, ""))))
