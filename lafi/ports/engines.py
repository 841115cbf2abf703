"""What the core asks of an engine: a few callables, tokenizers, and facts about the model.

Knows shapes, not runtimes. An engine may be a torch module, an ONNX file, or a served
model that is called over a wire; the pipeline cannot tell them apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor
from transformers import CLIPTokenizer

from lafi.model.info import ModelInfo
from lafi.ports.bank_entry import BankEntry, BankInputs
from lafi.ports.recogniser import Recogniser
from lafi.ports.upscaler import Upscaler


@dataclass(frozen=True, slots=True, eq=False)
class EncodedText:
    """What text encoders give for prompts, or, without the batch, for one.

    hidden  (B, T, D) float32, an embedding of every token: the denoiser's input `text`
    ports   what other inputs of the denoiser get, by name, each (B, ...); such as `pooled`
    """

    hidden: Tensor
    ports: Mapping[str, Tensor] = field(default_factory=dict)

    def row(self, index: int) -> "EncodedText":
        """One text of a batch, without the batch."""
        return EncodedText(
            self.hidden[index], {name: value[index] for name, value in self.ports.items()}
        )


def encoded_text(outputs: Sequence[Tensor], names: Sequence[str]) -> EncodedText:
    """Outputs of text encoders, of which the first is the text; names: of the ports they fill."""
    return EncodedText(outputs[0], dict(zip(names[1:], outputs[1:], strict=True)))


@dataclass(frozen=True, slots=True)
class DenoiserBatch:
    """Rows of one denoiser call: panels (with and without prompt) and references together.

    latents    (B, C, h, w) float32, scaled by each row's noise schedule
    timesteps  (B,) float32, each row its own
    text       (B, T, D) float32
    routes     (L, B, R) int32: what row b reads in layer l; [0, B) a row of this batch, B + m
               entry m of the bank, -1 nothing
    bias       (B, R) float32, added to the logits of that reference
    mask       (B, h, w) float32 in [0, 1], foreground of a row when it is read as a reference
    region     (B, R, h, w) float32 in [0, 1], where in row b reference r may be read
    ports      the other inputs of this model's denoiser, by name, as `input_ports` lists them; one
               that is optional may be missing. A UNet has
               `words` (B, T) int32, the slot r whose region in row b limits where a text token
               acts, in every cross-attention layer; -1 acts everywhere;
               `pooled` (B, P) float32, the prompts' pooled embeddings;
               `time_ids` (B, 6) float32, pixels: original height and width, crop from the top and
               from the left, target height and width (arXiv:2307.01952)
    bank       M references read earlier, at the rows' latent size: for each group of layers keys
               and values (n, M, S, width), and mask (M, h, w) float32; None is M = 0
    """

    latents: Tensor
    timesteps: Tensor
    text: Tensor
    routes: Tensor
    bias: Tensor
    mask: Tensor
    region: Tensor
    ports: Mapping[str, Tensor] = field(default_factory=dict)
    bank: BankInputs | None = None


@dataclass(frozen=True, slots=True)
class ReferenceBatch:
    """Reference rows whose keys and values are to be kept; each row reads itself alone.

    latents    (B, C, h, w) float32: pictures with their fixed noise, scaled as the rows of a
               `DenoiserBatch` are
    timesteps  (B,) float32, the level of that noise
    text       (B, T, D) float32, the characters' encoded captions
    mask       (B, h, w) float32 in [0, 1], the foreground; goes into the entries as it is
    ports      as in `DenoiserBatch`, but nothing that only rows have that read
    """

    latents: Tensor
    timesteps: Tensor
    text: Tensor
    mask: Tensor
    ports: Mapping[str, Tensor] = field(default_factory=dict)


class Denoiser(Protocol):
    """Predicts noise or velocity, (B, C, h, w) float32, as the model was trained to."""

    def __call__(self, batch: DenoiserBatch, /) -> Tensor: ...


class ReferenceReader(Protocol):
    """Keys and values of every self-attention layer, one entry for each row, in their order."""

    def __call__(self, batch: ReferenceBatch, /) -> tuple[BankEntry, ...]: ...


class TextEncoder(Protocol):
    """Token ids int64, (B, T), or (B, 2, T) with two encoders -> encoded text."""

    def __call__(self, token_ids: Tensor, /) -> EncodedText: ...


class VaeEncoder(Protocol):
    """Images (B, 3, H, W) float32 in [-1, 1] -> latents (B, C, h, w) float32: scaled means."""

    def __call__(self, images: Tensor, /) -> Tensor: ...


class VaeDecoder(Protocol):
    """Scaled latents (B, C, h, w) float32 -> images (B, 3, H, W) float32 in [-1, 1]."""

    def __call__(self, latents: Tensor, /) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Engines:
    """Everything that draws one model's pictures; `tokenizers` has one per text encoder.

    Without a `reference_reader` references can be read as rows of a batch only, and without a
    `recogniser` panels have no scores, without an `upscaler` they stay as large as they are drawn.
    row_counts: numbers of rows that the denoiser is good at, ascending, and takes no more than the
    last; none if it takes any.
    """

    text_encoder: TextEncoder
    vae_encoder: VaeEncoder
    vae_decoder: VaeDecoder
    denoiser: Denoiser
    tokenizers: tuple[CLIPTokenizer, ...]
    info: ModelInfo
    reference_reader: ReferenceReader | None = None
    row_counts: tuple[int, ...] = ()
    recogniser: Recogniser | None = None
    upscaler: Upscaler | None = None
