"""LoRA files of Z-Image, FLUX and SD3 in the spellings that people have."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import torch

from brought_files import normal, saved
from brought_loras import METADATA, RANK, TEXT, TEXT_PROJECTIONS, Tensors, factors, of, spelled

Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]

ZIMAGE: Final = {
    f"{block}.{name}": f"{block.replace('.', '_')}_{name.replace('.', '_')}"
    for block in ("layers.0", "layers.1", "noise_refiner.0", "context_refiner.1")
    for name in ("attention.to_q", "attention.to_v", "attention.to_out.0", "feed_forward.w2")
}
"""Module -> kohya's name, without its prefix."""
JOINT: Final = tuple(
    f"transformer_blocks.{block}.{name}"
    for block in (0, 1)
    for name in ("attn.to_q", "attn.to_v", "attn.add_k_proj", "attn.to_out.0", "ff.net.2")
)
"""Modules that FLUX and SD3 have alike."""
FLUX: Final = {
    "double_blocks_0_img_attn_proj": "transformer_blocks.0.attn.to_out.0",
    "double_blocks_0_img_mlp_0": "transformer_blocks.0.ff.net.0.proj",
    "double_blocks_1_img_mod_lin": "transformer_blocks.1.norm1.linear",
    "double_blocks_1_txt_attn_proj": "transformer_blocks.1.attn.to_add_out",
    "double_blocks_1_txt_mlp_2": "transformer_blocks.1.ff_context.net.2",
    "single_blocks_0_linear2": "single_transformer_blocks.0.proj_out",
    "single_blocks_2_modulation_lin": "single_transformer_blocks.2.norm.linear",
}
"""kohya's name -> module."""
FUSED: Final = ("double_blocks_0_img_attn_qkv", "double_blocks_1_txt_attn_qkv")


def peft(
    shapes: Shapes,
    modules: Iterable[str],
    part: str = "transformer",
    prefix: str | None = None,
    alphas: Iterable[float] = (),
    rank: int = RANK,
) -> Tensors:
    """diffusers' keys; alphas: of the first modules. prefix: instead of the part's name."""
    found: Tensors = {}
    given = list(alphas)
    for seed, name in enumerate(modules):
        stem = f"{part}.{name}" if prefix is None else f"{prefix}{name}"
        scale = 0.5 if part != "transformer" else 1.0
        down, up = factors(shapes[part][name], seed, rank, scale)
        found |= {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}
        if seed < len(given):
            found[f"{stem}.alpha"] = torch.tensor(given[seed])
    return found


def texts(shapes: Shapes, *parts: str) -> Tensors:
    """CLIP's attentions under diffusers' keys."""
    names = [f"{TEXT}.{projection}" for projection in TEXT_PROJECTIONS]
    return {key: value for part in parts for key, value in peft(shapes, names, part).items()}


def zimage_kohya(shapes: Shapes) -> Tensors:
    """`lora_unet_layers_0_attention_to_q.lora_down.weight`, each with an alpha."""
    found: Tensors = {}
    for seed, (name, stem) in enumerate(ZIMAGE.items()):
        shape = shapes["transformer"][name]
        found |= spelled(f"lora_unet_{stem}", shape, 1.0 + seed % 3, seed=seed)
    return found


def zimage_fused(shapes: Shapes) -> Tensors:
    """One pair of factors for queries, keys and values."""
    out, inside = shapes["transformer"]["layers.0.attention.to_q"]
    found: Tensors = {}
    for block in ("layers_0", "noise_refiner_1"):
        made = spelled(f"lora_unet_{block}_attention_qkv", (3 * out, inside), 2.0)
        found |= {k.replace("lora_down", "lora.down"): v for k, v in made.items()}
    return {k.replace("lora_up", "lora.up"): v for k, v in found.items()}


def zimage_dots(shapes: Shapes) -> Tensors:
    """Queries, keys and values apart, spelled `to.q.lora.down.weight`."""
    found: Tensors = {}
    for seed, letter in enumerate("qkv"):
        shape = shapes["transformer"][f"layers.0.attention.to_{letter}"]
        made = spelled(f"lora_unet_layers_0_attention_to_{letter}", shape, seed=seed)
        found |= {
            k.replace("lora_down", "lora.down").replace("lora_up", "lora.up"): v
            for k, v in made.items()
        }
    return found


def flux_kohya(
    shapes: Shapes, prefix: str = "lora_unet_", text: str = "lora_te1_", sparse: bool = False
) -> Tensors:
    """kohya's names; queries, keys and values in one. sparse: each of a third of the rank."""
    found: Tensors = {}
    for seed, (stem, name) in enumerate(FLUX.items()):
        shape = shapes["transformer"][name]
        found |= spelled(f"{prefix}{stem}", shape, 1.0 + seed % 3, seed=seed)
    out, inside = shapes["transformer"]["transformer_blocks.0.attn.to_q"]
    for seed, stem in enumerate(FUSED, 30):
        down, up = factors((3 * out, inside), seed, rank=6, scale=1.0)
        if sparse:
            up = torch.block_diag(*(up[i * out : (i + 1) * out, :2] for i in range(3)))
        found |= {f"{prefix}{stem}.lora_down.weight": down, f"{prefix}{stem}.lora_up.weight": up}
        found[f"{prefix}{stem}.alpha"] = torch.tensor(3.0)
    for seed, projection in enumerate(TEXT_PROJECTIONS if text else (), 40):
        shape = shapes["text_encoder"][f"{TEXT}.{projection}"]
        name = f"{text}{TEXT.replace('.', '_')}_{projection}"
        found |= spelled(name, shape, 2.0, seed=seed)
    return found


