"""What conditions of panels cost: a control network, a T2I-Adapter, a picture prompt, each alone.

    python -m benchmarks.control_cost tiny_model/weights out/control_cost

The networks are made for the checkpoint's UNet at random and exported with it (once; a later run
finds the export): what they draw means nothing, and their time is that of trained ones.

`cost` is panels per second of CPU time, by those of a storyboard without conditions: it is what a
server on its own cores does, and stays true where other programs want these cores, too.
Panels per second that passed meanwhile are in the file as well.
"""

import io
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
import typer
from diffusers import ControlNetModel, T2IAdapter, UNet2DConditionModel
from PIL import Image
from rich.console import Console
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from benchmarks import turns
from benchmarks.provenance import provenance
from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.onnx.graph import Precision, RuntimeName
from lafi.model.artifacts import ARTIFACTS
from lafi.model.checkpoint import read_model_info
from lafi.model.info import load_model_info
from lafi.model.picture_prompt_info import AdapterFiles
from lafi.ports.engines import Engines
from lafi.wire.events import PanelImage
from lafi_export.repository import export_checkpoint

RESULTS = Path("benchmarks/results")
PACKAGES = ("diffusers", "onnxruntime", "openvino", "torch")
NONE, NETWORK, ADAPTER, PICTURE = "none", "control_network", "control_adapter", "picture_prompt"
NETWORKS = "randomly initialised, of the shapes of trained ones; a small image encoder"
Fields = dict[str, Any]


def write_networks(checkpoint: Path, folder: Path) -> tuple[dict[str, Path], AdapterFiles]:
    """Random ones for a checkpoint: folders of a network and an adapter, files of an IP-Adapter."""
    torch.manual_seed(0)
    config = UNet2DConditionModel.load_config(checkpoint / "unet")
    unet = UNet2DConditionModel.from_config(config)
    scale = read_model_info(checkpoint).vae_scale
    embedding = tuple(16 << place for place in range(scale.bit_length()))
    network = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=embedding)
    widths = list(config["block_out_channels"])
    adapter = T2IAdapter(channels=widths, downscale_factor=scale)
    controls = {NETWORK: folder / NETWORK, ADAPTER: folder / ADAPTER}
    network.save_pretrained(controls[NETWORK])
    adapter.save_pretrained(controls[ADAPTER])
    return controls, write_picture_adapter(unet, folder / PICTURE)


