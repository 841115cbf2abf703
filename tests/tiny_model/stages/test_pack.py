"""The packed model is in float16, and can be trained on: unpacking gives back what was packed."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPTokenizer

from lafi_tiny.stages.autoencoder import load_average
from lafi_tiny.stages.blueprint import Blueprint
from lafi_tiny.stages.pack import PACKED_LORA, pack_model, unpack_model
from lafi_tiny.stages.reader import Reader, load_reader
from lafi_tiny.stages.stage_folder import has_finished, mark_finished
from lafi_tiny.stages.text_to_latent import BEST_FILE, STATE_FILE, TextToLatent, load_denoiser
from lafi_tiny.stages.tokenizer import stage_tokenizer
from lafi_tiny.stages.train_denoiser import DenoiserTraining, train_denoiser
from lafi_tiny.training import save_half, save_state

SHORT = DenoiserTraining(
    steps=1, decay_steps=1, batch=2, store=20, first_pictures=20, watch_every=100
)


@pytest.fixture
def finished(
    plan: Blueprint, with_autoencoder: Path, tokenizer: CLIPTokenizer, tmp_path: Path
) -> Path:
    """A folder as all stages up to the denoiser's leave it; the denoiser's weights are random."""
    run = Path(shutil.copytree(with_autoencoder, tmp_path / "run"))
    save_half(Reader(), run / "reader.safetensors")
    save_state(run / BEST_FILE, {"step": 0, "average": TextToLatent(plan, tokenizer).state_dict()})
    return run


def test_a_packed_model_is_in_float16_and_nothing_is_left_over(
    plan: Blueprint, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "packed" / "weights"
    out.mkdir(parents=True)
    (out / "left_over.bin").write_bytes(b"x")
    size = pack_model(plan, finished, out)
    files = [path for path in (tmp_path / "packed").rglob("*") if path.is_file()]
    assert size == sum(path.stat().st_size for path in files)
    assert not (out / "left_over.bin").exists()
    weights = [load_file(path) for path in files if path.suffix == ".safetensors"]
    assert len(weights) == 4
    kinds = {v.dtype for part in weights for v in part.values() if v.is_floating_point()}
    assert kinds == {torch.float16}
    load_reader(tmp_path / "packed" / "reader.safetensors")


def test_the_lora_of_few_steps_is_packed_once_its_stage_is_done_and_an_older_one_is_removed(
    plan: Blueprint, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "packed" / "weights"
    packed = tmp_path / "packed" / PACKED_LORA
    trained = finished / "fast" / "pytorch_lora_weights.safetensors"
    trained.parent.mkdir()
    trained.write_bytes(b"a new one")
    packed.parent.mkdir()
    packed.write_bytes(b"an old one")
    without = pack_model(plan, finished, out)
    assert not packed.exists()
    mark_finished(finished, "few_steps")
    assert pack_model(plan, finished, out) == without + len(b"a new one")
    assert packed.read_bytes() == b"a new one"


def test_unpacking_gives_back_weights_and_tokenizer(
    plan: Blueprint, finished: Path, tmp_path: Path
) -> None:
    pack_model(plan, finished, tmp_path / "model" / "weights")
    state = tmp_path / "state"
    unpack_model(plan, tmp_path / "model" / "weights", state)
    tokenizers = stage_tokenizer(finished), stage_tokenizer(state)
    pairs = (
        [load_denoiser(plan, f, t) for f, t in zip((finished, state), tokenizers, strict=True)],
        [load_average(plan, folder) for folder in (finished, state)],
    )
    for before, after in pairs:
        old, new = before.state_dict(), after.state_dict()
        assert old.keys() == new.keys()
        floats = [name for name in old if old[name].is_floating_point()]
        assert all(torch.equal(old[name].half().float(), new[name]) for name in floats)
    factors = [vae.config.scaling_factor for vae in pairs[1]]
    assert factors[0] == factors[1]
    text = "a child waving in the snow 夜晚"
    assert tokenizers[0](text).input_ids == tokenizers[1](text).input_ids
    assert [has_finished(state, s) for s in ("autoencoder", "reader", "denoiser")] == [
        *(True, True, False)
    ]


def test_the_denoiser_goes_on_from_what_was_unpacked(
    plan: Blueprint, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lafi_tiny.stages.curve.Curve.add", lambda *_, **__: None)
    pack_model(plan, finished, tmp_path / "model" / "weights")
    unpack_model(plan, tmp_path / "model" / "weights", tmp_path / "state")
    unpacked = torch.load(tmp_path / "state" / STATE_FILE, weights_only=True)
    train_denoiser(plan, replace(SHORT, peak_rate=1e-9), tmp_path / "state")
    trained = torch.load(tmp_path / "state" / STATE_FILE, weights_only=True)
    assert trained["step"] == 1
    for name, value in unpacked["average"].items():
        assert torch.allclose(trained["average"][name], value, atol=1e-4), name


def test_unpacking_never_overwrites_training_state(
    plan: Blueprint, finished: Path, tmp_path: Path
) -> None:
    pack_model(plan, finished, tmp_path / "model" / "weights")
    with pytest.raises(FileExistsError, match="it is there already; allowed: a folder without it"):
        unpack_model(plan, tmp_path / "model" / "weights", finished)
