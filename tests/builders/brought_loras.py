"""LoRA files after public bug reports: spellings, scales, relatives of LoRA, damage."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from brought_files import LFS_POINTER, Brought, normal, saved
from torch import Tensor

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


def dora_and_lora(shapes: Shapes, folder: Path) -> str:
    """What a DoRA does depends on what is beside it."""
    first = saved(folder / "a.safetensors", kohya(shapes))
    return f"{first},{saved(folder / 'b.safetensors', dora(shapes))}"


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


HALF = torch.float16
RIGHT = (
    Brought("kohya with alpha", of(kohya)),
    Brought("kohya without alpha", of(lambda shapes: kohya(shapes, None))),
    Brought("kohya convolutions with another alpha", of(convolutions)),
    Brought("diffusers keys", of(peft)),
    Brought("header: lora_alpha 16 at rank 4", with_settings(r=RANK, lora_alpha=16)),
    Brought("header: use_rslora", with_settings(r=RANK, lora_alpha=RANK, use_rslora=True)),
    Brought(
        "header: alpha_pattern",
        with_settings(r=RANK, lora_alpha=RANK, alpha_pattern={f"{ATTENTION}.to_q": 12}),
    ),
    Brought("attention processors", of(attention_processors)),
    Brought("text encoder to_q_lora", of(first_text_layout)),
    Brought("original names", of(sgm(SGM))),
    Brought("original names of SDXL", of(sgm(SGM_XL)), model="sdxl"),
    Brought("both text encoders of SDXL", of(both_texts), model="sdxl"),
    Brought("DoRA of peft", of(dora)),
    Brought("DoRA at strength 0.5", of(dora, ":0.5")),
    Brought("half precision", changed("weight", lambda value: value.to(HALF))),
    Brought("bfloat16", changed("weight", lambda value: value.to(torch.bfloat16))),
    Brought("two files, one negative", two_files),
    Brought("block weights", of(kohya, ":down=0.5:up.block_1=-1:text_encoder=0.25")),
    Brought("pickled", pickled),
    Brought("SD2.1", of(peft), model="sd21"),
)
"""Drawn as the stock pipeline draws them with the same file loaded."""
BY_PEFT = (
    Brought("LoHa", of(loha)),
    Brought("LoHa with a kernel's factors", of(lambda shapes: loha(shapes, kernel=True))),
    Brought("LoKr", of(lokr)),
)
"""Relatives of LoRA that peft takes and diffusers' pipelines do not."""
REFUSED = (
    Brought("alpha not a number", changed("alpha", lambda _: torch.tensor(torch.nan)), "got nan"),
    Brought("alpha infinite", changed("alpha", lambda _: torch.tensor(torch.inf)), "got inf"),
    Brought(
        "alpha zero",
        changed("alpha", torch.zeros_like),
        r"alpha: got 0.0, allowed a finite number other than 0",
    ),
    Brought("alpha of four numbers", changed("alpha", lambda _: torch.ones(4)), "allowed one num"),
    Brought(
        "weights not finite",
        changed("attn1_to_q.lora_up.weight", lambda value: value * torch.nan),
        "not finite in lora_unet_down_blocks_0.*to_q.lora_up.weight",
    ),
    Brought("header alpha zero", with_settings(r=RANK, lora_alpha=0), "unet.lora_alpha: got 0"),
    Brought(
        "header alpha that no tensor holds",
        noted(peft, alpha="8"),
        "header: alpha: got 8 for rank 4, but no tensor holds it",
    ),
    Brought(
        "kohya's header alpha that no tensor holds",
        noted(lambda shapes: kohya(shapes, None), ss_network_alpha="1.0"),
        "header: ss_network_alpha: got 1 for rank 4",
    ),
    Brought(
        "header that names no modules",
        with_settings(targets=None, r=RANK, lora_alpha=RANK),
        "header: lora_adapter_metadata: got nothing as unet.target_modules",
    ),
    Brought("header no JSON", noted(peft, **{METADATA: "{"}), "no JSON mapping"),
    Brought("alphas that diffusers mistakes", of(mixed_alphas), "other scales than the file's"),
    Brought("one module in two spellings", of(two_spellings), "each module in one spelling"),
    Brought(
        "an unknown module",
        of(lambda s: peft(s) | {k.replace("attn1", "attn9"): v for k, v in peft(s).items()}),
        r"no place in this checkpoint for unet\.down_blocks\.0\..*attn9",
    ),
    Brought("without the prefix", of(lambda shapes: peft(shapes, "")), "no place in this check"),
    Brought(
        "peft's own prefix",
        of(lambda shapes: peft(shapes, "base_model.model.")),
        "no place in this checkpoint for base_model",
    ),
    Brought(
        "a transformer's LoRA",
        of(lambda shapes: peft(shapes, "transformer.")),
        "no place in this checkpoint for transformer",
    ),
    Brought(
        "SDXL's second text encoder on SD1.5",
        of(lambda shapes: kohya(shapes, 1.0, "lora_te2_") if "text_encoder_2" in shapes else te2()),
        "no place in this checkpoint for lora_te2_",
    ),
    Brought(
        "kohya's dora_scale, which diffusers drops",
        plus(**{f"lora_unet_{ATTENTION.replace('.', '_')}_to_q__dora_scale": normal(32, 1)}),
        "no place in this checkpoint for lora_unet_.*dora_scale",
    ),
    Brought(
        "tucker factor, which diffusers cannot read",
        plus(lora_unet_mid_block_resnets_0_conv1__lora_mid__weight=normal(4, 4, 3, 3)),
        "lora_mid",
    ),
    Brought(
        "differences of norms",
        plus(lora_unet_down_blocks_0_resnets_0_norm1__w_norm=normal(32)),
        "w_norm",
    ),
    Brought("a word in the same file", plus(bundle_emb__mia=normal(2, 64)), "bundle_emb"),
    Brought(
        "half a pair",
        of(
            lambda shapes: (
                {k: v for k, v in peft(shapes).items() if not k.endswith("to_q.lora_B")}
                | {"unet.conv_in.lora_A.weight": normal(4, 4, 3, 3)}
            )
        ),
        "has nothing for unet.conv_in.lora_B",
    ),
    Brought(
        "another width",
        changed("attn1_to_q.lora_down.weight", lambda value: value[:, :-1]),
        "cannot load it: .*size mismatch",
    ),
    Brought("DoRA beside another", dora_and_lora, "allowed: a DoRA alone"),
    Brought(
        "no LoRA", of(lambda _: {"a.weight": normal(2, 2), "b.weight": normal(2)}), "allowed: a"
    ),
    Brought("git-lfs pointer", raw(LFS_POINTER.encode()), "a git-lfs pointer"),
    Brought("empty file", raw(b""), "is empty"),
    Brought("web page", raw(b"<!DOCTYPE html><html>"), "a web page, so the download failed"),
    Brought("wrong length in the header", raw(b"\xff" * 64), "cut off, damaged, or no safetensors"),
    Brought("cut off", cut_off, "is cut off: it has"),
)


def te2() -> Tensors:
    """A second text encoder's attention, of SDXL's small model."""
    found: Tensors = {}
    for seed, projection in enumerate(TEXT_PROJECTIONS):
        found |= spelled(f"lora_te2_{TEXT.replace('.', '_')}_{projection}", (96, 96), 1.0, seed)
    return found
