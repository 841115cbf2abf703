"""A folder of a family that only tests know: told by its model_index.json, loaded, and mapped."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from lafi.engine.torch.engines import TorchDenoiser, load_torch_engines
from lafi.model.checkpoint import CheckpointError, read_model_info
from lafi.model.info import ModelInfo
from lafi_export.modules import load_modules
from lafi_export.parity_cases import denoiser_cases

INDEX = {
    "_class_name": "ToyPipeline",
    "transformer": ["lafi_toy.network", "ToyTransformer"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
}


@pytest.fixture(scope="module")
def wide(toy: None) -> Any:
    """A network for texts of 64 channels, as the other parts of `folder` give them."""
    from lafi_toy.network import ToyTransformer

    torch.manual_seed(1)
    return ToyTransformer(text_width=64).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def folder(wide: Any, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("toy") / "toy"
    for part in ("vae", "text_encoder", "tokenizer"):
        shutil.copytree(checkpoint / part, made / part)
    wide.save_pretrained(made / "transformer")
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(made / "scheduler")
    (made / "model_index.json").write_text(json.dumps(INDEX), encoding="utf-8")
    return made


def test_a_folder_is_described_by_its_family(folder: Path) -> None:
    info = read_model_info(folder)
    assert (info.family, info.architecture) == ("toy", "ToyTransformer")
    assert (info.text_length, info.text_width, info.side_multiple) == (48, 64, 8)
    assert [site.name for site in info.layers] == ["blocks.0", "blocks.1", "blocks.2"]
    assert all(site.joint and site.rotary for site in info.layers)
    assert [port.name for port in info.added_inputs] == ["mood"]
    assert info.scheduler_config["shift"] == 3.0


def test_its_weights_are_hashed(folder: Path, wide: Any, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "toy"))
    changed = copy.deepcopy(wide)
    changed.out.bias += 1.0
    changed.save_pretrained(other / "transformer")
    assert read_model_info(other).weights_sha256 != read_model_info(folder).weights_sha256
    shutil.rmtree(other / "transformer")
    with pytest.raises(CheckpointError, match="has no transformer; allowed: a folder that ToyPip"):
        read_model_info(other)


def test_parts_that_do_not_fit_are_named(folder: Path, network: Any, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "toy"))
    network.save_pretrained(other / "transformer")
    with pytest.raises(CheckpointError, match=r"transformer\.text_width: got 12, allowed 64"):
        read_model_info(other)


def test_engines_and_modules_have_its_network(folder: Path, wide: Any, tmp_path: Path) -> None:
    engines = load_torch_engines(folder)
    info: ModelInfo = engines.info
    modules = load_modules(folder, info, tmp_path / "weights")
    assert [part.part for part in modules.weights] == ["text_encoder", "vae", "transformer"]
    mapped = modules.engines(folder, info)
    wanted = TorchDenoiser(copy.deepcopy(wide), info)
    for name, batch in denoiser_cases(info, ((3, 2, 3),)):
        for denoiser in (engines.denoiser, mapped.denoiser):
            torch.testing.assert_close(denoiser(batch), wanted(batch), atol=0, rtol=0, msg=name)
    assert engines.text_encoder(torch.ones(1, 48, dtype=torch.int64)).ports == {}
