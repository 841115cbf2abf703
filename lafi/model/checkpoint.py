"""Reads the facts of a diffusers folder: its parts and sizes, and whether they fit together.

Reads configs, and weights only to hash them. Facts that depend on the kind of denoiser come from
its family (`lafi.model.families`).
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lafi.model.config_problems import Config
from lafi.model.families.registry import families
from lafi.model.families.vae_checks import DEFAULT_SCALING_FACTOR
from lafi.model.family import Family
from lafi.model.info import ModelInfo
from lafi.model.probe_report import PROBE_FILE, ProbeError, load_probe
from lafi.model.tensor_file import TensorFileError, check_weights, read_header
from lafi.model.tokenizer_files import TokenizerError

Classes = tuple[str | None, ...] | None
"""Of a part, as `Family.parts` has them."""
_SCHEDULER: Final = "scheduler"
_CONFIG_NAMES: Final = {_SCHEDULER: "scheduler_config.json"}


class CheckpointError(ValueError):
    """A checkpoint folder cannot be used; the text lists everything that is wrong."""


def read_model_info(
    checkpoint: Path, *, engine: str = "torch", precision: str = "f32"
) -> ModelInfo:
    """The facts of a checkpoint; loads no weights, but reads them to hash them.

    Raises CheckpointError for an unknown class of pipeline, a missing part, or parts whose sizes
    do not fit together; one error lists everything.
    """
    folder = Path(checkpoint)
    family, parts = check_checkpoint(folder)
    facts = {
        "name": folder.resolve().name,
        "family": family.name,
        "scheduler_config": dict(parts[_SCHEDULER]),
        "scaling_factor": parts["vae"].get("scaling_factor", DEFAULT_SCALING_FACTOR),
        "shift_factor": parts["vae"].get("shift_factor") or 0.0,
        "weights_sha256": _hash_weights(folder, family),
        "files_sha256": manifest(folder, family),
        "engine": engine,
        "precision": precision,
        **family.describe(parts),
        **family.text.describe(parts),
    }
    info = ModelInfo(**facts)
    return info.model_copy(update={"presets": _probed(folder, family, info)})


def _probed(folder: Path, family: Family, info: ModelInfo) -> dict[str, tuple[int, ...]]:
    """Presets of the family and those that a finished probe of these weights chose; else none."""
    try:
        report = load_probe(folder)
        if report is None or not report.finished:
            return {}
        if report.settings.weights_sha256 != info.weights_sha256:
            raise ProbeError(
                f"{folder / PROBE_FILE}: got a probe of other weights, allowed: of these; remove it"
            )
        return dict(family.presets(info.layers)) | report.presets()
    except ProbeError as error:
        raise CheckpointError(str(error)) from error


def check_checkpoint(checkpoint: Path) -> tuple[Family, dict[str, Config]]:
    """The family and the configs of a checkpoint that can be drawn; takes no time.

    Raises CheckpointError, as `read_model_info`, also for weights whose files are damaged.
    """
    folder = Path(checkpoint)
    family, parts = check_configs(folder)
    try:
        for part in weight_parts(folder, family):
            for file in weight_files(folder / part):
                check_weights(file, read_header(file).tensors)
    except TensorFileError as error:
        raise CheckpointError(str(error)) from error
    return family, parts


def check_configs(checkpoint: Path) -> tuple[Family, dict[str, Config]]:
    """As `check_checkpoint`, but for the weights, which need not be there."""
    folder = Path(checkpoint)
    if folder.is_file():
        raise CheckpointError(f"{folder}: got a file, allowed a diffusers folder")
    family, parts = _read_parts(folder)
    try:
        problems = [*family.problems(folder, parts), *family.text.problems(folder, parts)]
    except TokenizerError as error:
        raise CheckpointError(str(error)) from error
    except (KeyError, TypeError, AttributeError) as error:
        # A config without a field that every checkpoint of its class has.
        raise CheckpointError(f"{folder}: its configs are incomplete: {error!r}") from error
    if problems:
        raise CheckpointError(f"{folder}: {'; '.join(problems)}")
    return family, parts


def manifest(checkpoint: Path, family: Family) -> dict[str, str]:
    """SHA-256 of every file beside the weights that decides pixels, by path in the checkpoint.

    Files of the tokenizers, and the configs of the networks and the scheduler.
    """
    folder = Path(checkpoint)
    parts = {part for parts in family.parts.values() for part in parts}
    found = [folder / "model_index.json"]
    for part in sorted(part for part in parts if (folder / part).is_dir()):
        if part in family.text.tokenizers:
            found += sorted(file for file in (folder / part).iterdir() if file.is_file())
        else:
            found.append(folder / part / _CONFIG_NAMES.get(part, "config.json"))
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in found
    }


def weight_parts(checkpoint: Path, family: Family) -> tuple[str, ...]:
    """The parts of a checkpoint that must have weights: text encoders, the VAE, the denoiser.

    family: of the checkpoint. What only some of its pipelines have is left out where there is no
    folder of that name.
    """
    pipelines = family.parts.values()
    named = dict.fromkeys(part for parts in pipelines for part in parts)
    needed = [
        part
        for part in named
        if part not in (_SCHEDULER, *family.text.tokenizers)
        and (_always(part, pipelines) or (Path(checkpoint) / part).is_dir())
    ]
    texts = [part for part in family.text.encoders if part in needed]
    return (*texts, "vae", *(part for part in needed if part not in texts and part != "vae"))


def _always(part: str, pipelines: Collection[Mapping[str, Classes]]) -> bool:
    """Whether no checkpoint of these pipelines may lack the part."""
    return all(part in parts and None not in (parts[part] or ()) for parts in pipelines)


def weight_files(part: Path) -> tuple[Path, ...]:
    """The safetensors files of one part: all shards of an index, or a single file.

    Weights in another precision (`*.fp16.safetensors`) are used only if there are no others. Raises
    CheckpointError for a part without weights.
    """
    files = sorted(part.glob("*.safetensors"))
    plain = [file for file in files if _variant(file) is None]
    chosen = plain or files
    indices = [
        index
        for index in sorted(part.glob("*.safetensors.index*.json"))
        if (".fp16." in index.name) == (not plain)
    ]
    if indices:
        shards = {part / name for name in _read_json(indices[0])["weight_map"].values()}
        missing = sorted(shard.name for shard in shards if not shard.is_file())
        if missing:
            raise CheckpointError(f"{part.parent}: {part.name} has no {', '.join(missing)}")
        return tuple(sorted(shards))
    if not chosen:
        raise CheckpointError(f"{part.parent}: {part.name} has no *.safetensors weights")
    if len(chosen) > 1:
        names = ", ".join(file.name for file in chosen)
        raise CheckpointError(f"{part.parent}: {part.name}: got {names}; allowed: one file")
    return tuple(chosen)


def weights_variant(part: Path) -> str | None:
    """Diffusers' name for the precision of a part's files: `fp16`, or None for the default."""
    return _variant(weight_files(part)[0])


def _variant(file: Path) -> str | None:
    """`model.fp16.safetensors`, `model.fp16-00001-of-00002.safetensors` -> `fp16`."""
    suffixes = file.name.split(".")[1:-1]
    return suffixes[0].split("-")[0] if suffixes else None


def _read_parts(folder: Path) -> tuple[Family, dict[str, Config]]:
    """The family, model_index.json as `index`, and the config of every part.

    Raises CheckpointError.
    """
    known = {name: family for family in families().values() for name in family.parts}
    if not (folder / "model_index.json").is_file():
        # Only the parts that every pipeline has, because the class is unknown.
        usual = next(iter(known))
        wanted = ("model_index.json", *known[usual].parts[usual])
        missing = [part for part in wanted if not (folder / part).exists()]
        raise CheckpointError(_missing(folder, missing, usual))
    index = _read_json(folder / "model_index.json")
    name = index.get("_class_name")
    if not isinstance(name, str) or name not in known:
        raise CheckpointError(
            f"{folder}: model_index.json: _class_name: got {name!r}, allowed {', '.join(known)}"
        )
    expected = _expected(folder, index, known[name], name)
    missing = [part for part in expected if not (folder / part).exists()]
    if missing:
        needless = [part for part in missing if None in (expected[part] or ())]
        raise CheckpointError(_missing(folder, missing, name, needless))
    wrong = []
    for part, classes in expected.items():
        found = (index.get(part) or [None, None])[-1]
        if classes is not None and found not in classes:
            allowed = " or ".join("null" if one is None else one for one in classes)
            wrong.append(f"model_index.json: {part}: got {found!r}, allowed {allowed}")
    if wrong:
        raise CheckpointError(f"{folder}: {'; '.join(wrong)}")
    configs = {
        part: _read_json(folder / part / _CONFIG_NAMES.get(part, "config.json"))
        for part in expected
        if part not in known[name].text.tokenizers
    }
    return known[name], {"index": index, **configs}


def _expected(folder: Path, index: Config, family: Family, pipeline: str) -> dict[str, Classes]:
    """The parts of its pipeline that a checkpoint says it has.

    Raises CheckpointError for a network that it says it lacks and that is there.
    """
    parts = family.parts[pipeline]
    lacking = [
        part
        for part, classes in parts.items()
        if None in (classes or ()) and (index.get(part) or [None, None])[-1] is None
    ]
    for part in lacking:
        if part not in family.text.tokenizers and (folder / part).exists():
            raise CheckpointError(
                f"{folder}: model_index.json: {part}: got null beside a folder of that name, "
                "allowed: its class, or no folder"
            )
    return {part: classes for part, classes in parts.items() if part not in lacking}


def _missing(
    folder: Path, missing: Sequence[str], pipeline: str, needless: Sequence[str] = ()
) -> str:
    """needless: those that the pipeline does without."""
    without = f", or null for {' and '.join(needless)} in its model_index.json" if needless else ""
    return (
        f"{folder}: has no {', '.join(missing)}; allowed: a folder that "
        f"{pipeline}.save_pretrained wrote{without}"
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        # A mark of the byte order at the beginning is what some editors write.
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: got {type(content).__name__}, allowed a JSON mapping")
    return content


def _hash_weights(folder: Path, family: Family) -> str:
    parts = weight_parts(folder, family)
    return files_sha256(folder, [file for part in parts for file in weight_files(folder / part)])


def files_sha256(folder: Path, files: Sequence[Path]) -> str:
    """SHA-256 over the names and bytes of files in a folder, in sorted order of their paths."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
