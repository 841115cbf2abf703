"""What the core asks of an engine: a few callables, a reader of prompts, and facts of the model.

Knows shapes, not runtimes. An engine may be a torch module, an ONNX file, or a served
model that is called over a wire; the pipeline cannot tell them apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from lafi.model.info import ModelInfo
from lafi.model.text_stack import PromptReader
from lafi.ports.bank_entry import BankEntry, BankInputs
from lafi.ports.classifier import PictureClassifier
from lafi.ports.control import ControlAdapter, ControlNetwork
from lafi.ports.picture_encoder import PictureEncoder
from lafi.ports.recogniser import Recogniser
from lafi.ports.upscaler import Upscaler

EncodedText = Mapping[str, Tensor]
"""What a text encoder gives for prompts: the denoiser's inputs by name, each (B, ...) float32.

`text` is (B, T, D), an embedding of every token; others are such as `pooled`. For one prompt
without the batch."""


@dataclass(frozen=True, slots=True)
class DenoiserBatch:
    """Rows of one denoiser call: panels (with and without prompt) and references together.

    ports  the denoiser's inputs by name, as `input_ports` lists them; one that is optional may be
           missing. The attention op reads its routes, bias, masks and regions here. All have
           `latents` (B, C, h, w) float32, scaled by each row's noise schedule;
           `timesteps` (B,) float32, each row its own;
           `text` (B, T, D) float32;
           `routes` (L, B, R) int32: what row b reads in layer l; [0, B) a row of this batch, B + m
           entry m of the bank, -1 nothing;
           `bias` (B, R) float32, added to the logits of that reference;
           `mask` (B, h, w) float32 in [0, 1], foreground of a row when it is read as a reference;
           `region` (B, R, h, w) float32 in [0, 1], where in row b reference r may be read.
           A UNet has
           `words` (B, T) int32, the slot r whose region in row b limits where a text token
           acts, in every cross-attention layer; -1 acts everywhere;
           `text_mask` (B, T) float32, 1 where a token counts, 0 where it pads a shorter text; left
           out where all texts are equally long;
           `pooled` (B, P) float32, the prompts' pooled embeddings;
           `time_ids` (B, 6) float32, pixels: original height and width, crop from the top and
           from the left, target height and width (arXiv:2307.01952).
           One with control networks has their residuals, (B, C', h / d, w / d) float32, for each
           skip connection and the middle (`lafi.model.control_info.residual_ports`); one with
           control adapters their features for its down blocks, likewise (`feature_ports`).
           One with picture prompts has
           `picture_tokens` (B, P, K, D) float32, of P pictures of a row;
           `picture_weights` (B, P, h, w) float32, how strongly each acts, 0 is nothing
    bank   M references read earlier, at the rows' latent size: for each group of layers keys
           and values (n, M, S, width), and mask (M, h, w) float32; None is M = 0
    """

    ports: Mapping[str, Tensor]
    bank: BankInputs | None = None

    def __getitem__(self, port: str) -> Tensor:
        return self.ports[port]

    def changed(self, **ports: Tensor) -> "DenoiserBatch":
        """A copy with other tensors for the inputs that are named."""
        return DenoiserBatch({**self.ports, **ports}, self.bank)


@dataclass(frozen=True, slots=True)
class ReferenceBatch:
    """Reference rows whose keys and values are to be kept; each row reads itself alone.

    ports  as in `DenoiserBatch`, but nothing that only rows have that read: `latents` are pictures
           with their fixed noise, `timesteps` its level, `text` the characters' captions
    mask   (B, h, w) float32 in [0, 1], the foreground; goes into the entries as it is
    """

    ports: Mapping[str, Tensor]
    mask: Tensor

    def __getitem__(self, port: str) -> Tensor:
        return self.ports[port]


class Denoiser(Protocol):
    """Predicts noise or velocity, (B, C, h, w) float32, as the model was trained to."""

    def __call__(self, batch: DenoiserBatch, /) -> Tensor: ...


class ReferenceReader(Protocol):
    """Keys and values of every self-attention layer, one entry for each row, in their order."""

    def __call__(self, batch: ReferenceBatch, /) -> tuple[BankEntry, ...]: ...


class TextEncoder(Protocol):
    """Token ids int64, (B, ...) as the model's text stack shapes them -> encoded text.

    clip_skip: how many of its last layers have no part in the text's embeddings, 0 to
    `most_clip_skip` of the model. Raises ValueError for more.
    """

    def __call__(self, token_ids: Tensor, clip_skip: int = 0, /) -> EncodedText: ...


class VaeEncoder(Protocol):
    """Images (B, 3, H, W) float32 in [-1, 1] -> latents (B, C, h, w) float32: scaled means."""

    def __call__(self, images: Tensor, /) -> Tensor: ...


class VaeDecoder(Protocol):
    """Scaled latents (B, C, h, w) float32 -> images (B, 3, H, W) float32 in [-1, 1]."""

    def __call__(self, latents: Tensor, /) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Engines:
    """Everything that draws one model's pictures; `prompts` reads texts for the text encoder.

    Without a `reference_reader` references can be read as rows of a batch only, and without a
    `recogniser` panels have no scores, without an `upscaler` they stay as large as they are drawn.
    row_counts: numbers of rows that the denoiser is good at, ascending, and takes no more than the
    last; none if it takes any. controls, control_adapters: by the name that storyboards call them.
    picture_encoder: of picture prompts; None where the model takes none. classifier: of finished
    pictures; None where nobody looks at them.
    """

    text_encoder: TextEncoder
    vae_encoder: VaeEncoder
    vae_decoder: VaeDecoder
    denoiser: Denoiser
    prompts: PromptReader
    info: ModelInfo
    reference_reader: ReferenceReader | None = None
    row_counts: tuple[int, ...] = ()
    recogniser: Recogniser | None = None
    upscaler: Upscaler | None = None
    controls: Mapping[str, ControlNetwork] = field(default_factory=dict)
    control_adapters: Mapping[str, ControlAdapter] = field(default_factory=dict)
    picture_encoder: PictureEncoder | None = None
    classifier: PictureClassifier | None = None
