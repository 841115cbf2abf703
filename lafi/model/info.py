"""`ModelInfo`: the facts of a checkpoint that other code needs, without loading it."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lafi.board.limits import MAX_SIDE
from lafi.model.control_info import ControlInfo
from lafi.model.graph_changes import GraphChange
from lafi.model.input_port import InputPort
from lafi.model.picture_prompt_info import PicturePromptInfo

MODEL_INFO_FILE = "lafi.json"
"""The file with the `ModelInfo` of an exported folder."""
VARIANTS = "variants"
"""The folder beside a model's `lafi.json` with one folder for each variant."""
REPOSITORY_FORMAT: Final = 1
"""Number of what `lafi export` writes, in the field `format` of every `lafi.json`.

To be raised whenever what was written before can no longer be served: other fields here, other
inputs of a graph, or another interface between the package and the adapters, which are copied.
"""

_FORMAT: Final = "format"

PREDICTION_TYPES = ("epsilon", "v_prediction")
"""Allowed predictions of a denoiser."""

TextPrecision = Literal["f32", "int8"]
DecoderPrecision = Literal["f32", "bf16"]
ReferencePositions = Literal["same", "shifted", "own"]


class ModelInfoError(ValueError):
    """The file is missing, has another format number or does not hold a `ModelInfo`."""


class AttentionSite(BaseModel):
    """One self-attention layer, in which references can be read; its index is its place in order.

    Only the family uses joint, rotary and qk_norm. The bank stores picture tokens only, with keys
    before rotary positions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Module path inside the UNet, such as `mid_block.attentions.0.transformer_blocks.0.attn1`."""
    block: str
    """`down.0`, `mid`, `up.1` ..."""
    heads: int = Field(ge=1)
    width: int = Field(ge=1)
    """Channels, heads * d."""
    downscale: int = Field(ge=1)
    """Latent cells per token along a side: 1 at the latent's own size, then 2, 4 ..."""
    joint: bool = False
    """Whether text tokens are in the same sequence."""
    rotary: bool = False
    """Whether queries and keys have rotary positions."""
    qk_norm: bool = False
    """Whether queries and keys are normalised first."""
    text_first: bool = False
    """Whether text tokens stand before the picture's in a sequence that has both."""


class DescriberInfo(BaseModel):
    """Facts of a recogniser's text tower, which embeds descriptions of characters."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    length: int = Field(ge=2, le=4096)
    """Tokens of a text, padding included."""
    weight: float = Field(ge=0, le=1, allow_inf_nan=False)
    """Weight of a description in a score; see `lafi.identity.enrolments.Enrolments.nearest`."""


class RecogniserInfo(BaseModel):
    """Facts of a recogniser that do not need its weights, from `recogniser.json`.

    Other content of the file, such as how it was trained, is ignored.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    side: int = Field(ge=8, le=1024)
    """Side of its square input in pixels, S."""
    width: int = Field(ge=1, le=4096)
    """Width of an embedding, D."""
    threshold: float = Field(ge=-1, le=1, allow_inf_nan=False)
    """Cosine at or above which two pictures show the same character (equal error rate)."""
    describer: DescriberInfo | None = None
    """Its text tower, if it has one."""
    sha256: dict[str, str] = Field(default_factory=dict)
    """By file name, of the files beside an exported model; elsewhere at most the text tower."""


