"""Writes the artifacts of a model, or of one of its variants: weights, graphs, tokenizers, facts.

A variant has its own folder inside the model's. Graphs whose weights it does not change are not
exported or stored again: its `lafi.json` lists them as shared, and they are read from the model's
folder. (Links do not work: onnx refuses weights that are symlinks or hard links, and weights
outside the graph's folder.) If only the values of the weights change, but not their places in the
file, as after a merge, the model's graph is hard-linked instead of traced again.
Knows checkpoints and exported files, not runtimes.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lafi.model.artifacts import CONFIGS, TEXT_ENCODER, WEIGHTS, file_sha256
from lafi.model.checkpoint import read_model_info
from lafi.model.families.registry import text_stack_of
from lafi.model.info import ModelInfo, variant_folder
from lafi.model.picture_prompt_info import AdapterFiles
from lafi.ports.engines import Engines
from lafi_export.checkpoint_variant import VariantPlan, link_or_copy, write_variant
from lafi_export.int8_text import write_int8_text
from lafi_export.modules import ExportModules, load_modules
from lafi_export.onnx_export import Graph, export_graph, graphs
from lafi_export.part_weights import PartWeights

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """A written model folder: its facts with the hashes of its files, and its weights by part.

    adapter: of picture prompts, which its variants get too.
    """

    artifacts: Path
    info: ModelInfo
    weights: Mapping[str, PartWeights]
    adapter: AdapterFiles | None = None


def export_model(
    checkpoint: Path,
    artifacts: Path,
    info: ModelInfo,
    tell: Tell,
    adapter: AdapterFiles | None = None,
) -> tuple[ExportedModel, Engines]:
    """Write the folder of the model; also returns torch engines with the same weights.

    adapter: of picture prompts, its file as safetensors.
    """
    tell("writing the weights")
    modules = load_modules(checkpoint, info, artifacts / WEIGHTS, adapter=_file(adapter))
    hashes = {part.location: file_sha256(part.path) for part in modules.weights}
    used = {}
    for graph in graphs(modules, info):
        tell(f"exporting {graph.file}")
        path = artifacts / graph.file
        used[graph.file] = export_graph(graph, path, modules.weights)
        if graph.file == TEXT_ENCODER and info.text_precision == "int8":
            tell(f"{graph.file}: 8-bit weights")
            used[graph.file] = _smaller_weights(path, used[graph.file], hashes)
        hashes[graph.file] = file_sha256(path)
    shutil.copytree(checkpoint / "scheduler", artifacts / "scheduler")
    parts = [part.part for part in modules.weights if (checkpoint / part.part).is_dir()]
    for file in ("model_index.json", *(f"{part}/config.json" for part in parts)):
        (kept := artifacts / CONFIGS / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(checkpoint / file, kept)
    info = info.model_copy(update={"onnx_sha256": hashes, "onnx_weights": used})
    _finish(checkpoint, artifacts, info)
    model = ExportedModel(artifacts, info, {part.part: part for part in modules.weights}, adapter)
    return model, _torch(modules, checkpoint, info)


def _file(adapter: AdapterFiles | None) -> Path | None:
    return None if adapter is None else adapter.adapter


def _smaller_weights(
    path: Path, replaced: Sequence[str], hashes: dict[str, str]
) -> tuple[str, ...]:
    """A text encoder's weights in 8 bits; the float32 files go, also from `hashes`.

    The torch engines that mapped them keep what they mapped.
    """
    location = write_int8_text(path)
    for old in replaced:
        (path.parent / old).unlink()
        del hashes[old]
    hashes[location] = file_sha256(path.parent / location)
    return (location,)


def export_variant(
    checkpoint: Path, model: ExportedModel, name: str, plan: VariantPlan, tell: Tell
) -> tuple[ExportedModel, Engines]:
    """Write the folder of a variant of an exported model.

    checkpoint: the one that the model was exported from and `plan` was made for.
    Also returns torch engines of the variant.
    """
    folder = variant_folder(model.artifacts, name)
    with tempfile.TemporaryDirectory(prefix=".variant.", dir=model.artifacts) as work:
        tell(f"{name}: merging")
        merged = Path(work) / "checkpoint"
        write_variant(checkpoint, plan, merged)
        own = _own_graphs(model, plan)
        shared = _shared_weights(model, own)
        modules = load_modules(merged, model.info, folder / WEIGHTS, shared, _file(model.adapter))
        info = _variant_info(merged, model, name, plan, own)
        hashes = {file: model.info.onnx_sha256[file] for file in _files(model.info, info.shared)}
        for part in modules.weights:
            if part.path.is_relative_to(folder):
                hashes[part.location] = file_sha256(part.path)
        used = dict(model.info.onnx_weights)
        for graph in graphs(modules, info):
            if graph.file in own:
                used[graph.file] = _own_graph(graph, folder, model, modules, tell)
                hashes[graph.file] = file_sha256(folder / graph.file)
        info = info.model_copy(update={"onnx_sha256": hashes, "onnx_weights": used})
        _finish(merged, folder, info)
        made = ExportedModel(folder, info, {part.part: part for part in modules.weights})
        return made, _torch(modules, merged, info)


def _own_graphs(model: ExportedModel, plan: VariantPlan) -> frozenset[str]:
    """ONNX files that the variant cannot share, because the weights that they use change."""
    changed = {model.weights[part].location for part in plan.parts}
    return frozenset(
        file for file, places in model.info.onnx_weights.items() if changed & {*places}
    )


def _shared_weights(model: ExportedModel, own: frozenset[str]) -> dict[str, PartWeights]:
    """Weights that only shared graphs use; they stay in the model's folder."""
    needed = {place for file in own for place in model.info.onnx_weights[file]}
    return {part: kept for part, kept in model.weights.items() if kept.location not in needed}


