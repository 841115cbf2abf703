"""Laws of LoRA files: drawn as the stock pipeline draws with the file, or refused by name."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from brought_lora_tables import BY_PEFT, REFUSED, RIGHT
from brought_slow import one_in
from diffusers import StableDiffusionXLPipeline
from merged_weights import assert_same_weights
from safetensors.torch import load_file

from brought_files import Brought, saved, variant_of
from brought_loras import ATTENTION, Shapes, kohya, loha, lokr
from drawn_twice import Pixels, distance, drawn_by_stock, drawn_by_us
from lafi_export.bare_pipeline import networks, quiet_libraries
from lafi_export.checkpoint_variant import Variant, plan_variant, write_variant
from lafi_export.lora_file import LoraError
from lafi_export.variant_option import VariantOptionError

PIXELS = 2
SEEN = 6
"""Of 255: what a change must move at least, so that a file that is not applied is noticed."""


def drawn(checkpoint: Path, variant: Variant, folder: Path) -> Any:
    write_variant(checkpoint, plan_variant(checkpoint, variant), folder / "variant")
    return drawn_by_us(folder / "variant")


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize("brought", one_in(5, RIGHT))
def test_a_variant_draws_what_the_stock_pipeline_draws(
    brought: Brought,
    stock: Callable[[str], Any],
    plain: Callable[[str], Pixels],
    shapes: Callable[[str], Shapes],
    small_checkpoints: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    variant = variant_of(brought.build(shapes(brought.model), tmp_path))
    pipeline = stock(brought.model)
    # SD's pipeline is told of the original repository's blocks by its UNet's config.
    xl = isinstance(pipeline, StableDiffusionXLPipeline)
    known = {} if xl else {"unet_config": pipeline.unet.config}
    names = [f"file{number}" for number in range(len(variant.loras))]
    with quiet_libraries():
        for name, (path, _) in zip(names, variant.loras, strict=True):
            pipeline.load_lora_weights(path, adapter_name=name, **known)
        pipeline.set_adapters(names, [copy.deepcopy(strength) for _, strength in variant.loras])
    theirs = drawn_by_stock(pipeline)
    assert distance(plain(brought.model), theirs) > SEEN
    ours = drawn(small_checkpoints(brought.model), variant, tmp_path)
    assert distance(ours, theirs) <= PIXELS
    pipeline.fuse_lora(components=[*networks(pipeline)])
    assert_same_weights(pipeline, tmp_path / "variant")


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize("brought", one_in(5, BY_PEFT))
def test_relatives_of_lora_add_what_their_papers_say(
    brought: Brought,
    stock: Callable[[str], Any],
    plain: Callable[[str], Pixels],
    shapes: Callable[[str], Shapes],
    small_checkpoints: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    option = brought.build(shapes(brought.model), tmp_path)
    pipeline = stock(brought.model)
    add_by_hand(pipeline.unet, load_file(option))
    theirs = drawn_by_stock(pipeline)
    assert distance(plain(brought.model), theirs) > PIXELS
    ours = drawn(small_checkpoints(brought.model), variant_of(option), tmp_path)
    assert distance(ours, theirs) <= PIXELS
    assert_same_weights(pipeline, tmp_path / "variant")


@pytest.mark.parametrize("relative", [loha, lokr])
@pytest.mark.parametrize("swapped", [False, True])
def test_relatives_beside_a_lora_add_both(
    relative: Callable[[Shapes], Any],
    swapped: bool,
    shapes: Callable[[str], Shapes],
    small_checkpoints: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    first = f"{saved(tmp_path / 'a.safetensors', relative(shapes('sd15')))}:0.5"
    second = f"{saved(tmp_path / 'b.safetensors', kohya(shapes('sd15')))}:-2"
    name = f"{ATTENTION}.to_q"

    def change(option: str) -> torch.Tensor:
        plan = plan_variant(small_checkpoints("sd15"), variant_of(option))
        assert not [module for module in plan.layers["unet"] if "base_layer" in module]
        zeros = torch.zeros(shapes("sd15")["unet"][name])
        return plan.layers["unet"][name].merged(zeros, None)[0]

    one, other = change(first), change(second)
    assert min(one.abs().max(), other.abs().max()) > 0.1
    both = change(f"{second},{first}" if swapped else f"{first},{second}")
    torch.testing.assert_close(both, one + other)


def add_by_hand(unet: Any, tensors: dict[str, torch.Tensor]) -> None:
    """LyCORIS' own formulas (arXiv:2309.14859, section 3), in the module that the file names."""
    (stem,) = {key.partition(".")[0] for key in tensors}
    t = {key.partition(".")[2]: value for key, value in tensors.items()}
    flat = {f"lora_unet_{name.replace('.', '_')}": name for name, _ in unet.named_modules()}
    weight = unet.get_submodule(flat[stem]).weight
    if "lokr_w1" in t:
        rank = t["lokr_w2_b"].shape[0]
        change = torch.kron(t["lokr_w1"], t["lokr_w2_a"] @ t["lokr_w2_b"])
    elif "hada_t1" in t:
        rank = t["hada_w1_b"].shape[0]
        one, two = (
            torch.einsum("ijkl,jr,ip->prkl", t[f"hada_t{i}"], t[f"hada_w{i}_b"], t[f"hada_w{i}_a"])
            for i in (1, 2)
        )
        change = one * two
    else:
        rank = t["hada_w1_b"].shape[0]
        change = (t["hada_w1_a"] @ t["hada_w1_b"]) * (t["hada_w2_a"] @ t["hada_w2_b"])
    with torch.no_grad():
        weight += change.reshape(weight.shape) * t["alpha"] / rank


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize("brought", REFUSED, ids=str)
def test_what_does_not_fit_is_refused_by_name(
    brought: Brought,
    shapes: Callable[[str], Shapes],
    small_checkpoints: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    option = brought.build(shapes(brought.model), tmp_path)
    with pytest.raises((LoraError, VariantOptionError), match=brought.error) as refused:
        plan_variant(small_checkpoints(brought.model), variant_of(option))
    assert str(tmp_path) in str(refused.value)
    assert len(str(refused.value)) < 2000