class ModelInfo(BaseModel):
    """Sizes, layers and hashes of one model; immutable, stored as `lafi.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    name: str
    family: str = "unet"
    """Its kind of denoiser: the name of a `lafi.model.family.Family`."""
    architecture: str
    latent_channels: int = Field(ge=1)
    vae_scale: int = Field(ge=1)
    """Pixels per latent cell along a side."""
    side_multiple: int = Field(ge=1)
    """Pixels: width and height of a panel must be multiples of this."""
    own_side: int = Field(default=0, ge=0)
    """Side of the pictures that it was trained on, in pixels; 0: not known."""
    largest_side: int = Field(default=0, ge=0)
    """Largest side of a panel that is drawn; 0: four times `own_side`."""
    text_length: int = Field(ge=1)
    """Tokens of a window of a prompt, T; all windows have as many where a text stack pads them."""
    text_windows: int = Field(default=1, ge=1)
    """The most windows of a prompt, joined on the tokens' axis.

    With more than one the denoiser takes texts of any length.
    """
    text_width: int = Field(ge=1)
    """Channels of an encoded prompt, D."""
    most_clip_skip: int = Field(default=0, ge=0)
    """The most layers that a prompt's encoding may skip."""
    pooled_width: int = Field(default=0, ge=0)
    """Channels of a prompt's pooled embedding, P; 0 if the denoiser takes none.

    A UNet that takes one has two text encoders and the picture's size as an input (SDXL).
    """
    zero_empty_negative: bool = False
    """Whether an empty negative prompt is zeros instead of the encoding of no text."""
    layers: tuple[AttentionSite, ...]
    """Self-attention layers in forward order."""
    presets: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """Injection presets chosen for this model; if empty, its family's presets count."""
    default_preset: str = ""
    """The preset where nothing is said; "" takes the family's."""
    reference_positions: ReferencePositions = "same"
    """Where a reference's tokens stand for a panel's, in models with rotary positions: at the
    panel's own coordinates, beside it by its width, or at a coordinate of the axis before them."""
    absent_parts: tuple[str, ...] = ()
    """Parts that its pipeline may have and its checkpoint was published without (SD3's T5)."""
    added_inputs: tuple[InputPort, ...] = ()
    """Inputs of its denoiser in addition to its family's."""
    controls: tuple[ControlInfo, ...] = ()
    """Its control networks, which its variants have as well."""
    picture_prompts: PicturePromptInfo | None = None
    """What it takes pictures beside words with, as do its variants; None: it takes none."""
    least_width: int = Field(default=0, ge=0)
    """Minimum width of a panel in pixels for correct results of the engine; 0: any width."""
    scheduler_config: dict[str, Any] = Field(default_factory=dict)
    prediction_type: str = "epsilon"
    scaling_factor: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    shift_factor: float = Field(default=0.0, allow_inf_nan=False)
    """Latents are the VAE's mean less the shift, times the scaling factor."""
    weights_sha256: str = ""
    files_sha256: dict[str, str] = Field(default_factory=dict)
    """Of other files that decide pixels (tokenizers, configs), by their path in the checkpoint."""
    onnx_sha256: dict[str, str] = Field(default_factory=dict)
    """By file name, of ONNX files and their weights; empty for a torch engine."""
    onnx_weights: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """ONNX file -> the files with its weights; empty if the file itself holds them."""
    engine: str = "torch"
    precision: str = "f32"
    graph_changes: tuple[GraphChange, ...] = ()
    """What OpenVINO is given otherwise than the file of the denoiser has it."""
    decoder_precision: DecoderPrecision = "f32"
    """Of the VAE's decoder; not heeded by plans."""
    text_precision: TextPrecision = "f32"
    """Of the text encoders' large matrices; they compute in float32 in either case."""
    variant: str = ""
    """The variant's name, also the name of its folder; "" for the model itself.

    A variant that shares no file is a model of its own beside the repository's.
    """
    shared: tuple[str, ...] = ()
    """ONNX files of a variant that, with their weights, lie in the model's own folder."""
    learnt_tokens: tuple[str, ...] = ()
    """Tokens that only the variant's tokenizers have, in the order of their ids."""
    trigger: str = ""
    """Text in front of every prompt that a variant draws, with a comma; "" for none."""
    recogniser: RecogniserInfo | None = None
    """The recogniser in a folder beside the files; None if there is none."""

    def control(self, name: str) -> ControlInfo | None:
        """The control network of that name, if there is one."""
        return next((control for control in self.controls if control.name == name), None)

    @property
    def beside(self) -> bool:
        """Whether it is a model of its own beside the repository's, of any family."""
        return bool(self.variant) and not self.shared

    def shares_latents(self, other: "ModelInfo") -> bool:
        """Whether a latent of one means the same to the other: they have one VAE.

        Of models without exported files, whose parts have no hashes, the VAE's config decides.
        """
        return self._vae == other._vae

    @property
    def _vae(self) -> tuple[object, ...]:
        return (
            self.latent_channels,
            self.vae_scale,
            self.scaling_factor,
            self.shift_factor,
            self.files_sha256.get("vae/config.json"),
            self.onnx_sha256.get("weights/vae.safetensors"),
        )

    @property
    def side_limit(self) -> int:
        """Largest side of a panel in pixels: one that costs no more than a server can bear."""
        return min(MAX_SIDE, self.largest_side or 4 * self.own_side or MAX_SIDE)

    def save(self, folder: Path) -> Path:
        """Write `lafi.json` into `folder` and return its path."""
        path = Path(folder) / MODEL_INFO_FILE
        document = {_FORMAT: REPOSITORY_FORMAT, **self.model_dump(mode="json")}
        content = (json.dumps(document, indent=2) + "\n").encode()
        path.write_bytes(content)
        _hash_of(path).write_text(_hash_line(content), encoding="utf-8")
        return path


