"""Exports published architectures at full size with random weights; measures time and memory.

    python benchmarks/full_size_export.py [sd15 sdxl ...] [--folder DIR] [--skip-torch]

Every step runs in its own process, so that its memory can be measured: random weights in float16,
`lafi export`, then one denoiser call in torch and one in ONNX Runtime, both in float32: a panel's
row that reads a reference's row in the layers of `decoder`. Writes `results/full_size_export.json`.

Two figures for memory: `peak` includes mapped pages of weights files, which the kernel may drop;
`anonymous` does not. SDXL takes 30 GB of disk, and its torch call 11 GB of memory.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from rich.console import Console
from rich.table import Table

from lafi.conditioning.routing import Reading, routing_ports
from lafi.engine.onnx.engines import load_denoiser
from lafi.engine.torch.engines import TorchDenoiser
from lafi.model.info import ModelInfo, load_model_info
from lafi.model.layers import injected_layers
from lafi.ports.engines import Denoiser, DenoiserBatch

RESULTS = Path(__file__).parent / "results"
SIDES = {"sd15": 256, "sd21": 256, "sdxl": 256}
GIB = 2**30
POLL = 0.2
"""Seconds between two measurements of a step's memory."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of one architecture: seconds, and peak GiB of memory."""

    architecture: str
    step: str
    seconds: float
    peak_gib: float
    anonymous_gib: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far ONNX Runtime is from torch, relative to torch's largest value."""

    architecture: str
    max_error: float
    mean_error: float