_OF_THE_MODEL: Final = (
    "added_inputs",
    "controls",
    "picture_prompts",
    "graph_changes",
    "decoder_precision",
)
"""Facts that a variant has from the model that it is exported beside."""


def _variant_info(
    merged: Path, model: ExportedModel, name: str, plan: VariantPlan, own: frozenset[str]
) -> ModelInfo:
    info = read_model_info(merged, engine=model.info.engine, precision=model.info.precision)
    shared = tuple(file for file in model.info.onnx_weights if file not in own)
    facts: dict[str, object] = {"name": model.info.name, "variant": name, "shared": shared}
    facts |= {field: getattr(model.info, field) for field in _OF_THE_MODEL}
    return info.model_copy(update=facts | {"learnt_tokens": plan.tokens, "trigger": plan.trigger})


def _files(info: ModelInfo, onnx_files: tuple[str, ...]) -> list[str]:
    """ONNX files and the files of the weights that they use."""
    return [file for name in onnx_files for file in (name, *info.onnx_weights[name])]


def _own_graph(
    graph: Graph, folder: Path, model: ExportedModel, modules: ExportModules, tell: Tell
) -> tuple[str, ...]:
    """Write a graph of the variant's own; returns the locations of its weights."""
    used = model.info.onnx_weights[graph.file]
    before = {part.location: part.places for part in model.weights.values()}
    now = {part.location: part.places for part in modules.weights}
    if any(before[location] != now[location] for location in used):
        tell(f"{folder.name}: exporting {graph.file}")
        return export_graph(graph, folder / graph.file, modules.weights)
    link_or_copy(model.artifacts / graph.file, folder / graph.file)
    return used


def _finish(checkpoint: Path, artifacts: Path, info: ModelInfo) -> None:
    for part in text_stack_of(info).tokenizers_of(info):
        shutil.copytree(checkpoint / part, artifacts / part)
    info.save(artifacts)


def _torch(modules: ExportModules, checkpoint: Path, info: ModelInfo) -> Engines:
    return modules.engines(checkpoint, info.model_copy(update={"engine": "torch"}))
