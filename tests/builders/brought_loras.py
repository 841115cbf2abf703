"""LoRA files after public bug reports: spellings, scales, relatives of LoRA, damage."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from brought_files import normal, saved

Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]
"""Part -> module -> shape of its weight."""
Tensors = dict[str, Tensor]
RANK = 4
SCALE = 2.0
"""Of factors: large, so that a few random layers move pixels."""
ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
OTHER = "up_blocks.1.attentions.0.transformer_blocks.0.attn2"
CONVOLUTION = "up_blocks.3.resnets.2.conv1"
TEXT = "text_model.encoder.layers.0.self_attn"
PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
TEXT_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
METADATA = "lora_adapter_metadata"


def factors(
    shape: tuple[int, ...], seed: int = 0, rank: int = RANK, scale: float = SCALE
) -> tuple[Tensor, Tensor]:
    """(r, in, ...) and (out, r, ...): their product is a change of that shape."""
    down = normal(rank, *shape[1:], seed=seed, scale=scale)
    return down, normal(shape[0], rank, *(1 for _ in shape[2:]), seed=seed + 1, scale=scale)


def unet_modules(shapes: Shapes) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Two attentions' projections."""
    for block in (ATTENTION, OTHER):
        for projection in PROJECTIONS:
            name = f"{block}.{projection}"
            yield name, shapes["unet"][name]


def kohya(shapes: Shapes, alpha: float | None = 1.0, text: str = "lora_te_") -> Tensors:
    """The UNet's attentions and a text encoder's, `_` for `.`."""
    found: Tensors = {}
    for seed, (name, shape) in enumerate(unet_modules(shapes)):
        found |= spelled(f"lora_unet_{name.replace('.', '_')}", shape, alpha, seed=seed)
    part = "text_encoder_2" if text == "lora_te2_" else "text_encoder"
    for seed, projection in enumerate(TEXT_PROJECTIONS, 20):
        shape = shapes[part][f"{TEXT}.{projection}"]
        name = f"{text}{TEXT.replace('.', '_')}_{projection}"
        found |= spelled(name, shape, alpha, seed=seed)
    return found


