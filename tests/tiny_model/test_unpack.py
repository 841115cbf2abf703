"""A packed model can be trained on: unpacking gives back what was packed, to float16."""

from pathlib import Path

import pytest
import torch

from lafi_tiny.architecture import Architecture
from lafi_tiny.pack import pack_model, unpack_model
from lafi_tiny.text_to_latent import load_denoiser, stage_tokenizer
from lafi_tiny.train_vae import load_vae


def test_unpacking_gives_back_weights_and_tokenizer(
    finished: Path, tiny: Architecture, tmp_path: Path
) -> None:
    pack_model(finished, tmp_path / "model" / "weights", tiny)
    unpack_model(tmp_path / "model" / "weights", tmp_path / "state", tiny)
    before = load_denoiser(tiny, finished).state_dict()
    after = load_denoiser(tiny, tmp_path / "state").state_dict()
    assert before.keys() == after.keys()
    assert all(
        torch.equal(before[k].half().float(), after[k])
        for k in before
        if before[k].is_floating_point()
    )
    text = "a child waving in the snow 夜晚"
    assert (
        stage_tokenizer(finished)(text).input_ids
        == stage_tokenizer(tmp_path / "state")(text).input_ids
    )


def test_the_next_stages_find_the_unpacked_autoencoder(
    finished: Path, tiny: Architecture, tmp_path: Path
) -> None:
    pack_model(finished, tmp_path / "model" / "weights", tiny)
    unpack_model(tmp_path / "model" / "weights", tmp_path / "state", tiny)
    (tmp_path / "state" / "pictures").symlink_to(finished / "pictures")
    before, after = load_vae(tiny, finished), load_vae(tiny, tmp_path / "state")
    packed = {name: value.half().float() for name, value in before.state_dict().items()}
    assert all(torch.equal(packed[name], value) for name, value in after.state_dict().items())


def test_unpacking_never_overwrites_training_state(
    finished: Path, tiny: Architecture, tmp_path: Path
) -> None:
    pack_model(finished, tmp_path / "model" / "weights", tiny)
    with pytest.raises(FileExistsError, match="it is there already; allowed: a folder without it"):
        unpack_model(tmp_path / "model" / "weights", finished, tiny)