def flux_comfy(shapes: Shapes) -> Tensors:
    """`diffusion_model.double_blocks.0.img_attn.qkv.lora_down.weight`."""
    dotted = {
        name: name.replace("blocks_", "blocks.").replace("_img", ".img").replace("_txt", ".txt")
        for name in (*FLUX, *FUSED)
    }
    found: Tensors = {}
    for key, value in flux_kohya(shapes, prefix="", text="").items():
        stem, _, role = key.partition(".")
        name = dotted[stem]
        for end in ("qkv", "proj", "0", "2", "lin", "linear2"):
            name = f"{name.removesuffix(f'_{end}')}.{end}" if name.endswith(f"_{end}") else name
        found[f"diffusion_model.{name}.{role}"] = value
    return found


def flux_mixture(shapes: Shapes) -> Tensors:
    """diffusers' modules in kohya's spelling: `lora_transformer_..._attn_to_q`."""
    names = [name for name in JOINT if ".attn." in name]
    names += [f"single_transformer_blocks.{i}.attn.to_k" for i in range(3)]
    found: Tensors = {}
    for seed, name in enumerate(names):
        stem = f"lora_transformer_{name.replace('.', '_')}"
        found |= spelled(stem, shapes["transformer"][name], 2.0, seed=seed)
    for seed, projection in enumerate(TEXT_PROJECTIONS, 40):
        shape = shapes["text_encoder"][f"{TEXT}.{projection}"]
        found |= spelled(f"lora_te1_{TEXT.replace('.', '_')}_{projection}", shape, 2.0, seed=seed)
    return found


def ranks(shapes: Shapes, modules: Iterable[str]) -> Tensors:
    """Ranks that differ among modules."""
    found: Tensors = {}
    for index, name in enumerate(modules):
        found |= peft(shapes, [name], rank=2 + index % 3)
    return found


def dora(shapes: Shapes, modules: Iterable[str]) -> Tensors:
    """DoRA as peft writes it."""
    names = list(modules)
    found = peft(shapes, names)
    for name in names:
        out = shapes["transformer"][name][0]
        found[f"transformer.{name}.lora_magnitude_vector"] = 1.0 + normal(out, seed=9).abs()
    return found


def lokr(shapes: Shapes) -> Tensors:
    """LoKr under diffusers' names."""
    found: Tensors = {}
    for seed, name in enumerate(("layers.0.attention.to_q", "layers.1.attention.to_v")):
        out, inside = shapes["transformer"][name]
        found |= {
            f"transformer.{name}.lokr_w1": normal(4, 4, seed=seed, scale=1.0),
            f"transformer.{name}.lokr_w2": normal(out // 4, inside // 4, seed=seed + 5, scale=1.0),
        }
    return found


def noted(modules: Iterable[str], **fields: object) -> Callable[[Shapes, Path], str]:
    """diffusers' keys with peft's settings in the header."""
    names = list(modules)

    def build(shapes: Shapes, folder: Path) -> str:
        settings: dict[str, object] = {f"transformer.{k}": v for k, v in fields.items()}
        settings["transformer.target_modules"] = names
        notes = {"format": "pt", METADATA: json.dumps(settings)}
        return str(saved(folder / "a.safetensors", peft(shapes, names), notes))

    return build


def half(tensors: Callable[[Shapes], Tensors], dtype: torch.dtype) -> Callable[[Shapes], Tensors]:
    """The same numbers in half precision."""
    return lambda shapes: {key: value.to(dtype) for key, value in tensors(shapes).items()}


def plus(
    tensors: Callable[[Shapes], Tensors], **more: torch.Tensor
) -> Callable[[Shapes, Path], str]:
    """A file with more tensors; `__` stands for a dot."""
    return of(lambda shapes: tensors(shapes) | {k.replace("__", "."): v for k, v in more.items()})


def two_files(
    one: Callable[[Shapes], Tensors], other: Callable[[Shapes], Tensors]
) -> Callable[[Shapes, Path], str]:
    """Strengths 0.8 and -0.5."""

    def build(shapes: Shapes, folder: Path) -> str:
        first = saved(folder / "a.safetensors", one(shapes))
        return f"{first}:0.8,{saved(folder / 'b.safetensors', other(shapes))}:-0.5"

    return build


def zimage_peft(shapes: Shapes) -> Tensors:
    """Z-Image as diffusers writes it."""
    return peft(shapes, ZIMAGE)


def joint_peft(shapes: Shapes) -> Tensors:
    """The transformer of FLUX or SD3 as diffusers writes it."""
    return peft(shapes, JOINT)


def with_alphas(shapes: Shapes) -> Tensors:
    """Z-Image's original prefix, with alphas beside peft's factors."""
    return peft(shapes, ZIMAGE, prefix="diffusion_model.", alphas=[1.0, 3.0] * 8)


def wide_input(shapes: Shapes) -> Tensors:
    """A control LoRA: its first layer reads a second picture."""
    down, up = factors((shapes["transformer"]["x_embedder"][0], 128))
    stem = "transformer.x_embedder"
    return joint_peft(shapes) | {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}


def pair(stem: str) -> Callable[[Shapes], Tensors]:
    """One module as kohya writes it."""
    return lambda _: spelled(stem, (32, 32), 1.0)


def ups(stem: str) -> dict[str, torch.Tensor]:
    """More tensors for `plus`: one module as peft writes it."""
    down, up = factors((32, 32))
    name = stem.replace(".", "__")
    return {f"{name}__lora_A__weight": down, f"{name}__lora_B__weight": up}
