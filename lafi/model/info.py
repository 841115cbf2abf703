"""`ModelInfo`: what the rest of the project needs to know of a checkpoint, without loading it."""

from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from lafi.model.input_port import InputPort

MODEL_INFO_FILE = "lafi.json"
"""Where an exported folder keeps its `ModelInfo`."""
VARIANTS = "variants"
"""The folder beside a model's `lafi.json` that has a folder for each of its variants."""


PREDICTION_TYPES = ("epsilon", "v_prediction")
"""What a denoiser may be trained to predict."""


class ModelInfoError(ValueError):
    """The file is missing or does not hold a `ModelInfo`."""


class AttentionSite(BaseModel):
    """One self-attention layer, where references can be read; its index is its place in the model.

    joint, rotary and qk_norm are the family's business: the bank keeps picture tokens alone, with
    keys as they are before rotary positions.
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
    """Whether text tokens stand in the same sequence."""
    rotary: bool = False
    """Whether queries and keys get rotary positions."""
    qk_norm: bool = False
    """Whether queries and keys are normed first."""


class DescriberInfo(BaseModel):
    """A recogniser's text tower: how what is said of a character counts beside its pictures."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    length: int = Field(ge=2, le=4096)
    """Tokens of a text, padding included."""
    weight: float = Field(ge=0, le=1, allow_inf_nan=False)
    """Of the words in a score; see `lafi.identity.enrolments.Enrolments.nearest`."""


class RecogniserInfo(BaseModel):
    """What is known of a recogniser of characters without loading it; `recogniser.json` says it.

    Whatever else the file holds, such as how it was trained, is left there.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    side: int = Field(ge=8, le=1024)
    """Pixels of the square picture that it sees, S."""
    width: int = Field(ge=1, le=4096)
    """Of an embedding, D."""
    threshold: float = Field(ge=-1, le=1, allow_inf_nan=False)
    """Cosine from which on two pictures show the same character: at equal error rate."""
    describer: DescriberInfo | None = None
    """Its text tower, if it has one."""
    sha256: dict[str, str] = Field(default_factory=dict)
    """By file name, of the files beside an exported model; elsewhere at most the text tower's."""


class ModelInfo(BaseModel):
    """Sizes, layers and hashes of one model; immutable, stored as `lafi.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    name: str
    family: str = "unet"
    """What kind of denoiser it has, by the name of its `lafi.model.family.Family`."""
    architecture: str
    latent_channels: int = Field(ge=1)
    vae_scale: int = Field(ge=1)
    """Pixels per latent cell along a side."""
    side_multiple: int = Field(ge=1)
    """Pixels: width and height of a panel must be multiples of this."""
    text_length: int = Field(ge=1)
    """Tokens of a prompt, T."""
    text_width: int = Field(ge=1)
    """Channels of an encoded prompt, D."""
    pooled_width: int = Field(default=0, ge=0)
    """Channels of a prompt's pooled embedding, P; 0 where the denoiser takes none.

    A model that takes one has two text encoders and is told the picture's size (SDXL).
    """
    zero_empty_negative: bool = False
    """Whether an empty negative prompt is zeros instead of the encoding of no text."""
    layers: tuple[AttentionSite, ...]
    """Self-attention layers in forward order."""
    presets: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """Presets of injection that were found for this model; none: its family's."""
    added_inputs: tuple[InputPort, ...] = ()
    """Inputs of its denoiser beside those of its family."""
    least_width: int = Field(default=0, ge=0)
    """Pixels that a panel must be wide for the engine to be right; 0 where any will do."""
    scheduler_config: dict[str, Any] = Field(default_factory=dict)
    prediction_type: str = "epsilon"
    scaling_factor: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Latents are the VAE's mean times this."""
    weights_sha256: str = ""
    onnx_sha256: dict[str, str] = Field(default_factory=dict)
    """By file name, of ONNX files and their weights; empty for a torch engine."""
    onnx_weights: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """ONNX file -> the files beside it that hold its weights; none where it holds them itself."""
    engine: str = "torch"
    precision: str = "f32"
    variant: str = ""
    """The variant's name, which is that of its folder as well; "" for the model itself."""
    shared: tuple[str, ...] = ()
    """ONNX files of a variant that are the model's own, with their weights: they lie there."""
    learnt_tokens: tuple[str, ...] = Field(
        default=(), validation_alias=AliasChoices("learnt_tokens", "words")
    )
    """Tokens that only the variant's tokenizers have, in the order of their ids.

    Files written by earlier versions call the field `words`.
    """

    recogniser: RecogniserInfo | None = None
    """What recognises characters, in a folder beside the files; None if there is nothing."""

    @property
    def text_encoders(self) -> int:
        """Text encoders of a prompt, and as many tokenizers: 1 or 2."""
        return 2 if self.pooled_width else 1

    def save(self, folder: Path) -> Path:
        """Write `lafi.json` into `folder` and return its path."""
        path = Path(folder) / MODEL_INFO_FILE
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return path


def load_model_info(folder: Path) -> ModelInfo:
    """Read `lafi.json` from an exported folder. Raises `ModelInfoError`."""
    path = Path(folder) / MODEL_INFO_FILE
    try:
        return ModelInfo.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ModelInfoError(
            f"{path}: no such file; `lafi export CHECKPOINT --out REPO` writes it"
        ) from None
    except (OSError, ValidationError) as error:
        raise ModelInfoError(f"{path}: {error}") from error


def variant_folder(artifacts: Path, name: str) -> Path:
    """Where the variant `name` of an exported model lies."""
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
