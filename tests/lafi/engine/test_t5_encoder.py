"""T5's encoder from a folder, with its weights and with none yet."""

from pathlib import Path

import pytest
import torch
from transformers import T5EncoderModel

from lafi.engine.torch.text_stacks.t5_encoder import load_t5, t5_without_weights
from lafi.model.architectures.architecture import Architecture
from lafi.model.architectures.parts import t5_config
from lafi_export import random_checkpoint
from lafi_export.part_weights import write_part
from lafi_export.random_checkpoint import meta_module
from lafi_export.weights_file import tensor_places

CLASSES = {"text_encoder": ("transformers", "T5EncoderModel")}


def one(small: bool) -> Architecture:
    config = t5_config(32, 2, 4, small=True) if small else t5_config(4096, 24, 64, small=False)
    return Architecture("t5", "Pipeline", CLASSES, {"text_encoder": config}, {}, {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("t5")
    random_checkpoint._write_part(
        one(small=True), "text_encoder", made / "text_encoder", 0, torch.float32
    )
    return made


def test_xxl_has_the_parameters_of_the_published_encoder() -> None:
    module = meta_module(one(small=False), "text_encoder")
    names = dict(module.named_parameters())
    names.pop("encoder.embed_tokens.weight", None)
    assert sum(value.numel() for value in names.values()) == 4_762_310_656


def test_the_table_of_tokens_is_stored_once(folder: Path) -> None:
    stored = tensor_places(folder / "text_encoder" / "model.safetensors")
    assert "shared.weight" in stored
    assert "encoder.embed_tokens.weight" not in stored
    loaded = load_t5(folder / "text_encoder", torch.float32, None)
    assert isinstance(loaded, T5EncoderModel)
    assert torch.equal(loaded.shared.weight, loaded.encoder.embed_tokens.weight)


def test_mapped_weights_give_what_loaded_ones_give(folder: Path, tmp_path: Path) -> None:
    loaded = load_t5(folder / "text_encoder", torch.float32, None).eval()
    module = t5_without_weights(folder / "text_encoder")
    assert all(value.is_meta for value in module.parameters())
    assert not [*module.named_buffers()]
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    written = write_part(folder, "text_encoder", shapes, tmp_path)
    module.load_state_dict(written.load(), assign=True)
    ids = torch.tensor([[5, 9, 1, 0, 0], [7, 7, 8, 9, 1]])
    with torch.no_grad():
        wanted, got = (each(ids)[0] for each in (loaded, module.eval()))
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    assert got.std() > 0.1