def spelled(
    stem: str, shape: tuple[int, ...], alpha: float | None = None, seed: int = 0
) -> Tensors:
    """One module as kohya writes it."""
    # Text encoders amplify rounding where their attention is nearly exact.
    down, up = factors(shape, seed, scale=0.5 if "lora_te" in stem else SCALE)
    found = {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
    return found if alpha is None else found | {f"{stem}.alpha": torch.tensor(alpha)}


def peft(shapes: Shapes, prefix: str = "unet.") -> Tensors:
    """The UNet's attentions as diffusers writes them."""
    found: Tensors = {}
    for seed, (name, shape) in enumerate(unet_modules(shapes)):
        down, up = factors(shape, seed)
        found |= {f"{prefix}{name}.lora_A.weight": down, f"{prefix}{name}.lora_B.weight": up}
    return found


def biases(shapes: Shapes, only: str = "") -> Tensors:
    """As `peft`, of modules whose names end so, with a bias beside each second factor."""
    found = {key: value for key, value in peft(shapes).items() if f"{only}.lora_" in key}
    return found | {
        key.replace("weight", "bias"): normal(len(value), seed=3)
        for key, value in found.items()
        if "lora_B" in key
    }


def one_text_layer(shapes: Shapes, folder: Path) -> str:
    """Settings name a projection of every layer of the text encoder, the file has one."""
    name = f"{TEXT}.q_proj"
    down, up = factors(shapes["text_encoder"][name])
    tensors = peft(shapes) | {
        f"text_encoder.{name}.lora_A.weight": down,
        f"text_encoder.{name}.lora_B.weight": up,
    }
    settings = {
        f"{part}.{field}": value
        for part, targets in (("unet", PROJECTIONS), ("text_encoder", ("q_proj",)))
        for field, value in (("r", RANK), ("lora_alpha", 8), ("target_modules", targets))
    }
    return str(saved(folder / "a.safetensors", tensors, {METADATA: json.dumps(settings)}))


def with_settings(
    targets: Sequence[str] | None = PROJECTIONS, **fields: object
) -> Callable[[Shapes, Path], str]:
    """diffusers' keys with peft's settings in the header."""

    def build(shapes: Shapes, folder: Path) -> str:
        settings = {f"unet.{name}": value for name, value in fields.items()}
        settings |= {} if targets is None else {"unet.target_modules": list(targets)}
        notes = {"format": "pt", METADATA: json.dumps(settings)}
        return str(saved(folder / "a.safetensors", peft(shapes), notes))

    return build


def of(tensors: Callable[[Shapes], Tensors], suffix: str = "") -> Callable[[Shapes, Path], str]:
    """A file with these tensors, and what stands behind its name in the option."""

    def build(shapes: Shapes, folder: Path) -> str:
        return f"{saved(folder / 'a.safetensors', tensors(shapes))}{suffix}"

    return build


def noted(tensors: Callable[[Shapes], Tensors], **notes: str) -> Callable[[Shapes, Path], str]:
    """A file with notes in its header."""
    return lambda shapes, folder: str(saved(folder / "a.safetensors", tensors(shapes), notes))


def changed(key: str, value: Callable[[Tensor], Tensor]) -> Callable[[Shapes, Path], str]:
    """kohya's file with the tensors whose names end so replaced."""

    def tensors(shapes: Shapes) -> Tensors:
        return {
            name: value(tensor) if name.endswith(key) else tensor
            for name, tensor in kohya(shapes).items()
        }

    return of(tensors)


def plus(**more: Tensor) -> Callable[[Shapes, Path], str]:
    """kohya's file with more tensors; `__` stands for a dot."""
    return of(lambda shapes: kohya(shapes) | {k.replace("__", "."): v for k, v in more.items()})


def attention_processors(shapes: Shapes) -> Tensors:
    """diffusers' first layout: `attn1.processor.to_q_lora.down.weight`."""
    found: Tensors = {}
    for seed, (name, shape) in enumerate(unet_modules(shapes)):
        down, up = factors(shape, seed)
        module, _, projection = name.removesuffix(".0").rpartition(".")
        stem = f"unet.{module}.processor.{projection}_lora"
        found |= {f"{stem}.down.weight": down, f"{stem}.up.weight": up}
    return found


def first_text_layout(shapes: Shapes) -> Tensors:
    """`text_encoder.text_model.encoder.layers.0.self_attn.to_q_lora.down.weight`."""
    found: Tensors = {}
    for seed, projection in enumerate(TEXT_PROJECTIONS):
        down, up = factors(shapes["text_encoder"][f"{TEXT}.{projection}"], seed)
        stem = f"text_encoder.{TEXT}.to_{projection.partition('_')[0]}_lora"
        found |= {f"{stem}.down.weight": down, f"{stem}.up.weight": up}
    return found


SGM = {
    "input_blocks_0_0": "conv_in",
    "input_blocks_1_1_transformer_blocks_0_attn1_to_q": f"{ATTENTION}.to_q",
    "input_blocks_3_0_op": "down_blocks.0.downsamplers.0.conv",
    "input_blocks_4_0_in_layers_2": "down_blocks.1.resnets.0.conv1",
    "input_blocks_4_0_emb_layers_1": "down_blocks.1.resnets.0.time_emb_proj",
    "input_blocks_4_0_skip_connection": "down_blocks.1.resnets.0.conv_shortcut",
    "middle_block_1_proj_in": "mid_block.attentions.0.proj_in",
    "output_blocks_5_1_transformer_blocks_0_ff_net_0_proj": (
        "up_blocks.1.attentions.2.transformer_blocks.0.ff.net.0.proj"
    ),
    "time_embed_0": "time_embedding.linear_1",
    "out_2": "conv_out",
}
"""The original repository's names of SD1.5's modules."""
SGM_XL = {
    "input_blocks_0_0": "conv_in",
    "input_blocks_4_1_transformer_blocks_0_attn1_to_q": (
        "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    ),
    "output_blocks_2_1_transformer_blocks_1_attn2_to_v": (
        "up_blocks.0.attentions.2.transformer_blocks.1.attn2.to_v"
    ),
    "time_embed_2": "time_embedding.linear_2",
    "label_emb_0_0": "add_embedding.linear_1",
    "out_2": "conv_out",
}


def sgm(names: Mapping[str, str]) -> Callable[[Shapes], Tensors]:
    """The original repository's names."""

    def tensors(shapes: Shapes) -> Tensors:
        found: Tensors = {}
        for seed, (stem, name) in enumerate(names.items()):
            found |= spelled(f"lora_unet_{stem}", shapes["unet"][name], 2.0, seed=seed)
        return found

    return tensors


def both_texts(shapes: Shapes) -> Tensors:
    """SDXL: both text encoders and the second one's projection."""
    found = kohya_texts(shapes)
    shape = shapes["text_encoder_2"]["text_projection"]
    return found | spelled("lora_te2_text_projection", shape, 1.0, seed=60)


def kohya_texts(shapes: Shapes) -> Tensors:
    """Both of SDXL's text encoders."""
    found: Tensors = {}
    for prefix, part in (("lora_te1_", "text_encoder"), ("lora_te2_", "text_encoder_2")):
        for seed, projection in enumerate(TEXT_PROJECTIONS, 40):
            shape = shapes[part][f"{TEXT}.{projection}"]
            name = f"{prefix}{TEXT.replace('.', '_')}_{projection}"
            found |= spelled(name, shape, 1.0, seed=seed)
    return found


def convolutions(shapes: Shapes) -> Tensors:
    """LoCon: 3 x 3 convolutions with an alpha of their own."""
    stem = f"lora_unet_{CONVOLUTION.replace('.', '_')}"
    return kohya(shapes) | spelled(stem, shapes["unet"][CONVOLUTION], 2.0, seed=70)


def mixed_alphas(shapes: Shapes) -> Tensors:
    """Alphas that differ among attention layers."""
    found = kohya(shapes)
    alphas = [key for key in found if key.endswith(".alpha")]
    return found | {key: torch.tensor(3.0) for key in alphas[::3]}


def dora(shapes: Shapes) -> Tensors:
    """DoRA as peft writes it."""
    found = peft(shapes)
    for name, shape in unet_modules(shapes):
        magnitude = 1.0 + normal(shape[0], seed=9).abs()
        found[f"unet.{name}.lora_magnitude_vector"] = magnitude
    return found


def loha(shapes: Shapes, kernel: bool = False) -> Tensors:
    """LoHa as LyCORIS writes it; kernel: with factors for a 3 x 3 kernel."""
    name = CONVOLUTION if kernel else f"{ATTENTION}.to_q"
    out, inside, *sides = shapes["unet"][name]
    stem = f"lora_unet_{name.replace('.', '_')}"
    found = {f"{stem}.alpha": torch.tensor(2.0)}
    for index in (1, 2):
        a = normal(out, RANK, seed=index, scale=SCALE)
        b = normal(RANK, inside, seed=index + 5, scale=SCALE)
        if kernel:
            a = a.T.contiguous()
            found[f"{stem}.hada_t{index}"] = normal(RANK, RANK, *sides, seed=index + 9, scale=SCALE)
        found[f"{stem}.hada_w{index}_a"], found[f"{stem}.hada_w{index}_b"] = a, b
    return found


def lokr(shapes: Shapes) -> Tensors:
    """LoKr as LyCORIS writes it: a small whole factor and a product."""
    name = f"{ATTENTION}.to_q"
    out, inside = shapes["unet"][name]
    stem = f"lora_unet_{name.replace('.', '_')}"
    return {
        f"{stem}.lokr_w1": normal(4, 4, seed=1, scale=SCALE),
        f"{stem}.lokr_w2_a": normal(out // 4, 2, seed=2, scale=SCALE),
        f"{stem}.lokr_w2_b": normal(2, inside // 4, seed=3, scale=SCALE),
        f"{stem}.alpha": torch.tensor(1.0),
    }


def two_files(shapes: Shapes, folder: Path) -> str:
    """Strengths 0.8 and -0.5."""
    first = saved(folder / "a.safetensors", kohya(shapes))
    second = saved(folder / "b.safetensors", peft(shapes))
    return f"{first}:0.8,{second}:-0.5"


def both(
    first: Callable[[Shapes], Tensors], second: Callable[[Shapes], Tensors]
) -> Callable[[Shapes, Path], str]:
    """Two files of one variant; of other kinds, the second one's layers are the outer ones."""

    def build(shapes: Shapes, folder: Path) -> str:
        one = saved(folder / "a.safetensors", first(shapes))
        return f"{one},{saved(folder / 'b.safetensors', second(shapes))}"

    return build


def pickled(shapes: Shapes, folder: Path) -> str:
    """As torch.save writes it."""
    torch.save(peft(shapes), folder / "a.bin")
    return str(folder / "a.bin")


def two_spellings(shapes: Shapes) -> Tensors:
    """One module in diffusers' two spellings."""
    down, up = factors(shapes["unet"][f"{ATTENTION}.to_q"], seed=90)
    stem = f"unet.{ATTENTION}.to_q.lora"
    return peft(shapes) | {f"{stem}.down.weight": down, f"{stem}.up.weight": up}


def raw(content: bytes) -> Callable[[Shapes, Path], str]:
    """A file of these bytes."""

    def build(shapes: Shapes, folder: Path) -> str:
        (folder / "a.safetensors").write_bytes(content)
        return str(folder / "a.safetensors")

    return build


def cut_off(shapes: Shapes, folder: Path) -> str:
    """The first half of a file."""
    path = saved(folder / "a.safetensors", kohya(shapes))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return str(path)


def te2() -> Tensors:
    """A second text encoder's attention, of SDXL's small model."""
    found: Tensors = {}
    for seed, projection in enumerate(TEXT_PROJECTIONS):
        found |= spelled(f"lora_te2_{TEXT.replace('.', '_')}_{projection}", (96, 96), 1.0, seed)
    return found
