"""What a diffusers folder says of itself: its parts, its sizes, and whether they fit together.

Reads configs, and weights only to hash them. Knows `StableDiffusionPipeline` (SD1.5, SD2.1) and
`StableDiffusionXLPipeline` (SDXL).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lafi.model.info import PREDICTION_TYPES, ModelInfo
from lafi.model.layers import self_attention_layers
from lafi.model.tokenizer_files import vocabulary_size

Config = Mapping[str, Any]

_TOKENIZERS: Final = ("CLIPTokenizer", "CLIPTokenizerFast")
_SD: Final[Mapping[str, tuple[str, ...] | None]] = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": _TOKENIZERS,
    "scheduler": None,
}
_SDXL: Final[Mapping[str, tuple[str, ...] | None]] = {
    **_SD,
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "tokenizer_2": _TOKENIZERS,
}
PIPELINES: Final = {"StableDiffusionPipeline": _SD, "StableDiffusionXLPipeline": _SDXL}
"""Class of a pipeline -> its parts, each with the classes that it may have, None for any."""
_TIME_IDS: Final = 6
_CONFIG_NAMES: Final = {"scheduler": "scheduler_config.json"}


class CheckpointError(ValueError):
    """A folder that cannot be drawn with; the text names everything that is off."""


def read_model_info(
    checkpoint: Path, *, engine: str = "torch", precision: str = "f32"
) -> ModelInfo:
    """The facts of a checkpoint; loads no weights, but reads them to hash them.

    Raises CheckpointError for a pipeline of another class, a missing part, or parts whose sizes
    do not fit together; one error that lists everything it found.
    """
    folder = Path(checkpoint)
    parts = _read_parts(folder)
    problems = _misfits(folder, parts)
    if problems:
        raise CheckpointError(f"{folder}: {'; '.join(problems)}")
    unet_config, vae, scheduler = parts["unet"], parts["vae"], parts["scheduler"]
    encoders = [parts[part] for part in ("text_encoder", "text_encoder_2") if part in parts]
    unet = _without_weights(unet_config)
    vae_scale = 2 ** (len(vae["block_out_channels"]) - 1)
    return ModelInfo(
        name=folder.resolve().name,
        architecture=unet_config["_class_name"],
        latent_channels=unet_config["in_channels"],
        vae_scale=vae_scale,
        side_multiple=vae_scale * 2 ** (len(unet_config["block_out_channels"]) - 1),
        text_length=min(text["max_position_embeddings"] for text in encoders),
        text_width=sum(text["hidden_size"] for text in encoders),
        pooled_width=encoders[1]["projection_dim"] if len(encoders) > 1 else 0,
        zero_empty_negative=len(encoders) > 1
        and bool(parts["index"].get("force_zeros_for_empty_prompt", True)),
        layers=self_attention_layers(unet),
        scheduler_config=dict(scheduler),
        prediction_type=scheduler.get("prediction_type", "epsilon"),
        scaling_factor=vae.get("scaling_factor", 1.0),
        weights_sha256=_hash_weights(folder),
        engine=engine,
        precision=precision,
    )


def _without_weights(config: Config) -> Any:
    """A UNet of that config whose tensors have no memory."""
    # Only who reads a checkpoint has torch.
    import torch
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        return UNet2DConditionModel.from_config(dict(config))


def weight_parts(checkpoint: Path) -> tuple[str, ...]:
    """The parts of a checkpoint that must have weights, text encoders first."""
    second = ("text_encoder_2",) if (Path(checkpoint) / "text_encoder_2").is_dir() else ()
    return ("text_encoder", *second, "vae", "unet")


def weight_files(part: Path) -> tuple[Path, ...]:
    """The safetensors files of one part: all shards of an index, or the one file.

    Where a folder also has the weights in another precision (`*.fp16.safetensors`), those are
    taken only if there is nothing else. Raises CheckpointError for a part without weights.
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
    """What diffusers calls the precision of a part's files: `fp16`, or None for the usual."""
    return _variant(weight_files(part)[0])


def _variant(file: Path) -> str | None:
    """`model.fp16.safetensors`, `model.fp16-00001-of-00002.safetensors` -> `fp16`."""
    suffixes = file.name.split(".")[1:-1]
    return suffixes[0].split("-")[0] if suffixes else None


