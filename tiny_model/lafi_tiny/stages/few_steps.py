"""Stage `few_steps`: the finished denoiser learns, as a LoRA, to draw in a few steps.

A consistency model (arXiv:2303.01469) in latents, with the guidance built in, drawn by diffusers'
`LCMScheduler` in 2 to 8 steps at guidance 1 (arXiv:2310.04378, arXiv:2311.05556). What is learnt is
where the paths of the denoiser itself end (`teacher_paths`), not, as in these papers, what the
student says one noise level lower: that collapsed here at every rate that was tried (CHANGELOG.md),
since the student then follows its own faults.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor

from lafi_tiny.stages.autoencoder import load_average
from lafi_tiny.stages.blueprint import Blueprint, build_noise_schedule
from lafi_tiny.stages.few_steps_watch import STEPS, FewStepsWatch
from lafi_tiny.stages.stage_folder import SaveClock, mark_finished
from lafi_tiny.stages.teacher_paths import (
    LEVELS,
    Points,
    TeacherPaths,
    lcm_timesteps,
    levels_of,
)
from lafi_tiny.stages.text_to_latent import TextToLatent, load_denoiser
from lafi_tiny.stages.tokenizer import stage_tokenizer
from lafi_tiny.stages.train_denoiser import PRINT_EVERY
from lafi_tiny.training import device, learning_rate, mixed_precision, save_state, set_learning_rate

STATE_FILE = "few_steps.pt"
FAST_FOLDER = "fast"
"""Where the LoRA is written, in diffusers' form."""
TARGETS = (
    *("to_q", "to_k", "to_v", "to_out.0"),
    *("proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
    *("conv1", "conv2", "conv_shortcut", "time_emb_proj"),
)
_SIGMA_DATA, _TIMESTEP_SCALING = 0.5, 10.0
"""As diffusers' `LCMScheduler` has them by default."""


@dataclass(frozen=True, slots=True)
class FewStepsTraining:
    """Settings of the stage.

    paths: of the denoiser, computed before, `chunk` at once. often: how many times as often as the
    others the noise levels are learnt at which STEPS steps draw.
    """

    steps: int = 800
    batch: int = 24
    rank: int = 16
    peak_rate: float = 3.0e-4
    guidance: float = 4.0
    paths: int = 960
    chunk: int = 48
    often: float = 4.0
    huber: float = 1.0e-3
    seed: int = 0
    save_seconds: float = 300.0
    watch_every: int = 100


def train_few_steps(plan: Blueprint, settings: FewStepsTraining, folder: Path) -> None:
    """Train or resume; leaves `few_steps.pt` and the LoRA in FAST_FOLDER."""
    torch.manual_seed(settings.seed)
    place, tokenizer = device(), stage_tokenizer(folder)
    model = load_denoiser(plan, folder, tokenizer).requires_grad_(False)
    model.placed_for_training(place)
    paths = TeacherPaths(folder, chunk=settings.chunk, seed=settings.seed)
    while len(paths) < settings.paths:
        paths.grow(model, tokenizer, settings.guidance)
        print(f"few_steps: {len(paths)} paths", flush=True)
    rank = settings.rank
    model.unet.add_adapter(
        LoraConfig(r=rank, lora_alpha=rank, target_modules=list(TARGETS)), adapter_name="default"
    )
    trained = [p for p in model.unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.peak_rate, weight_decay=0.0)
    step = _resume(folder, model, optimizer)
    schedule, rng = build_noise_schedule(), np.random.default_rng([settings.seed, 5, step])
    clock = SaveClock(settings.save_seconds)
    watch = FewStepsWatch(folder, load_average(plan, folder).to(place), tokenizer)
    while step < settings.steps:
        if step % settings.watch_every == 0:
            watch.look(model, step)
        set_learning_rate(optimizer, learning_rate(step, settings.steps, settings.peak_rate))
        points = paths.draw(rng, random_levels(rng, settings))
        loss = end_loss(model, schedule, points, settings.huber)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        if step % PRINT_EVERY == 0:
            print(f"few_steps step {step} loss {loss.item():.4f}", flush=True)
        if clock.is_time():
            _save(folder, step, model, optimizer)
    _save(folder, step, model, optimizer)
    watch.look(model, step)
    mark_finished(folder, "few_steps")


def random_levels(rng: np.random.Generator, settings: FewStepsTraining) -> NDArray[np.int64]:
    """Noise levels (batch,) of a step, 0 is noise."""
    drawn = lcm_timesteps(STEPS)
    weights = np.array([settings.often if t in drawn else 1.0 for t in lcm_timesteps(LEVELS)])
    return rng.choice(LEVELS, size=settings.batch, p=weights / weights.sum())


def end_loss(model: TextToLatent, schedule: DDIMScheduler, points: Points, huber: float) -> Tensor:
    """Pseudo-Huber distance of the student's clean latents from the ends of the paths."""
    place = next(model.parameters()).device
    timesteps = points.timesteps.to(place)
    with torch.no_grad(), mixed_precision(place):
        text = model.text_encoder(points.token_ids.to(place))[0]
    predicted = _student(model, schedule, points.latents.to(place), timesteps, text)
    apart = predicted - points.ends.to(place)
    return ((apart.pow(2) + huber**2).sqrt() - huber).mean()


def boundary(timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (B, 1, 1, 1) of the noisy latent and of the predicted clean one (c_skip, c_out)."""
    scaled = (timesteps.float() * _TIMESTEP_SCALING)[:, None, None, None]
    total = scaled.pow(2) + _SIGMA_DATA**2
    return _SIGMA_DATA**2 / total, scaled / total.sqrt()


def _student(
    model: TextToLatent, schedule: DDIMScheduler, noisy: Tensor, timesteps: Tensor, text: Tensor
) -> Tensor:
    """The clean latent that the denoiser with its LoRA stands for, as `LCMScheduler` has it."""
    with mixed_precision(noisy.device):
        velocity = model.unet(noisy, timesteps, text).sample.float()
    alpha, sigma = (level.to(noisy.device) for level in levels_of(schedule, timesteps))
    skip, out = boundary(timesteps)
    clean: Tensor = skip * noisy + out * (alpha * noisy - sigma * velocity)
    return clean


def _save(folder: Path, step: int, model: TextToLatent, optimizer: torch.optim.Optimizer) -> None:
    lora = get_peft_model_state_dict(model.unet)
    save_state(
        folder / STATE_FILE, {"step": step, "lora": lora, "optimizer": optimizer.state_dict()}
    )
    StableDiffusionPipeline.save_lora_weights(
        folder / FAST_FOLDER,
        unet_lora_layers={k: v.half() for k, v in lora.items()},
    )


def _resume(folder: Path, model: TextToLatent, optimizer: torch.optim.Optimizer) -> int:
    path = folder / STATE_FILE
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    set_peft_model_state_dict(model.unet, state["lora"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
