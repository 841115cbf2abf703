"""Model variants: a checkpoint with LoRA files merged in and learnt words added.

A variant is a complete diffusers folder too, so it can be used like any checkpoint. Files are read
by diffusers and peft (`lora_adapters`, `learnt_words`); weights are rewritten tensor by tensor, in
float32; unchanged files are linked, not copied.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer

from lafi_export.bare_pipeline import bare_pipeline, networks
from lafi_export.learnt_words import add_tokens, check_takes_words, load_words, read_word
from lafi_export.lora_adapters import AdaptedLayer, Strength, load_loras
from lafi_export.part_weights import Shape, read_tensor, rewrite_part

_TOKENIZERS: Final = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2"}
_TABLE: Final = "embeddings.token_embedding.weight"
_WRONG_END: Final = 2
"""`eos_token_id` in published configs of CLIP, which makes transformers look for the highest id."""


@dataclass(frozen=True, slots=True)
class Variant:
    """The files that make a variant.

    name     used by storyboards to select it
    loras    files and strengths; strength 1 is as trained
    words    textual-inversion files, each with its word, or "" if the file names its word
    trigger  text put in front of every prompt that it draws, "" for none
    """

    name: str
    loras: tuple[tuple[Path, Strength], ...] = ()
    words: tuple[tuple[Path, str], ...] = ()
    trigger: str = ""


@dataclass(frozen=True, slots=True)
class VariantPlan:
    """The changes of a variant to one checkpoint, read and checked.

    layers   part -> module -> layer that the LoRA files change
    rows     text encoder -> (n, D) float32, new rows of its embedding table
    tokens   of the learnt words, in the order of their ids
    shapes   part -> the shapes of its tensors in the checkpoint, by name in the module
    """

    layers: Mapping[str, Mapping[str, AdaptedLayer]]
    rows: Mapping[str, Tensor]
    tokens: tuple[str, ...]
    shapes: Mapping[str, Mapping[str, Shape]]
    trigger: str = field(default="")

    @property
    def parts(self) -> frozenset[str]:
        """Parts of the checkpoint whose weights change."""
        return frozenset({*self.layers, *self.rows})


def plan_variant(checkpoint: Path, variant: Variant) -> VariantPlan:
    """Reads a variant's files and matches them to a diffusers folder; writes nothing.

    Raises LoraError or TextualInversionError, which name the keys or the word that do not fit.
    """
    pipeline = bare_pipeline(checkpoint)
    shapes = {part: _shapes(network) for part, network in networks(pipeline).items()}
    rows: dict[str, Tensor] = {}
    tokens: tuple[str, ...] = ()
    if variant.words:
        check_takes_words(pipeline, variant.words[0][0])
        rows, tokens = _learn(checkpoint, pipeline, variant, shapes)
    layers = load_loras(pipeline, variant.loras)
    return VariantPlan(layers, rows, tokens, shapes, variant.trigger)


def write_variant(checkpoint: Path, plan: VariantPlan, folder: Path) -> None:
    """Writes the variant of a diffusers folder as a new diffusers folder."""
    _link_tree(checkpoint, folder, leave={*plan.parts, *(_TOKENIZERS[part] for part in plan.rows)})
    for part in sorted(plan.parts):
        _write_part(checkpoint, folder, part, plan)
    for part in plan.rows:
        name = _TOKENIZERS[part]
        tokenizer = CLIPTokenizer.from_pretrained(checkpoint / name)
        add_tokens(tokenizer, plan.tokens)
        tokenizer.save_pretrained(folder / name)


def _learn(
    checkpoint: Path, pipeline: Any, variant: Variant, shapes: Mapping[str, Mapping[str, Shape]]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """New rows of every text encoder's table, and the tokens that they belong to."""
    encoders = {part: name for part, name in _TOKENIZERS.items() if part in shapes}
    lengths, sizes = [], {}
    for part, name in encoders.items():
        encoder = getattr(pipeline, part)
        table = encoder.get_input_embeddings()
        # The only weight that is read: words are added at its end.
        table.weight = nn.Parameter(_stored_table(checkpoint, part, shapes), requires_grad=False)
        sizes[part] = len(table.weight)
        lengths.append(encoder.config.max_position_embeddings)
        setattr(pipeline, name, CLIPTokenizer.from_pretrained(checkpoint / name))
    words = [read_word(path, word) for path, word in variant.words]
    tokens = load_words(pipeline, words, encoders, min(lengths))
    rows = {
        part: getattr(pipeline, part).get_input_embeddings().weight.data[size:].clone()
        for part, size in sizes.items()
    }
    return rows, tokens


def _stored_table(checkpoint: Path, part: str, shapes: Mapping[str, Mapping[str, Shape]]) -> Tensor:
    (name,) = (name for name in shapes[part] if name.endswith(_TABLE))
    return read_tensor(checkpoint, part, name, shapes[part])


def _shapes(network: nn.Module) -> dict[str, Shape]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def _write_part(checkpoint: Path, folder: Path, part: str, plan: VariantPlan) -> None:
    source, target = checkpoint / part, folder / part
    target.mkdir(parents=True)
    rows = plan.rows.get(part)
    grown: dict[str, Shape] = {}
    if rows is None:
        shutil.copyfile(source / "config.json", target / "config.json")
    else:
        config = json.loads((source / "config.json").read_text(encoding="utf-8"))
        config["vocab_size"] += len(rows)
        if config.get("eos_token_id", _WRONG_END) == _WRONG_END:
            # Else a learnt word, whose id is higher, would be taken for the end of the text.
            tokenizer = CLIPTokenizer.from_pretrained(checkpoint / _TOKENIZERS[part])
            config["eos_token_id"] = tokenizer.eos_token_id
        grown = {
            name: (shape[0] + len(rows), *shape[1:])
            for name, shape in plan.shapes[part].items()
            if name.endswith(_TABLE)
        }
        (target / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    layers = plan.layers.get(part, {})

    def change(name: str, tensor: Tensor, read: Callable[[str], Tensor]) -> Tensor:
        module, _, kind = name.rpartition(".")
        layer = layers.get(module)
        if layer is not None and kind == "weight":
            tensor, _ = layer.merged(tensor, None)
        elif layer is not None and kind == "bias" and layer.changes_bias:
            _, bias = layer.merged(read(f"{module}.weight"), tensor)
            tensor = tensor if bias is None else bias
        if rows is not None and name.endswith(_TABLE):
            tensor = torch.cat([tensor, rows])
        return tensor.contiguous()

    file = "model" if part in _TOKENIZERS else "diffusion_pytorch_model"
    path = target / f"{file}.safetensors"
    rewrite_part(checkpoint, part, plan.shapes[part], path, change, grown)


def _link_tree(source: Path, target: Path, leave: set[str]) -> None:
    """Hard-links all files except those of some folders; copies them across file systems."""

    def ignore(folder: str, names: list[str]) -> set[str]:
        return leave & set(names) if Path(folder) == source else set()

    shutil.copytree(source, target, ignore=ignore, copy_function=link_or_copy)


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Hard-links a file; copies it if the file system has no hard links or differs."""
    copy: Callable[[Path | str, Path | str], object] = shutil.copy2
    try:
        os.link(source, target)
    except OSError:
        copy(source, target)
