"""Draws a character's panels with a peer's sharing: diffusers' UNet, its schedulers, no batcher.

Text, noise, schedule, guidance and the reference row are the same as for LAFI's own panels, so
that only the sharing differs. Knows one group of panels with one reference, not storyboards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from benchmarks.peers.reference_path import ReferencePath, inverted, renoised
from benchmarks.peers.rows import Peer, Reads, Rows, install
from lafi.board.image_file import sha256_hex
from lafi.board.stages import SamplingStage
from lafi.conditioning.prompts import encode_texts, zeros_like
from lafi.conditioning.reference import fixed_noise, noise_seed
from lafi.drawing import images
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.checkpoint import weights_variant
from lafi.model.families.registry import input_ports
from lafi.ports.engines import EncodedText, Engines
from lafi.sampling.noise_model import noise_model_of
from lafi.sampling.schedule import PanelSchedule

PathKind = Literal["inverted"] | int
"""DDIM inversion, or the steps by which the renoised reference is ahead of the panel."""


@dataclass(frozen=True, slots=True)
class PeerModel:
    """Text and VAE of a checkpoint, and its UNet with the peers' processors."""

    engines: Engines
    unet: UNet2DConditionModel


@dataclass(frozen=True, slots=True)
class PeerPanels:
    """The panels to draw, which share a character's picture of side x side pixels."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    caption: str
    reference: bytes
    side: int


def load_peer_model(checkpoint: Path) -> PeerModel:
    """In torch, float32, on the CPU. Raises CheckpointError for an incomplete folder."""
    engines = load_torch_engines(checkpoint)
    unet = UNet2DConditionModel.from_pretrained(
        checkpoint / "unet", variant=weights_variant(checkpoint / "unet")
    )
    return PeerModel(engines, install(unet.eval(), engines.info.layers))


@torch.no_grad()
def draw_panels(
    model: PeerModel, peer: Peer, panels: PeerPanels, stage: SamplingStage, path: PathKind = 0
) -> list[images.Pixels]:
    """RGB uint8 (H, W, 3) for each prompt. Raises ValueError for numbers that are not finite."""
    drawing = _Drawing(model, peer, panels, stage)
    latents = drawing.denoise(drawing.reference_path(path))
    drawn = model.engines.vae_decoder(latents)
    if not torch.isfinite(drawn).all():
        raise ValueError("pixels: got numbers that are not finite, allowed: finite ones")
    return [images.to_pixels(image) for image in drawn]


class _Drawing:
    def __init__(
        self, model: PeerModel, peer: Peer, panels: PeerPanels, stage: SamplingStage
    ) -> None:
        self._model, self._peer, self._panels, self._stage = model, peer, panels, stage
        self._info = model.engines.info
        side = panels.side // self._info.vae_scale
        self._shape = (self._info.latent_channels, side, side)
        config = self._info.scheduler_config
        self._schedules = [PanelSchedule(stage, config, seed) for seed in panels.seeds]
        self._rows = Rows(len(panels.prompts), 2 if stage.guidance > 1.0 else 1)
        self._texts = encode_texts(
            ["", panels.caption, *panels.prompts],
            model.engines.prompts,
            model.engines.text_encoder,
            input_ports(self._info),
        )

    def reference_path(self, path: PathKind) -> ReferencePath:
        """The reference's latents for every step."""
        pixels = images.letterbox(self._panels.reference, self._panels.side, self._panels.side)
        latents = self._model.engines.vae_encoder(images.to_tensor(pixels.pixels)[None])[0]
        timesteps = self._timesteps()
        if path == "inverted":
            return inverted(latents, timesteps, self._info, self._predict_reference)
        noise = fixed_noise(noise_seed(sha256_hex(self._panels.reference)), self._shape)
        process = noise_model_of(self._info.scheduler_config)
        return renoised(latents, noise, timesteps, process, lead=path)

    def denoise(self, path: ReferencePath) -> Tensor:
        """Latents (panels, C, h, w) after the last step."""
        latents = [schedule.initial_noise(self._shape) for schedule in self._schedules]
        tokens = [(-(-self._shape[1] // layer.downscale)) ** 2 for layer in self._info.layers]
        for step in range(self._stage.steps):
            schedule = self._schedules[0]
            reads = self._peer.reads(step, schedule.steps, self._rows, self._info.layers, tokens)
            scaled = [s.scale(x) for s, x in zip(self._schedules, latents, strict=True)]
            rows = scaled * self._rows.branches
            timesteps = [schedule.timestep] * len(rows)
            texts = self._panel_texts()
            if reads is not None:
                rows, timesteps = [*rows, path.latents[step]], [*timesteps, path.timesteps[step]]
                texts = [*texts, self._texts[self._panels.caption]]
            predicted = self._predict(torch.stack(rows), timesteps, texts, reads)
            latents = self._stepped(predicted[: self._rows.reference], latents)
        return torch.stack(latents)

    def _timesteps(self) -> list[float]:
        return [*PanelSchedule(self._stage, self._info.scheduler_config, 0).timesteps]

    def _panel_texts(self) -> list[EncodedText]:
        prompts = [self._texts[prompt] for prompt in self._panels.prompts]
        if self._rows.branches == 1:
            return prompts
        nothing = self._texts[""]
        if self._info.zero_empty_negative:
            nothing = zeros_like(nothing)
        return [nothing] * len(prompts) + prompts

    def _stepped(self, predicted: Tensor, latents: list[Tensor]) -> list[Tensor]:
        count = self._rows.panels
        guided = predicted[-count:]
        if self._rows.branches == 2:
            guided = predicted[:count] + self._stage.guidance * (guided - predicted[:count])
        pairs = zip(self._schedules, guided, latents, strict=True)
        return [schedule.step(row, latent) for schedule, row, latent in pairs]

    def _predict_reference(self, latents: Tensor, timestep: float) -> Tensor:
        text = self._texts[self._panels.caption]
        return self._predict(latents[None], [timestep], [text], None)[0]

    def _predict(
        self,
        latents: Tensor,
        timesteps: list[float],
        texts: Sequence[EncodedText],
        reads: Reads | None,
    ) -> Tensor:
        conditions: dict[str, Any] = {}
        pooled = [text["pooled"] for text in texts if "pooled" in text]
        if pooled:
            side = float(self._panels.side)
            size = torch.tensor([[side, side, 0.0, 0.0, side, side]]).repeat(len(texts), 1)
            conditions["added_cond_kwargs"] = {
                "text_embeds": torch.stack(pooled),
                "time_ids": size,
            }
        predicted: Tensor = self._model.unet(
            latents,
            torch.tensor(timesteps),
            torch.stack([text["text"] for text in texts]),
            cross_attention_kwargs={"reads": reads},
            **conditions,
        ).sample
        return predicted
