"""What is read of an adapter's file, and what is refused, by its name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from picture_adapters import adapter_tensors, random_adapter, random_image_encoder
from safetensors.torch import load_file, save_file
from torch import Tensor

from lafi.engine.torch.engines import load_torch_engines
from lafi.engine.torch.picture_prompts import with_torch_pictures
from lafi.model.checkpoint import CheckpointError, read_model_info
from lafi.model.picture_prompt_info import AdapterFiles

Tensors = dict[str, Tensor]
FIRST = "ip_adapter.1.to_k_ip.weight"


@pytest.fixture(scope="module")
def files(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> AdapterFiles:
    return random_adapter(checkpoint, tmp_path_factory.mktemp("adapter"))


@pytest.mark.parametrize(("kind", "tokens"), [("plain", 4), ("plus", 5), ("full", 17)])
def test_the_facts_of_an_adapter(checkpoint: Path, tmp_path: Path, kind: Any, tokens: int) -> None:
    """17: a token for each patch of the picture, and one for all."""
    given = random_adapter(checkpoint, tmp_path, kind)
    info = with_torch_pictures(read_model_info(checkpoint), checkpoint, given)
    assert info.picture_prompts is not None
    assert (info.picture_prompts.side, info.picture_prompts.tokens) == (28, tokens)
    assert [port.axes for port in info.added_inputs] == [
        ("rows", "pictures", tokens, 64),
        ("rows", "pictures", "height", "width"),
    ]


def test_no_picture_is_not_a_picture_of_nothing(checkpoint: Path, files: AdapterFiles) -> None:
    engines = load_torch_engines(checkpoint, picture_prompts=files)
    assert engines.picture_encoder is not None
    nothing = engines.picture_encoder.nothing()
    assert nothing.shape == (1, 4, 64)
    assert not torch.equal(nothing, engines.picture_encoder(torch.zeros(1, 3, 28, 28)))


def _without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


def _with(name: str, *shape: int) -> Callable[[Tensors], Tensors]:
    return lambda tensors: tensors | {name: torch.zeros(shape)}


def _only(prefix: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {k: v for k, v in tensors.items() if k.startswith(prefix)}


def _faces(tensors: Tensors) -> Tensors:
    return {k: v for k, v in tensors.items() if not k.startswith("image_proj.proj.")}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without(FIRST), "ip_adapter: misses 1.to_k_ip.weight, allowed keys and values of this"),
        (
            _with("ip_adapter.0.to_q_lora.down.weight", 2, 2),
            "ip_adapter: has besides 0.to_q_lora.down.weight, allowed",
        ),
        (_with("ip_adapter.999.to_k_ip.weight", 2, 2), "has besides 999.to_k_ip.weight"),
        (_with(FIRST, 5, 64), r"ip_adapter.1.to_k_ip.weight: got shape \[5, 64\], allowed \["),
        (_with("controls.a", 2), "got controls.a, allowed tensors of image_proj and ip_adapter"),
        (_with("image_proj.extra.weight", 2), "image_proj: .*extra.weight"),
        (_without("image_proj.norm.bias"), "image_proj: .*norm.bias"),
        (_only("ip_adapter."), "has no tensors of image_proj, allowed an IP-Adapter with both"),
        (_faces, r"got an adapter of faces \(FaceID\), allowed a plain, plus or full"),
        (_with("image_proj.proj.weight", 4 * 32, 24), "image_proj: .*size mismatch"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(
    checkpoint: Path, files: AdapterFiles, tmp_path: Path, change: Any, said: str
) -> None:
    save_file(change(load_file(files.adapter)), tmp_path / "other.safetensors")
    given = files._replace(adapter=tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=said):
        load_torch_engines(checkpoint, picture_prompts=given)


def test_tokens_of_another_width_are_refused(
    checkpoint: Path, files: AdapterFiles, tmp_path: Path
) -> None:
    tensors = load_file(files.adapter) | {
        "image_proj.proj.weight": torch.zeros(4 * 32, 24),
        "image_proj.proj.bias": torch.zeros(4 * 32),
        "image_proj.norm.weight": torch.zeros(32),
        "image_proj.norm.bias": torch.zeros(32),
    }
    save_file(tensors, tmp_path / "narrow.safetensors")
    with pytest.raises(CheckpointError, match="got tokens of width 32, allowed 64, the width of"):
        load_torch_engines(
            checkpoint, picture_prompts=files._replace(adapter=tmp_path / "narrow.safetensors")
        )


def test_one_for_another_unet_is_refused(
    checkpoint: Path, small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    save_file(adapter_tensors(small_checkpoints("sdxl"), "plain", 0), tmp_path / "xl.safetensors")
    encoder = random_image_encoder(tmp_path / "encoder")
    given = AdapterFiles(tmp_path / "xl.safetensors", encoder)
    with pytest.raises(CheckpointError, match="ip_adapter"):
        load_torch_engines(checkpoint, picture_prompts=given)


def test_another_image_encoder_is_refused(
    checkpoint: Path, files: AdapterFiles, tmp_path: Path
) -> None:
    other = random_image_encoder(tmp_path / "other", projection_dim=8)
    with pytest.raises(CheckpointError, match="projection_dim: got 8, allowed 24, which"):
        load_torch_engines(checkpoint, picture_prompts=files._replace(image_encoder=other))
    given = files._replace(image_encoder=checkpoint / "text_encoder")
    with pytest.raises(CheckpointError, match="model_type: got 'clip_text_model', allowed 'clip_v"):
        load_torch_engines(checkpoint, picture_prompts=given)
    with pytest.raises(CheckpointError, match="model_type: got None, allowed 'clip_vision_model'"):
        load_torch_engines(checkpoint, picture_prompts=files._replace(image_encoder=tmp_path))


def test_an_image_encoder_without_some_of_its_weights_is_refused(
    checkpoint: Path, files: AdapterFiles, tmp_path: Path
) -> None:
    folder = random_image_encoder(tmp_path / "half")
    (file,) = folder.glob("*.safetensors")
    save_file(_without("visual_projection.weight")(load_file(file)), file, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"got visual_projection\.weight missing"):
        load_torch_engines(checkpoint, picture_prompts=files._replace(image_encoder=folder))