def _read_parts(folder: Path) -> dict[str, Config]:
    """model_index.json as `index`, and the config of every part. Raises CheckpointError."""
    if not (folder / "model_index.json").is_file():
        # Only what every pipeline has: which one it is, is not known.
        missing = [part for part in ("model_index.json", *_SD) if not (folder / part).exists()]
        raise CheckpointError(_missing(folder, missing, "StableDiffusionPipeline"))
    index = _read_json(folder / "model_index.json")
    name = index.get("_class_name")
    if name not in PIPELINES:
        allowed = ", ".join(PIPELINES)
        raise CheckpointError(
            f"{folder}: model_index.json: _class_name: got {name!r}, allowed {allowed}"
        )
    expected = PIPELINES[name]
    missing = [part for part in expected if not (folder / part).exists()]
    if missing:
        raise CheckpointError(_missing(folder, missing, name))
    wrong = []
    for part, wanted in expected.items():
        found = (index.get(part) or [None, None])[-1]
        if wanted is not None and found not in wanted:
            wrong.append(f"model_index.json: {part}: got {found!r}, allowed {' or '.join(wanted)}")
    if wrong:
        raise CheckpointError(f"{folder}: {'; '.join(wrong)}")
    configs = {
        part: _read_json(folder / part / _CONFIG_NAMES.get(part, "config.json"))
        for part in expected
        if not part.startswith("tokenizer")
    }
    return {"index": index, **configs}


def _missing(folder: Path, missing: Sequence[str], pipeline: str) -> str:
    return (
        f"{folder}: has no {', '.join(missing)}; allowed: a folder that "
        f"{pipeline}.save_pretrained wrote"
    )


def _misfits(folder: Path, parts: Mapping[str, Config]) -> list[str]:
    """Fields whose value does not fit the other parts, each with what is allowed."""
    unet, vae, scheduler = parts["unet"], parts["vae"], parts["scheduler"]
    texts = {part: parts[part] for part in ("text_encoder", "text_encoder_2") if part in parts}
    widths = " and ".join(f"{text['hidden_size']} of {part}" for part, text in texts.items())
    text_width = sum(text["hidden_size"] for text in texts.values())
    problems = [
        *_differs("unet.cross_attention_dim", unet, text_width, f"the width of the text, {widths}"),
        *_differs("unet.in_channels", unet, vae["latent_channels"], "the VAE's latent_channels"),
        *_differs("unet.out_channels", unet, vae["latent_channels"], "the VAE's latent_channels"),
        *_conditioning_misfits(unet, texts),
    ]
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in PREDICTION_TYPES:
        allowed = ", ".join(PREDICTION_TYPES)
        problems.append(f"scheduler.prediction_type: got {prediction!r}, allowed {allowed}")
    for part, text in texts.items():
        tokenizer = part.replace("text_encoder", "tokenizer")
        needed = vocabulary_size(folder / tokenizer)
        if text["vocab_size"] < needed:
            problems.append(
                f"{part}.vocab_size: got {text['vocab_size']}, "
                f"allowed {needed} or more, the ids of {tokenizer}"
            )
    return problems


def _conditioning_misfits(unet: Config, texts: Mapping[str, Config]) -> list[str]:
    """What the UNet is told beside text and timestep."""
    problems = []
    for field in ("class_embed_type", "num_class_embeds", "encoder_hid_dim_type"):
        problems += _differs(f"unet.{field}", unet, None, "no such conditioning")
    second = texts.get("text_encoder_2")
    if second is None:
        problems += _differs("unet.addition_embed_type", unet, None, "as with one text encoder")
        return problems
    kind = "as with two text encoders"
    problems += _differs("unet.addition_embed_type", unet, "text_time", kind)
    if not problems:
        pooled, time = second["projection_dim"], unet["addition_time_embed_dim"]
        why = f"{pooled} of text_encoder_2.projection_dim and {_TIME_IDS} times {time}"
        total = pooled + _TIME_IDS * time
        problems += _differs("unet.projection_class_embeddings_input_dim", unet, total, why)
    return problems


def _differs(field: str, config: Config, allowed: object, why: str) -> list[str]:
    found = config.get(field.partition(".")[2])
    return [] if found == allowed else [f"{field}: got {found!r}, allowed {allowed!r} ({why})"]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    return content


def _hash_weights(folder: Path) -> str:
    """SHA-256 over the names and bytes of all weights, in sorted order of their paths."""
    files = sorted(file for part in weight_parts(folder) for file in weight_files(folder / part))
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
