"""LoRA files: read in every layout, fitted to a checkpoint, merged."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from lafi_export.lora import LoraError, LowRank, fit, merged, read_lora

TO_Q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
OUT = "up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_out.0"
CONV = "down_blocks.0.resnets.0.conv1"
Q_PROJ = "encoder.layers.0.self_attn.q_proj"
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "unet": {
        f"{TO_Q}.weight": (6, 4),
        f"{OUT}.weight": (4, 4),
        f"{OUT}.bias": (4,),
        f"{CONV}.weight": (5, 4, 3, 3),
    },
    "text_encoder": {f"text_model.{Q_PROJ}.weight": (4, 4)},
}


def factors(out: int, *inside: int, rank: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(rank, *inside, generator=generator)
    up = torch.randn(out, rank, *(1 for _ in inside[1:]), generator=generator)
    return down, up


def saved(path: Path, tensors: dict[str, Tensor]) -> Path:
    save_file({k: v.clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}, path)
    return path


def layouts(down: Tensor, up: Tensor) -> dict[str, dict[str, Tensor]]:
    """The same change of `to_q` in every layout that is read."""
    flat = TO_Q.replace(".", "_")
    return {
        "peft": {f"unet.{TO_Q}.lora_A.weight": down, f"unet.{TO_Q}.lora_B.weight": up},
        "named": {
            f"unet.{TO_Q}.lora_A.default.weight": down,
            f"unet.{TO_Q}.lora_B.default.weight": up,
        },
        "linear": {f"unet.{TO_Q}.lora.down.weight": down, f"unet.{TO_Q}.lora.up.weight": up},
        "processor": {
            f"unet.{TO_Q.removesuffix('to_q')}processor.to_q_lora.down.weight": down,
            f"unet.{TO_Q.removesuffix('to_q')}processor.to_q_lora.up.weight": up,
        },
        "kohya": {
            f"lora_unet_{flat}.lora_down.weight": down,
            f"lora_unet_{flat}.lora_up.weight": up,
        },
        "original": {
            f"lora_unet_{flat.replace('down_blocks_0_attentions_0', 'input_blocks_1_1')}.lora_down.weight": down,  # noqa: E501
            f"lora_unet_{flat.replace('down_blocks_0_attentions_0', 'input_blocks_1_1')}.lora_up.weight": up,  # noqa: E501
        },
    }


@pytest.mark.parametrize("layout", layouts(*factors(6, 4)))
def test_every_layout_says_the_same(layout: str, tmp_path: Path) -> None:
    down, up = factors(6, 4)
    path = saved(tmp_path / "a.safetensors", layouts(down, up)[layout])
    ((name, change),) = fit(read_lora(path), SHAPES)["unet"].items()
    assert name == f"{TO_Q}.weight"
    torch.testing.assert_close(change.matrix(), up @ down)


def test_alpha_divides_by_the_rank(tmp_path: Path) -> None:
    down, up = factors(6, 4, rank=2)
    flat = f"lora_unet_{TO_Q.replace('.', '_')}"
    tensors = {
        f"{flat}.lora_down.weight": down,
        f"{flat}.lora_up.weight": up,
        f"{flat}.alpha": torch.tensor(1.0),
    }
    lora = read_lora(saved(tmp_path / "a.safetensors", tensors))
    (change,) = fit(lora, SHAPES)["unet"].values()
    torch.testing.assert_close(change.matrix(), 0.5 * up @ down)


def test_convolutions_attention_outputs_and_text_encoders_fit(tmp_path: Path) -> None:
    conv_down, conv_up = factors(5, 4, 3, 3)
    down, up = factors(4, 4)
    tensors = {
        f"lora_unet_{CONV.replace('.', '_')}.lora_down.weight": conv_down,
        f"lora_unet_{CONV.replace('.', '_')}.lora_up.weight": conv_up,
        f"unet.{OUT.removesuffix('to_out.0')}processor.to_out_lora.down.weight": down,
        f"unet.{OUT.removesuffix('to_out.0')}processor.to_out_lora.up.weight": up,
        f"lora_te_text_model_{Q_PROJ.replace('.', '_')}.lora_down.weight": down,
        f"lora_te_text_model_{Q_PROJ.replace('.', '_')}.lora_up.weight": up,
    }
    fitted = fit(read_lora(saved(tmp_path / "a.safetensors", tensors)), SHAPES)
    assert set(fitted["unet"]) == {f"{CONV}.weight", f"{OUT}.weight"}
    assert set(fitted["text_encoder"]) == {f"text_model.{Q_PROJ}.weight"}
    # A LoRA of a convolution is the convolution by `down` followed by the one by `up`.
    image = torch.randn(1, 4, 6, 6)
    twice = torch.nn.functional.conv2d(torch.nn.functional.conv2d(image, conv_down), conv_up)
    once = torch.nn.functional.conv2d(image, fitted["unet"][f"{CONV}.weight"].matrix())
    torch.testing.assert_close(once, twice, rtol=1e-4, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.floats(-2, 2), st.floats(-2, 2), st.integers(0, 99))
def test_strengths_add_up_and_zero_changes_nothing(a: float, b: float, seed: int) -> None:
    change = LowRank(*factors(6, 4, seed=seed), scale=0.5)
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed + 1))
    both = merged(merged(weight, [(change, a)]), [(change, b)])
    torch.testing.assert_close(both, merged(weight, [(change, a + b)]), rtol=1e-5, atol=1e-5)
    assert torch.equal(merged(weight, [(change, 0.0)]), weight)
    assert merged(weight.half(), [(change, a)]).dtype == torch.float16


DOWN, UP = factors(6, 4)


@pytest.mark.parametrize(
    ("tensors", "text"),
    [
        ({}, "no tensors; allowed: LoRA keys"),
        ({"unet.conv_in.weight": UP}, "unet.conv_in.weight; allowed: LoRA keys"),
        ({"transformer.x.lora_A.weight": DOWN}, "transformer.x.lora_A.weight; allowed"),
        ({f"unet.{TO_Q}.hada_w1_a": UP}, "hada_w1_a; allowed: LoRA keys"),
        ({f"unet.{TO_Q}.dora_scale": UP}, "dora_scale; allowed: LoRA keys"),
        ({f"unet.{TO_Q}.lora_A.weight": DOWN}, "to_q has no up factor; the file is not whole"),
        ({f"unet.{TO_Q}.lora_B.weight": UP}, "to_q has no down factor; the file is not whole"),
        (
            {f"unet.{TO_Q}.lora_A.weight": DOWN, f"unet.{TO_Q}.lora_B.weight": UP.T},
            r"factors \[2, 6\] and \[2, 4\] do not multiply",
        ),
        (
            {f"unet.{TO_Q}.lora_A.weight": DOWN * torch.nan, f"unet.{TO_Q}.lora_B.weight": UP},
            "values that are not finite",
        ),
    ],
)
def test_a_file_that_is_no_whole_lora_is_refused(
    tensors: dict[str, Tensor], text: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "a.safetensors", tensors)
    with pytest.raises(LoraError, match=text):
        read_lora(path)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(LoraError, match="allowed: a safetensors file"):
        read_lora(path)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    pairs = {f"unet.down_blocks.{i}.attentions.0.proj_in": factors(6, 4) for i in range(7)}
    pairs[f"unet.{TO_Q}"] = factors(6, 5)
    tensors = {}
    for module, (down, up) in pairs.items():
        tensors |= {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}
    lora = read_lora(saved(tmp_path / "a.safetensors", tensors))
    with pytest.raises(LoraError, match=r"does not fit the checkpoint: .* and 3 more") as refused:
        fit(lora, SHAPES)
    assert "(no such module)" in str(refused.value)
    assert r"to_q (is for [6, 5], not [6, 4])" in str(refused.value)
