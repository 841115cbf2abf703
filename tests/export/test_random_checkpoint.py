"""Random checkpoints are folders that diffusers loads, the same for the same seed, and finite."""

import json
from pathlib import Path

import diffusers
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lafi_export.random_checkpoint import random_checkpoint
from lafi_export.weights_file import tensor_places


@pytest.mark.parametrize("name", ["sd15", "sd21", "sdxl"])
def test_stock_diffusers_draws_something_finite_with_it(name: str, tmp_path: Path) -> None:
    chosen = random_checkpoint(name, tmp_path, size="small")  # type: ignore[arg-type]
    pipe = getattr(diffusers, chosen.pipeline).from_pretrained(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    image = pipe(
        "a child",
        num_inference_steps=2,
        width=64,
        height=64,
        output_type="pt",
        generator=torch.Generator().manual_seed(0),
    ).images
    assert torch.isfinite(image).all()
    assert image.std() > 0.01


def test_all_weights_of_the_file_are_used(tmp_path: Path) -> None:
    random_checkpoint("sdxl", tmp_path, seed=3, size="small")
    for part, prefix in (("unet", ""), ("text_encoder_2", "text_model.")):
        (file,) = (tmp_path / part).glob("*.safetensors")
        stored = load_file(file)
        library = diffusers if part == "unet" else __import__("transformers")
        index = json.loads((tmp_path / "model_index.json").read_text())
        module = getattr(library, index[part][1]).from_pretrained(tmp_path / part)
        loaded = module.state_dict()
        assert len(loaded) == len(stored)
        for name, value in loaded.items():
            other = name if name in stored else f"{prefix}{name}"
            assert torch.equal(value, stored[other])


def test_seed_part_and_name_decide_the_values(tmp_path: Path) -> None:
    def weights(folder: str, seed: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        random_checkpoint("sd15", tmp_path / folder, seed, dtype, "small")
        return load_file(tmp_path / folder / "unet" / "diffusion_pytorch_model.safetensors")

    first, again, other = weights("a", 1), weights("b", 1), weights("c", 2)
    half = weights("d", 1, torch.float16)
    for name, value in first.items():
        assert torch.equal(value, again[name])
        assert not torch.equal(value, other[name])
        assert torch.equal(value.half(), half[name])
    vae = tensor_places(tmp_path / "d" / "vae" / "diffusion_pytorch_model.safetensors")
    assert {place.dtype for place in vae.values()} == {"F16"}


def test_a_dtype_that_files_do_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"dtype: got torch.int8, allowed torch.float32, "):
        random_checkpoint("sd15", tmp_path, dtype=torch.int8)
