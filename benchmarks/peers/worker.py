"""A peer's pipeline in a process of its own, driven by lines of JSON; imports nothing of ours.

    PYTHON worker.py KIND FOLDER PRECISION THREADS

KIND: `optimum` (optimum-intel), `genai` (openvino-genai) or `diffusers`. FOLDER: OpenVINO's files
as `optimum-cli export openvino` writes them, for diffusers its own. For each line on its input, the
arguments of a drawing, it answers with seconds and its peak memory. All use DDIM.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Draw = Callable[[list[str], list[int], int, int, float], None]
"""(prompts, seeds, side, steps, guidance), all prompts as one batch."""
Load = Callable[[str, str, int], Draw]
"""(folder, precision, threads)."""


def optimum(folder: str, precision: str, threads: int) -> Draw:
    """`OVStableDiffusionPipeline` of optimum-intel, which takes a list of prompts."""
    intel: Any = importlib.import_module("optimum.intel")
    config = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    pipeline = intel.OVStableDiffusionPipeline.from_pretrained(folder, ov_config=config)
    return _prompts_at_once(pipeline)


def genai(folder: str, precision: str, threads: int) -> Draw:
    """`Text2ImagePipeline` of openvino-genai. It takes one prompt: all pictures have the first."""
    package: Any = importlib.import_module("openvino_genai")
    types: Any = importlib.import_module("openvino").Type
    pipeline = package.Text2ImagePipeline(
        folder,
        "CPU",
        INFERENCE_PRECISION_HINT=getattr(types, precision),
        INFERENCE_NUM_THREADS=threads,
    )
    kinds, config = package.Scheduler.Type, Path(folder) / "scheduler/scheduler_config.json"
    pipeline.set_scheduler(package.Scheduler.from_config(config, kinds.DDIM))

    def draw(prompts: list[str], seeds: list[int], side: int, steps: int, guidance: float) -> None:
        pipeline.generate(
            prompts[0],
            width=side,
            height=side,
            num_inference_steps=steps,
            guidance_scale=guidance,
            num_images_per_prompt=len(prompts),
            rng_seed=seeds[0],
        )

    return draw


def diffusers(folder: str, precision: str, threads: int) -> Draw:
    """`StableDiffusionPipeline` of diffusers, in torch."""
    torch: Any = importlib.import_module("torch")
    package: Any = importlib.import_module("diffusers")
    torch.set_num_threads(threads)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
    pipeline = package.StableDiffusionPipeline.from_pretrained(folder, torch_dtype=dtype)
    return _prompts_at_once(pipeline)


def _prompts_at_once(pipeline: Any) -> Draw:
    """A pipeline with diffusers' interface, which takes a list of prompts."""
    ddim: Any = importlib.import_module("diffusers").DDIMScheduler
    pipeline.scheduler = ddim.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)

    def draw(prompts: list[str], seeds: list[int], side: int, steps: int, guidance: float) -> None:
        pipeline(
            prompt=prompts,
            height=side,
            width=side,
            num_inference_steps=steps,
            guidance_scale=guidance,
            output_type="np",
        )

    return draw


def peak_bytes(process: int | str = "self") -> int:
    """The most memory that a process, by its number, has held, as the kernel counts it."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Answers until the input ends."""
    kind, folder, precision, threads = sys.argv[1:]
    # Libraries print to the standard output, so answers have a handle of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    kinds: dict[str, Load] = {"optimum": optimum, "genai": genai, "diffusers": diffusers}
    draw = kinds[kind](folder, precision, int(threads))
    for line in sys.stdin:
        asked = json.loads(line)
        began = time.perf_counter()
        draw(*(asked[name] for name in ("prompts", "seeds", "side", "steps", "guidance")))
        answer = {"seconds": time.perf_counter() - began, "peak_bytes": peak_bytes()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
