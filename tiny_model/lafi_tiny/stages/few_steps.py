"""Stage `few_steps`: latent consistency distillation of the finished denoiser, as a LoRA.

After arXiv:2310.04378 and arXiv:2311.05556: the student, which is the denoiser with a LoRA, learns
to give the same clean latent for two neighbouring noise levels, of which the lower one is reached
by a step of the denoiser itself with guidance. It then draws in 2 to 8 steps at guidance 1, with
diffusers' `LCMScheduler`.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor

from lafi_tiny.stages.autoencoder import load_average
from lafi_tiny.stages.batches import Batch, Batches
from lafi_tiny.stages.blueprint import Blueprint, build_noise_schedule
from lafi_tiny.stages.few_steps_watch import FewStepsWatch
from lafi_tiny.stages.latent_store import LatentStore
from lafi_tiny.stages.noise import DiffusionNoise
from lafi_tiny.stages.stage_folder import SaveClock, mark_finished
from lafi_tiny.stages.text_to_latent import TextToLatent, load_denoiser
from lafi_tiny.stages.tokenizer import stage_tokenizer, token_ids
from lafi_tiny.stages.train_denoiser import PRINT_EVERY
from lafi_tiny.training import device, learning_rate, mixed_precision, save_state, set_learning_rate

STATE_FILE = "few_steps.pt"
GROW_EVERY = 20
"""Steps between chunks of pictures that are encoded, until there are as many as wanted."""
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
    """Settings of the stage. levels: noise levels between which the solver steps.

    peak_rate: at 1e-3 and 2e-4 the pictures collapse within 100 steps; 3e-5 has had only 50.
    """

    steps: int = 1_600
    batch: int = 24
    rank: int = 16
    peak_rate: float = 3.0e-5
    guidance: float = 4.0
    levels: int = 50
    pictures: int = 60_000
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
    rank = settings.rank
    model.unet.add_adapter(
        LoraConfig(r=rank, lora_alpha=rank, target_modules=list(TARGETS)), adapter_name="default"
    )
    trained = [p for p in model.unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.peak_rate, weight_decay=0.0)
    step = _resume(folder, model, optimizer)
    batches = _batches(plan, settings, folder, step)
    schedule = build_noise_schedule()
    empty = token_ids(tokenizer, [""] * settings.batch).to(place)
    clock = SaveClock(settings.save_seconds)
    watch = FewStepsWatch(folder, batches.store.vae, tokenizer)
    torch.manual_seed(settings.seed + 1000 * step)
    while step < settings.steps:
        if step % settings.watch_every == 0:
            watch.look(model, step)
        set_learning_rate(optimizer, learning_rate(step, settings.steps, settings.peak_rate))
        loss = consistency_loss(model, schedule, batches.draw(), empty, settings, batches.rng)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        if step % GROW_EVERY == 0:
            batches.store.grow()
        if step % PRINT_EVERY == 0:
            print(f"few_steps step {step} loss {loss.item():.4f}", flush=True)
        if clock.is_time():
            _save(folder, step, model, optimizer)
    _save(folder, step, model, optimizer)
    watch.look(model, step)
    mark_finished(folder, "few_steps")


def consistency_loss(
    model: TextToLatent,
    schedule: DDIMScheduler,
    batch: Batch,
    empty: Tensor,
    settings: FewStepsTraining,
    rng: np.random.Generator,
) -> Tensor:
    """Pseudo-Huber distance of the student's clean latents at two neighbouring levels.

    empty: token ids (B, T) of the empty prompt.
    """
    place = empty.device
    latents = batch.latents.to(place)
    high, low = (torch.from_numpy(t).to(place) for t in neighbours(rng, len(latents), settings))
    noisy = schedule.add_noise(latents, torch.randn_like(latents), high)
    with torch.no_grad(), mixed_precision(place):
        text = model.text_encoder(torch.cat([batch.token_ids.to(place), empty]))[0]
    said = text[: len(latents)]
    predicted = _student(model, schedule, noisy, high, said)
    with torch.no_grad():
        lower = _solved(model, schedule, noisy, high, low, text, settings.guidance)
        wanted = _student(model, schedule, lower, low, said)
    distance = ((predicted - wanted).pow(2) + settings.huber**2).sqrt() - settings.huber
    return distance.mean()


def neighbours(
    rng: np.random.Generator, size: int, settings: FewStepsTraining
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Timesteps (size,) and those one level lower, the lowest at 0.

    The levels are those that `LCMScheduler` chooses its steps from.
    """
    apart = 1000 // settings.levels
    high = (rng.integers(settings.levels, size=size) + 1) * apart - 1
    return high, np.maximum(high - apart, 0)


def boundary(timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (B, 1, 1, 1) of the noisy latent and of the predicted clean one (c_skip, c_out)."""
    scaled = (timesteps.float() * _TIMESTEP_SCALING)[:, None, None, None]
    total = scaled.pow(2) + _SIGMA_DATA**2
    return _SIGMA_DATA**2 / total, scaled / total.sqrt()


def _student(
    model: TextToLatent, schedule: DDIMScheduler, noisy: Tensor, timesteps: Tensor, text: Tensor
) -> Tensor:
    """The clean latent that the denoiser with its LoRA stands for."""
    velocity = _velocity(model, noisy, timesteps, text)
    alpha, sigma = _levels(schedule, timesteps)
    skip, out = boundary(timesteps)
    return skip * noisy + out * (alpha * noisy - sigma * velocity)


def _solved(
    model: TextToLatent,
    schedule: DDIMScheduler,
    noisy: Tensor,
    high: Tensor,
    low: Tensor,
    text: Tensor,
    guidance: float,
) -> Tensor:
    """The latent one level lower, by a DDIM step of the denoiser without LoRA, with guidance."""
    model.unet.disable_adapters()
    both = _velocity(model, torch.cat([noisy, noisy]), torch.cat([high, high]), text)
    model.unet.enable_adapters()
    said, unsaid = both.chunk(2)
    velocity = unsaid + guidance * (said - unsaid)
    alpha, sigma = _levels(schedule, high)
    clean, noise = alpha * noisy - sigma * velocity, alpha * velocity + sigma * noisy
    alpha, sigma = _levels(schedule, low)
    return alpha * clean + sigma * noise


def _velocity(model: TextToLatent, noisy: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
    with mixed_precision(noisy.device):
        velocity: Tensor = model.unet(noisy, timesteps, text).sample
    return velocity.float()


def _levels(schedule: DDIMScheduler, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """Signal and noise (B, 1, 1, 1) of these timesteps."""
    kept = schedule.alphas_cumprod.to(timesteps.device)[timesteps][:, None, None, None]
    return kept.sqrt(), (1 - kept).sqrt()


def _batches(plan: Blueprint, settings: FewStepsTraining, folder: Path, step: int) -> Batches:
    vae = load_average(plan, folder).to(device())
    store = LatentStore(folder, vae, seed=settings.seed, side=plan.side, most=settings.pictures)
    if not len(store):
        store.grow()
    rng = np.random.default_rng([settings.seed, 5, step])
    return Batches(
        store,
        partial(token_ids, stage_tokenizer(folder)),
        DiffusionNoise(),
        rng,
        size=settings.batch,
        empty_captions=0.1,
        inpainted=0.0,
    )


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
