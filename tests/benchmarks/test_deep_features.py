"""What must run where deep features are kept: counted, and shown by what has no effect."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from benchmarks.deep_features.cut import (
    Cut,
    bound,
    cut_before,
    flops,
    parts,
    reference_flops,
    share_left,
    still_run,
)
from benchmarks.deep_features.kept import KeptFeatures
from lafi.board.injection import LayerPreset
from lafi.model.architectures.registry import architecture
from lafi.model.families.unet import self_attention_layers

BUNDLED = Path(__file__).parents[2] / "tiny_model" / "weights" / "unet" / "config.json"
PRESETS: tuple[LayerPreset, ...] = ("decoder", "balanced", "texture")


def bundled(device: str) -> Any:
    torch.manual_seed(0)
    with torch.device(device):
        return UNet2DConditionModel.from_config(json.loads(BUNDLED.read_text())).eval()


def inputs(device: str, cells: int = 16, seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "sample": torch.randn(1, 16, cells, cells, generator=generator).to(device),
        "timestep": torch.full((1,), 500.0, device=device),
        "encoder_hidden_states": torch.randn(1, 77, 192, generator=generator).to(device),
    }


def counted_by_hooks(unet: nn.Module, given: dict[str, Any]) -> int:
    """Convolutions and products by their modules' shapes, attention by its queries and keys."""
    total = 0

    def conv(module: Any, _: Any, out: Tensor) -> None:
        nonlocal total
        total += 2 * out.numel() * module.weight[0].numel()

    def linear(module: Any, _: Any, out: Tensor) -> None:
        nonlocal total
        total += 2 * out.numel() * module.in_features

    def attention(module: Any, args: Any, kwargs: Any, out: Tensor) -> None:
        nonlocal total
        text = kwargs.get("encoder_hidden_states")
        keys = out.shape[1] if text is None else text.shape[1]
        total += 4 * out.shape[0] * out.shape[1] * keys * module.inner_dim

    for module in unet.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(conv)
        elif isinstance(module, nn.Linear):
            module.register_forward_hook(linear)
        elif isinstance(module, Attention):
            module.register_forward_hook(attention, with_kwargs=True)
    with torch.no_grad():
        unet(**given)
    return total


def test_the_count_is_that_of_hooks_on_the_bundled_model() -> None:
    unet = bundled("meta")
    counted = flops(unet, **inputs("meta"))
    assert sum(counted.values()) == counted_by_hooks(unet, inputs("meta"))
    assert min(counted.values()) > 0


def nothing(_: nn.Module, args: Any, out: Any) -> Any:
    if isinstance(out, tuple):
        return tuple(value * torch.nan for value in out)
    return out * torch.nan


@pytest.mark.parametrize("preset", PRESETS)
def test_with_kept_features_all_other_parts_matter_and_no_kept_one_does(
    preset: LayerPreset,
) -> None:
    unet = bundled("cpu")
    cut = cut_before(self_attention_layers(unet), preset)
    kept = KeptFeatures(unet, cut)
    with torch.no_grad():
        unet(**inputs("cpu"))
        kept.taken = True
        expected = unet(**inputs("cpu", seed=1)).sample
        for name in parts(unet):
            hook = unet.get_submodule(name).register_forward_hook(nothing)
            found = unet(**inputs("cpu", seed=1)).sample
            hook.remove()
            same = torch.equal(found, expected)
            assert same == (name not in still_run(unet, cut)), name


def test_features_kept_from_the_same_call_change_nothing() -> None:
    unet = bundled("cpu")
    kept = KeptFeatures(unet, cut_before(self_attention_layers(unet), "texture"))
    with torch.no_grad():
        whole = unet(**inputs("cpu")).sample
        kept.taken = True
        assert torch.equal(unet(**inputs("cpu")).sample, whole)
        assert not torch.equal(unet(**inputs("cpu", seed=1)).sample, whole)


def test_a_later_cut_leaves_less() -> None:
    unet = bundled("meta")
    layers = self_attention_layers(unet)
    counted = flops(unet, **inputs("meta"))
    shares = [share_left(unet, cut_before(layers, preset), counted) for preset in PRESETS]
    assert 1.0 > shares[0] > shares[1] > shares[2] > 0.0


def test_the_cuts_are_where_injection_starts() -> None:
    found = {}
    for name in ("sd15", "sdxl"):
        with torch.device("meta"):
            unet = UNet2DConditionModel.from_config(architecture(name).configs["unet"])
        layers = self_attention_layers(unet)
        found[name] = [cut_before(layers, preset) for preset in PRESETS]
    assert found["sd15"] == [Cut(1, 0), Cut(2, 0), Cut(3, 0)]
    assert found["sdxl"] == [Cut(0, 0), Cut(0, 1), Cut(0, 2)]


def test_presets_that_inject_in_deep_blocks_leave_nothing_to_keep() -> None:
    layers = self_attention_layers(bundled("meta"))
    with pytest.raises(ValueError, match="preset: got 'all', allowed one that starts in the up"):
        cut_before(layers, "all")


def test_a_reference_costs_products_of_its_keys_and_values_in_injected_layers_alone() -> None:
    layers = self_attention_layers(bundled("meta"))
    more = reference_flops(layers, "texture", cells=16 * 16)
    assert list(more) == ["up_blocks.2.attentions.0", "up_blocks.2.attentions.1"]
    assert set(more.values()) == {4 * 256**2 * 64}


@pytest.mark.parametrize(
    ("share", "interval", "expected"), [(0.0, 5, 5), (1, 3, 1), (0.5, 2, 4 / 3)]
)
def test_the_bound_lies_between_nothing_and_the_interval(
    share: float, interval: int, expected: float
) -> None:
    assert bound(share, interval) == pytest.approx(expected)
