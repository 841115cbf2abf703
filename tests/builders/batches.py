"""Panels, references and a denoiser that shows what it was given, for tests of the loop."""

from collections.abc import Iterator

import torch
from hypothesis import strategies as st
from torch import Tensor

from lafi.board.stages import SamplingStage
from lafi.conditioning.reference import Reference
from lafi.denoising.batcher import Batcher
from lafi.denoising.panel_state import PanelInjection, PanelState
from lafi.model.info import ModelInfo
from lafi.ports.engines import DenoiserBatch, EncodedText
from lafi.sampling.guidance import NoGuidance, TwoRows
from lafi.sampling.noise_model import noise_model_of
from lafi.sampling.schedule import PanelSchedule
from lafi.sampling.step_reuse import ReuseRule, StepReuse
from model_infos import attention_sites, model_info

LAYERS, SIZE = 5, (4, 6)
REUSE = st.sampled_from([0.0, 0.05, 0.3, 1.0])
INFO = model_info(layers=attention_sites(LAYERS))
CONFIG = {"num_train_timesteps": 1000, "beta_schedule": "scaled_linear"}
PROCESS = noise_model_of(CONFIG)


class FakeDenoiser:
    """A row's output depends on itself and on the mean of the rows that it reads; keeps batches."""

    def __init__(self) -> None:
        self.batches: list[DenoiserBatch] = []

    def __call__(self, batch: DenoiserBatch) -> Tensor:
        self.batches.append(batch)
        own = torch.tanh(batch["latents"]) + batch["text"].mean(dim=(1, 2))[:, None, None, None]
        out = own.clone()
        for row in range(len(own)):
            for source in batch["routes"][-1, row].tolist():
                if source >= len(own):
                    assert batch.bank is not None
                    out[row] += 0.1 * batch.bank.values[0][0, source - len(own)].mean()
                elif source >= 0:
                    out[row] += 0.1 * batch["latents"][source].mean()
        return out


def text(value: float) -> EncodedText:
    return {"text": torch.full((3, 2), value)}


def reference(name: str, value: float) -> Reference:
    return Reference(
        content=name,
        caption=name,
        latents=torch.full((4, *SIZE), value),
        noise=torch.randn(4, *SIZE),
        mask=torch.rand(SIZE),
        text=text(value),
    )


MIA, BO = reference("mia", 0.2), reference("bo", -0.3)


def panel(
    name: str,
    *references: Reference,
    steps: int = 5,
    guidance: float = 3.0,
    sampler: str = "DDIM",
    size: tuple[int, int] = SIZE,
    reuse: float = 0.0,
    **injection: object,
) -> PanelState:
    schedule = PanelSchedule(SamplingStage(steps=steps, sampler=sampler), CONFIG, len(name))
    given: dict[str, object] = {"layers": (2, 3, 4), "end": 0.8} | injection
    return PanelState(
        name=name,
        latents=schedule.initial_noise((4, *size)),
        schedule=schedule,
        text=text(float(len(name))),
        negative=text(0.0) if guidance > 1.0 else None,
        guidance=TwoRows(guidance) if guidance > 1.0 else NoGuidance(),
        injection=PanelInjection(
            references=references,
            regions=tuple(torch.ones(size) for _ in references),
            **given,  # type: ignore[arg-type]
        ),
        reuse=StepReuse(ReuseRule(reuse, 0.0, 1.0), PROCESS) if reuse else None,
    )


def finish(batcher: Batcher) -> Iterator[str]:
    while batcher.active:
        for step in batcher.step():
            if step.done:
                yield step.panel.name


def batcher(
    max_rows: int = 16, info: ModelInfo = INFO, row_counts: tuple[int, ...] = ()
) -> tuple[Batcher, FakeDenoiser]:
    fake = FakeDenoiser()
    return Batcher(fake, PROCESS, info, max_rows, row_counts), fake