def one_panel_and_its_reference(info: ModelInfo, side: int) -> DenoiserBatch:
    """Row 0 reads row 1 in every layer from `decoder` on."""
    size = (side // info.vae_scale, side // info.vae_scale)
    start = injected_layers(info, "decoder")
    panel = Reading(sources=(1,), regions=(torch.ones(size),), layers=start)
    routing = routing_ports([panel, Reading()], len(info.layers), size)
    generator = torch.Generator().manual_seed(0)
    ports = {}
    if info.pooled_width:
        ports["pooled"] = torch.randn(2, info.pooled_width, generator=generator)
        sizes = torch.tensor([[side, side, 0, 0, side, side]])
        ports["time_ids"] = sizes.float().repeat(2, 1)
    return DenoiserBatch(
        {
            "latents": torch.randn(2, info.latent_channels, *size, generator=generator),
            "timesteps": torch.full((2,), 500.0),
            "text": torch.randn(2, info.text_length, info.text_width, generator=generator),
            "mask": torch.ones(2, *size),
            **routing,
            **ports,
        },
    )


def forward(kind: str, folder: Path, side: int, threads: int) -> None:
    """The process of one step: makes one call, saves its output, prints its seconds."""
    torch.set_num_threads(threads)
    artifacts = folder / "repository" / "artifacts"
    info = load_model_info(artifacts)
    batch = one_panel_and_its_reference(info, side)
    if kind == "torch":
        unet = UNet2DConditionModel.from_pretrained(
            folder / "checkpoint" / "unet", torch_dtype=torch.float32
        )
        denoiser: Denoiser = TorchDenoiser(unet.eval(), info)
    else:
        denoiser = load_denoiser(artifacts, "onnxruntime", "f32", threads)
    started = time.perf_counter()
    output = denoiser(batch)
    print(f"{time.perf_counter() - started:.1f} s for the call itself", flush=True)
    np.save(folder / f"{kind}.npy", output.numpy())


def run(architecture: str, step: str, command: list[str]) -> Step:
    """Runs a command and measures its memory. Raises CalledProcessError if it fails."""
    started, anonymous = time.monotonic(), 0
    process = subprocess.Popen(command)
    usage = None
    while usage is None:
        anonymous = max(anonymous, _anonymous_bytes(process.pid))
        pid, status, found = os.wait4(process.pid, os.WNOHANG)
        if pid:
            usage, process.returncode = found, os.waitstatus_to_exitcode(status)
        else:
            time.sleep(POLL)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    seconds = time.monotonic() - started
    return Step(architecture, step, seconds, usage.ru_maxrss * 1024 / GIB, anonymous / GIB)


def _anonymous_bytes(pid: int) -> int:
    """Anonymous memory of a process; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith("RssAnon:")]
    return int(found[0]) * 1024 if found else 0


def measure(
    architecture: str, folder: Path, options: argparse.Namespace
) -> tuple[list[Step], Agreement | None]:
    """All steps of one architecture, in order."""
    python, side = sys.executable, SIDES[architecture]
    checkpoint, repository = folder / "checkpoint", folder / "repository"
    made = [python, "-m", "lafi_export.random_checkpoint", architecture, str(checkpoint)]
    export = [python, "-m", "lafi.app.cli", "export", str(checkpoint), "--out", str(repository)]
    export += ["--runtime", "onnxruntime"]
    again = [python, __file__, "--threads", str(options.threads), "--folder", str(folder)]
    commands = {"random weights": made, "lafi export": export}
    kinds = ("onnxruntime",) if options.skip_torch else ("torch", "onnxruntime")
    for kind in kinds:
        commands[f"{kind}, {side} px"] = [*again, "--forward", kind, "--side", str(side)]
    steps = []
    for step, command in commands.items():
        print(f"{architecture}: {step}", flush=True)
        steps.append(run(architecture, step, command))
    if options.skip_torch:
        return steps, None
    want, got = (np.load(folder / f"{kind}.npy") for kind in kinds)
    error = np.abs(got - want) / max(1.0, float(np.abs(want).max()))
    return steps, Agreement(architecture, float(error.max()), float(error.mean()))


def show(steps: list[Step], agreements: list[Agreement], console: Console) -> None:
    """Both tables."""
    table = Table(title="Full-size export")
    for column in ("architecture", "step", "seconds", "peak GiB", "anonymous GiB"):
        table.add_column(column)
    for s in steps:
        numbers = (f"{s.seconds:.0f}", f"{s.peak_gib:.1f}", f"{s.anonymous_gib:.1f}")
        table.add_row(s.architecture, s.step, *numbers)
    console.print(table)
    for a in agreements:
        console.print(f"{a.architecture}: max error {a.max_error:.1e}, mean {a.mean_error:.1e}")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("architectures", nargs="*", metavar="ARCHITECTURE", help=", ".join(SIDES))
    parser.add_argument("--folder", type=Path, help="kept; without it, a temporary one")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--skip-torch", action="store_true", help="where memory does not suffice")
    parser.add_argument("--forward", choices=["torch", "onnxruntime"], help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.forward:
        forward(options.forward, options.folder, options.side, options.threads)
        return
    chosen = options.architectures or ["sd15", "sdxl"]
    unknown = [name for name in chosen if name not in SIDES]
    if unknown:
        parser.error(f"architecture: got {unknown[0]!r}, allowed {', '.join(SIDES)}")
    steps: list[Step] = []
    agreements: list[Agreement] = []
    for architecture in chosen:
        root = Path(tempfile.mkdtemp(prefix="lafi-", dir=options.folder))
        try:
            taken, agreement = measure(architecture, root, options)
        finally:
            if options.folder is None:
                shutil.rmtree(root)
        steps += taken
        agreements += [agreement] if agreement else []
    show(steps, agreements, Console())
    save(steps, agreements, options.threads)


def save(steps: list[Step], agreements: list[Agreement], threads: int) -> None:
    """Write the JSON; keeps earlier figures of architectures that were not measured now."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "full_size_export.json"
    document: dict[str, Any] = {"steps": [], "agreement": []}
    if path.exists():
        document = json.loads(path.read_text(encoding="utf-8"))
    new = {step.architecture for step in steps}
    for name, rows in (("steps", steps), ("agreement", agreements)):
        kept = [row for row in document[name] if row["architecture"] not in new]
        document[name] = [*kept, *(asdict(row) for row in rows)]
    document |= {"threads": threads, "torch": torch.__version__}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