def write_picture_adapter(unet: UNet2DConditionModel, folder: Path) -> AdapterFiles:
    """A plain IP-Adapter of 4 tokens, and a CLIP image encoder of 4 layers."""
    layers = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4}
    vision = CLIPVisionConfig(**layers, num_attention_heads=4, projection_dim=256, patch_size=32)
    encoder = CLIPVisionModelWithProjection(vision)
    encoder.save_pretrained(folder / "image_encoder")
    width, projected = int(unet.config.cross_attention_dim), vision.projection_dim
    tensors = {
        "image_proj.proj.weight": torch.randn(4 * width, projected) / projected**0.5,
        "image_proj.proj.bias": torch.zeros(4 * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    crossed = [name for name in unet.attn_processors if "attn2" in name]
    for place, name in enumerate(crossed):
        shape = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape
        for part in "kv":
            weight = torch.randn(shape) / shape[1] ** 0.5
            tensors[f"ip_adapter.{2 * place + 1}.to_{part}_ip.weight"] = weight
    save_file(tensors, folder / "adapter.safetensors")
    return AdapterFiles(folder / "adapter.safetensors", folder / "image_encoder")


def conditions(engines: Engines, side: int) -> dict[str, Fields]:
    """Fields of a panel for each condition that the model knows, and for none."""
    blocks = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(blocks).resize((side, side), Image.Resampling.NEAREST).save(stream, "PNG")
    seen = {"image": stream.getvalue()}
    found: dict[str, Fields] = {NONE: {}}
    for control in engines.info.controls:
        name = ADAPTER if control.features else NETWORK
        found.setdefault(name, {"control": [{"kind": control.name, **seen}]})
    if engines.info.picture_prompts is not None:
        found[PICTURE] = {"picture_prompts": [seen]}
    return found


def board(fields: Fields, panels: int, steps: int, side: int) -> Storyboard:
    """Panels that all have one condition, without characters."""
    return Storyboard(
        width=side,
        height=side,
        sampling={"steps": steps},
        panels=[Panel(prompt="a child is running", seed=i, **fields) for i in range(panels)],
    )


@dataclass(frozen=True, slots=True)
class Speed:
    """Panels per second, as the clock has it, and of CPU time of all threads together."""

    passed: float
    cpu: float


def panels_per_second(storyboard: Storyboard, engines: Engines) -> Speed:
    """Of one storyboard, drawn in this process from its document to its files."""
    began, worked = time.perf_counter(), time.process_time()
    drawn = sum(isinstance(event, PanelImage) for event in draw(storyboard, engines))
    if drawn != len(storyboard.panels):
        raise RuntimeError(f"panels: got {drawn}, allowed {len(storyboard.panels)}")
    return Speed(drawn / (time.perf_counter() - began), drawn / (time.process_time() - worked))


def in_turns(
    names: list[str], rounds: int, measure: Callable[[str], Speed]
) -> dict[str, list[Speed]]:
    """Speeds of each name in every round, back and forth, after a round that only warms up."""
    for name in names:
        measure(name)
    return turns.in_turns(names, rounds, measure)


def costs(speeds: dict[str, list[Speed]]) -> dict[str, dict[str, float]]:
    """Panels per second of CPU time by those of none: median and least of the rounds."""
    found = {}
    for name in [name for name in speeds if name != NONE]:
        ratios = [
            one.cpu / other.cpu for one, other in zip(speeds[name], speeds[NONE], strict=True)
        ]
        found[name] = {"median": statistics.median(ratios), "least": min(ratios)}
    return found


def measure(
    artifacts: Path, rounds: int, panels: int, steps: int, side: int, threads: int = 0
) -> dict[str, Any]:
    """Ratios of panels per second to those of none, and what they are made of."""
    info = load_model_info(artifacts)
    kind = cast(tuple[RuntimeName, Precision], (info.engine, info.precision))
    engines = load_onnx_engines(artifacts, *kind, threads)
    given = conditions(engines, side)
    boards = {name: board(fields, panels, steps, side) for name, fields in given.items()}
    speeds = in_turns([*boards], rounds, lambda name: panels_per_second(boards[name], engines))
    found = costs(speeds)
    return {
        "median": {name: each["median"] for name, each in found.items()},
        "least": {name: each["least"] for name, each in found.items()},
        "panels_per_second": {n: [each.passed for each in of] for n, of in speeds.items()},
        "panels_per_cpu_second": {n: [each.cpu for each in of] for n, of in speeds.items()},
        "rounds": rounds,
        "panels": panels,
        "steps": steps,
        "side": side,
    }


def main(
    checkpoint: Annotated[Path, typer.Argument(help="a diffusers folder")],
    work: Annotated[Path, typer.Argument(help="folder of the networks and of the export")],
    rounds: Annotated[int, typer.Option(help="each condition is measured so often", min=1)] = 7,
    panels: Annotated[int, typer.Option(help="of a storyboard", min=1)] = 8,
    steps: Annotated[int, typer.Option(help="of a panel", min=1)] = 20,
    side: Annotated[int, typer.Option(help="of a panel, in pixels")] = 128,
    out: Annotated[Path, typer.Option(help="folder of control.json")] = RESULTS,
) -> None:
    """Measure what each condition costs."""
    console = Console()
    repository = work / "repository"
    if not repository.exists():
        controls, pictures = write_networks(checkpoint, work / "networks")
        export_checkpoint(
            checkpoint, repository, controls=controls, picture_prompts=pictures, tell=console.print
        )
    figures = measure(repository / ARTIFACTS, rounds, panels, steps, side)
    command = f"python -m benchmarks.control_cost {checkpoint} {work}"
    measured = {**provenance(repository, command, PACKAGES), "networks": NETWORKS, **figures}
    out.mkdir(parents=True, exist_ok=True)
    file = out / "control.json"
    said = json.loads(file.read_text()) if file.exists() else {}
    said |= {"cost": figures["median"], "cost_measured": measured}
    file.write_text(json.dumps(said, indent=2) + "\n")
    console.print(figures["median"], figures["least"])


if __name__ == "__main__":
    typer.run(main)