def load_model_info(folder: Path) -> ModelInfo:
    """Read `lafi.json` from an exported folder. Raises `ModelInfoError`."""
    path = Path(folder) / MODEL_INFO_FILE
    document = _read(path)
    del document[_FORMAT]
    try:
        return ModelInfo.model_validate(document)
    except ValidationError as error:
        raise ModelInfoError(f"{path}: {error}") from error


def check_format(folder: Path) -> None:
    """Refuse an exported folder whose format number is not ours. Raises `ModelInfoError`."""
    _read(Path(folder) / MODEL_INFO_FILE)


def _read(path: Path) -> dict[str, Any]:
    """What a `lafi.json` of our format number holds, the number included."""
    try:
        content = path.read_bytes()
        document = json.loads(content)
    except FileNotFoundError:
        raise ModelInfoError(
            f"{path}: no such file; `lafi export CHECKPOINT --out REPO` writes it"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelInfoError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise ModelInfoError(f"{path}: got {type(document).__name__}, allowed: an object")
    found = document.get(_FORMAT)
    if type(found) is not int or found != REPOSITORY_FORMAT:
        of = "none, as earlier versions wrote it" if found is None else repr(found)
        raise ModelInfoError(
            f"{path}: format of the repository: got {of}, allowed {REPOSITORY_FORMAT}; "
            "write it anew with: lafi export CHECKPOINT --out REPO"
        )
    _check_hash(path, content)
    return document


def _check_hash(path: Path, content: bytes) -> None:
    """Raises ModelInfoError for facts that `lafi export` did not write.

    Their hash lies in a file beside them, which earlier versions neither wrote nor read.
    """
    try:
        wanted = _hash_of(path).read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ModelInfoError(f"{_hash_of(path)}: {error}") from error
    if wanted != _hash_line(content).encode():
        raise ModelInfoError(
            f"{path}: got other facts than `lafi export` wrote, by {_hash_of(path).name}; "
            "write it anew with: lafi export CHECKPOINT --out REPO"
        )


def _hash_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _hash_line(content: bytes) -> str:
    """As `sha256sum` writes it, and checks it."""
    return f"{hashlib.sha256(content).hexdigest()}  {MODEL_INFO_FILE}\n"


def variant_folder(artifacts: Path, name: str) -> Path:
    """The folder of the variant `name` of an exported model."""
    return Path(artifacts) / VARIANTS / name


def load_variant_infos(artifacts: Path) -> tuple[ModelInfo, ...]:
    """Facts of every variant of an exported model, by name. Raises `ModelInfoError`."""
    infos = []
    for folder in sorted(path for path in (Path(artifacts) / VARIANTS).glob("*") if path.is_dir()):
        info = load_model_info(folder)
        if info.variant != folder.name:
            raise ModelInfoError(
                f"{folder / MODEL_INFO_FILE}: variant: got {info.variant!r}, "
                f"allowed {folder.name!r}, as its folder is called"
            )
        infos.append(info)
    return tuple(infos)
