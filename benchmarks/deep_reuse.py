"""Keeping deep features between steps: how much of a UNet still runs, and the pictures' quality.

    python -m benchmarks.deep_reuse tiny_model/weights          counts and draws
    python -m benchmarks.deep_reuse tiny_model/weights --count-only

The cut is before the first injected layer, so that every injected layer still reads references at
every step. Counts operations for the bundled model at 128 px, SD1.5 at 512 px and SDXL at 1024 px.
Draws with the bundled model in torch: kept features for intervals of 2, 3 and 5 steps, EasyCache,
and fewer steps; PSNR against all steps computed, over the counted share of the denoiser's work.
Writes `deep_reuse.json` and `.png` to `benchmarks/results`.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from diffusers import UNet2DConditionModel
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from benchmarks.cpu_engines import cpu_name
from benchmarks.deep_features.cut import (
    bound,
    cut_before,
    flops,
    reference_flops,
    share_left,
)
from benchmarks.deep_features.kept import IntervalDenoiser, KeptFeatures
from benchmarks.identity import storyboards
from benchmarks.provenance import commit
from benchmarks.step_reuse import GUIDANCE, STEPS, Drawn, drawn, psnr
from lafi.board.injection import Injection, LayerPreset
from lafi.board.stages import Sampling
from lafi.engine.torch.engines import load_torch_engines, torch_denoiser
from lafi.model.architectures.parts import TEXT_LENGTH
from lafi.model.architectures.registry import architecture
from lafi.model.families.unet import self_attention_layers
from lafi.ports.engines import Engines
from lafi_tiny.stages.agreement import held_out_wanted

PRESETS: tuple[LayerPreset, ...] = ("decoder", "balanced", "texture")
DRAWN_PRESETS: tuple[LayerPreset, ...] = ("texture",)
"""The preset whose cut leaves the least to run."""
INTERVALS = (2, 3, 5)
RIVALS: dict[str, dict[str, Any]] = {
    "reuse 0.1": {"reuse_threshold": 0.1},
    "reuse 0.3": {"reuse_threshold": 0.3},
    "20 steps": {"steps": 20},
    "15 steps": {"steps": 15},
}


@dataclass(frozen=True, slots=True)
class Left:
    """The share of one row's operations that a call with kept features still computes.

    share        without any reference
    share_read   of a row that reads one reference
    bounds       interval -> speed-up of a row without references, if nothing else took time
    """

    model: str
    preset: str
    gflop: float
    share: float
    share_read: float
    bounds: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A way to draw. work: share of the operations with every step computed. psnr: dB."""

    injection: str
    way: str
    work: float
    psnr: float


def unets(checkpoint: Path) -> dict[str, tuple[Any, int, int]]:
    """Name -> (UNet without weights, latent cells per side, tokens of text)."""
    bundled = json.loads((checkpoint / "unet" / "config.json").read_text())
    with torch.device("meta"):
        return {
            "bundled, 128 px": (UNet2DConditionModel.from_config(bundled), 16, TEXT_LENGTH),
            "SD1.5, 512 px": (_published("sd15"), 64, TEXT_LENGTH),
            "SDXL, 1024 px": (_published("sdxl"), 128, TEXT_LENGTH),
        }


def _published(name: Any) -> Any:
    return UNet2DConditionModel.from_config(architecture(name).configs["unet"])


def inputs(unet: Any, side: int, tokens: int) -> dict[str, Any]:
    """One row on the meta device."""
    config, given = unet.config, {}
    if config.addition_embed_type == "text_time":
        width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        given["text_embeds"] = torch.empty(1, width, device="meta")
        given["time_ids"] = torch.empty(1, 6, device="meta")
    found: dict[str, Any] = {
        "sample": torch.empty(1, config.in_channels, side, side, device="meta"),
        "timestep": torch.empty(1, device="meta"),
        "encoder_hidden_states": torch.empty(1, tokens, config.cross_attention_dim, device="meta"),
    }
    return found | ({"added_cond_kwargs": given} if given else {})


def left(checkpoint: Path) -> list[Left]:
    """The counts for every model and preset."""
    found = []
    for model, (unet, side, tokens) in unets(checkpoint).items():
        layers = self_attention_layers(unet)
        counted = flops(unet, **inputs(unet, side, tokens))
        for preset in PRESETS:
            cut = cut_before(layers, preset)
            more = reference_flops(layers, preset, side**2)
            read = {name: count + more.get(name, 0) for name, count in counted.items()}
            share = share_left(unet, cut, counted)
            found.append(
                Left(
                    model=model,
                    preset=preset,
                    gflop=sum(counted.values()) / 1e9,
                    share=share,
                    share_read=share_left(unet, cut, read),
                    bounds={interval: bound(share, interval) for interval in INTERVALS},
                )
            )
    return found


def switch(injection: Injection, steps: int) -> frozenset[int]:
    """The first step after the window, which must be computed in full."""
    return frozenset({int(np.ceil(injection.end * steps - 1e-9))})


