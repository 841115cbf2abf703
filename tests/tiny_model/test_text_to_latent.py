"""The two networks that are trained together, and what is kept of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPTokenizer

from lafi_tiny.architecture import TEXT_LENGTH, Architecture
from lafi_tiny.dataset import DatasetSpec
from lafi_tiny.text_to_latent import TextToLatent, load_denoiser, stage_tokenizer


def test_a_prediction_has_the_shape_of_the_latents_and_depends_on_the_text(
    tiny: Architecture, tokenizer: CLIPTokenizer
) -> None:
    torch.manual_seed(0)
    model = TextToLatent(tiny, tokenizer).eval()
    latents = torch.randn(1, 4, 16, 16).expand(2, -1, -1, -1)
    ids = tokenizer(["a child", "snow"], padding="max_length", return_tensors="pt").input_ids
    assert ids.shape == (2, TEXT_LENGTH)
    with torch.inference_mode():
        predicted = model(latents, torch.tensor([500, 500]), ids)
    assert predicted.shape == latents.shape
    assert not torch.equal(predicted[0], predicted[1])


def test_drawing_uses_the_moving_average(finished: Path, tiny: Architecture) -> None:
    model = load_denoiser(tiny, finished)
    kept: dict[str, Any] = torch.load(finished / "denoiser.pt", weights_only=True)
    assert not model.training
    assert all(torch.equal(v, kept["average"][k]) for k, v in model.state_dict().items())
    assert any(not torch.equal(v, kept["average"][k]) for k, v in kept["model"].items())


def test_the_tokenizer_is_made_once_and_kept(finished: Path) -> None:
    kept = stage_tokenizer(finished)
    assert stage_tokenizer(finished, DatasetSpec(seed=99)).get_vocab() == kept.get_vocab()


def test_without_a_tokenizer_the_error_says_what_to_run(tmp_path: Path) -> None:
    wanted = r"no tokenizer in .*: run `python -m lafi_tiny denoiser`"
    with pytest.raises(FileNotFoundError, match=wanted):
        stage_tokenizer(tmp_path)