def draw_all(checkpoint: Path, shares: Mapping[str, float], count: int) -> list[Outcome]:
    """All ways to draw, under the preset of their cut; shares: of a reading row, by preset."""
    engines = load_torch_engines(checkpoint)
    # The engines' own UNet also reads references for the bank; those calls are not steps.
    unet: Any = UNet2DConditionModel.from_pretrained(checkpoint / "unet").eval()
    denoiser = torch_denoiser(unet, engines.info)
    layers = self_attention_layers(unet)
    outcomes = []
    for preset in DRAWN_PRESETS:
        injection = Injection(layers=preset, reference_noise=0.1, strength=1.0)
        own = replace(engines, denoiser=denoiser)
        plain = _drawn(own, injection, {}, count)
        for way, given in RIVALS.items():
            found = _drawn(own, injection, given, count)
            work = found.computed_steps / plain.computed_steps
            outcomes.append(Outcome(preset, way, work, _psnr(found, plain)))
        for interval in INTERVALS:
            kept = KeptFeatures(unet, cut_before(layers, preset))
            always = switch(injection, STEPS)
            lockstep = IntervalDenoiser(denoiser, kept, interval, always)
            found = _drawn(replace(engines, denoiser=lockstep), injection, {}, count)
            kept.remove()
            whole = sum(map(lockstep.whole, range(STEPS))) / STEPS
            work = whole + (1 - whole) * shares[preset]
            outcomes.append(Outcome(preset, f"kept, every {interval}", work, _psnr(found, plain)))
    return outcomes


def _drawn(engines: Engines, injection: Injection, given: dict[str, Any], count: int) -> Drawn:
    """The panels of one storyboard, all in one call; count: at most 8."""
    sampling = Sampling.model_validate({"steps": STEPS, "guidance": GUIDANCE} | given)
    return drawn(storyboards(held_out_wanted(count, 11), injection, sampling), engines)


def _psnr(found: Drawn, plain: Drawn) -> float:
    return float(np.mean(psnr(found.pixels, plain.pixels)))


def main(
    checkpoint: Annotated[Path, typer.Argument(help="diffusers folder of the bundled model")],
    count: Annotated[int, typer.Option(help="panels", min=1, max=8)] = 8,
    count_only: Annotated[bool, typer.Option(help="draw nothing")] = False,
    results: Path = Path("benchmarks/results"),
) -> None:
    """Count, draw, print, write."""
    torch.set_num_threads(1)
    counted = left(checkpoint)
    _print_left(counted)
    shares = {one.preset: one.share_read for one in counted if one.model.startswith("bundled")}
    outcomes = [] if count_only else draw_all(checkpoint, shares, count)
    document = {
        "left": [asdict(one) for one in counted],
        "outcomes": [asdict(one) for one in outcomes],
        "count": count,
        "steps": STEPS,
        "guidance": GUIDANCE,
        "engine": "torch f32, one thread",
        "cpu": cpu_name(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "diffusers")},
        "commit": commit(),
        "command": f"python -m benchmarks.deep_reuse tiny_model/weights --count {count}",
    }
    results.mkdir(parents=True, exist_ok=True)
    (results / "deep_reuse.json").write_text(json.dumps(document, indent=2) + "\n")
    if outcomes:
        _print_outcomes(outcomes)
        _plot(outcomes, results / "deep_reuse.png")


def _print_left(counted: Sequence[Left]) -> None:
    table = Table("model", "preset", "GFLOP", "left", "left, reading", *map(str, INTERVALS))
    for one in counted:
        bounds = [f"{one.bounds[interval]:.2f}" for interval in INTERVALS]
        shares = f"{one.share:.3f}", f"{one.share_read:.3f}"
        table.add_row(one.model, one.preset, f"{one.gflop:.1f}", *shares, *bounds)
    Console().print(table)


def _print_outcomes(outcomes: Sequence[Outcome]) -> None:
    table = Table("injection", "way", "work", "PSNR")
    for one in outcomes:
        table.add_row(one.injection, one.way, f"{one.work:.3f}", f"{one.psnr:.1f}")
    Console().print(table)


def _plot(outcomes: Sequence[Outcome], path: Path) -> None:
    figure, axes = plt.subplots(
        1, len(DRAWN_PRESETS), figsize=(6.4, 4.2), squeeze=False, layout="constrained"
    )
    for axis, preset in zip(axes[0], DRAWN_PRESETS, strict=True):
        for label, marker in (("kept", "^"), ("reuse", "o"), ("steps", "s")):
            points = [
                (one.work, one.psnr)
                for one in outcomes
                if one.injection == preset and label in one.way
            ]
            axis.plot(*zip(*sorted(points), strict=True), marker=marker, label=label)
        axis.set_title(preset)
        axis.set_xlabel("share of the denoiser's operations")
        axis.set_ylabel("PSNR to all steps computed, dB")
        axis.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    typer.run(main)
