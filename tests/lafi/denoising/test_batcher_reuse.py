"""Panels in one loop that take steps without the denoiser: rows, references, places."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lafi.board.stages import SamplingStage
from lafi.conditioning.reference import Reference
from lafi.denoising.bank import Bank
from lafi.denoising.batcher import Batcher
from lafi.denoising.kept_references import KeptReferences
from lafi.denoising.panel_state import PanelInjection, PanelState
from lafi.ports.bank_entry import BankEntry
from lafi.ports.engines import DenoiserBatch, ReferenceBatch
from lafi.sampling.guidance import TwoRows
from lafi.sampling.noise_model import noise_model_of
from lafi.sampling.schedule import PanelSchedule
from lafi.sampling.step_reuse import ReuseRule, StepReuse
from model_infos import model_info

SIZE = (4, 6)
INFO = model_info()
CONFIG = {"num_train_timesteps": 1000, "beta_schedule": "scaled_linear"}
PROCESS = noise_model_of(CONFIG)
TEXT = {"text": torch.ones(3, 2)}
MIA = Reference(
    content="mia",
    caption="mia",
    latents=torch.full((4, *SIZE), 0.2),
    noise=torch.ones(4, *SIZE),
    mask=torch.ones(SIZE),
    text=TEXT,
)


class FakeDenoiser:
    """Keeps the batches."""

    def __init__(self) -> None:
        self.batches: list[DenoiserBatch] = []

    def __call__(self, batch: DenoiserBatch) -> Tensor:
        self.batches.append(batch)
        return torch.tanh(batch["latents"])


class FakeReader:
    """Counts the references that it was asked for; an entry is the row's latents."""

    def __init__(self) -> None:
        self.read = 0

    def __call__(self, batch: ReferenceBatch) -> tuple[BankEntry, ...]:
        self.read += len(batch["latents"])
        rows = zip(batch["latents"].flatten(2), batch.mask, strict=True)
        return tuple(BankEntry((row[None],), (row[None],), mask) for row, mask in rows)


def panel(
    seed: int,
    *references: Reference,
    steps: int = 20,
    reuse: float = 1.0,
    guided_steps: tuple[float, float] = (0.0, 1.0),
    start: float = 0.0,
    end: float = 0.8,
    fixed: bool = False,
) -> PanelState:
    """reuse: threshold; 0 computes each step. fixed: reads its references at a fixed level."""
    schedule = PanelSchedule(SamplingStage(steps=steps), CONFIG, seed)
    regions = tuple(torch.ones(SIZE) for _ in references)
    return PanelState(
        name=str(seed),
        latents=schedule.initial_noise((4, *SIZE)),
        schedule=schedule,
        text=TEXT,
        negative=TEXT,
        guidance=TwoRows(3.0, *guided_steps),
        injection=PanelInjection(
            references, regions, start=start, end=end, noise=0.1 if fixed else "panel"
        ),
        reuse=StepReuse(ReuseRule(reuse, 0.0, 1.0), PROCESS) if reuse else None,
    )


def batcher(max_rows: int = 16, kept: KeptReferences | None = None) -> tuple[Batcher, FakeDenoiser]:
    fake = FakeDenoiser()
    return Batcher(fake, PROCESS, INFO, max_rows, kept=kept), fake


def drawn_steps(*states: PanelState) -> tuple[list[list[bool]], FakeDenoiser, Batcher]:
    """For every step of each panel whether it was computed; `Batcher.step` moves all of them."""
    loop, fake = batcher()
    loop.add(states)
    computed: list[list[bool]] = [[] for _ in states]
    while loop.active:
        for one, state in zip(computed, states, strict=True):
            if not state.done:
                one.append(not state.reuses)
        flying = sum(not state.done for state in states)
        assert len(list(loop.step())) == flying
    return computed, fake, loop


def test_where_all_panels_reuse_there_is_no_call() -> None:
    (computed,), fake, loop = drawn_steps(panel(1))
    assert computed.count(True) < 20
    assert len(fake.batches) == loop.counts.calls == computed.count(True)
    assert loop.counts.panel_steps == 20
    assert loop.counts.reused_steps == computed.count(False)
    assert loop.counts.panel_rows == 2 * computed.count(True)


def test_a_panel_that_reuses_a_step_has_no_row_and_others_go_on() -> None:
    computed, fake, _ = drawn_steps(panel(1), panel(2, reuse=0.0))
    assert all(computed[1])
    assert [len(batch["latents"]) for batch in fake.batches] == [2 + 2 * own for own in computed[0]]


def test_a_reference_is_read_only_where_a_reader_computes() -> None:
    reader, plain = panel(1, MIA), panel(2, reuse=0.0)
    computed, fake, _ = drawn_steps(reader, plain)
    injected = [i / 20 < 0.8 for i in range(20)]
    expected = [
        2 + (2 + inside if own else 0) for own, inside in zip(computed[0], injected, strict=True)
    ]
    assert not all(computed[0][:16])
    assert [len(batch["latents"]) for batch in fake.batches] == expected


def test_a_kept_reference_stays_held_while_its_readers_reuse() -> None:
    reader = FakeReader()
    loop, _ = batcher(kept=KeptReferences(reader, Bank(0), PROCESS, INFO))
    loop.add([panel(1, MIA, fixed=True)])
    while loop.active:
        list(loop.step())
    assert loop.counts.reused_steps > 0
    assert reader.read == 1


def test_a_panel_that_reuses_keeps_its_place() -> None:
    """All in flight may compute the next step, so nobody gets in on the room of a reused one."""
    loop, fake = batcher(max_rows=6)
    loop.add([panel(seed) for seed in range(4)])
    while loop.active:
        list(loop.step())
        assert loop.active - loop.waiting <= 3
    assert loop.counts.reused_steps > 0
    assert max(len(batch["latents"]) for batch in fake.batches) <= 6


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 30),
    st.sampled_from([0.05, 0.3, 1.0]),
    st.lists(st.integers(0, 10), min_size=4, max_size=4),
    st.booleans(),
)
def test_the_first_the_last_and_every_switch_is_computed(
    steps: int, reuse: float, edges: list[int], reads: bool
) -> None:
    (start, end), (first, last) = sorted(edges[:2]), sorted(edges[2:])
    state = panel(
        1,
        *([MIA] if reads else []),
        steps=steps,
        reuse=reuse,
        guided_steps=(first / 10, last / 10),
        start=start / 10,
        end=end / 10,
    )
    (computed,), _, _ = drawn_steps(state)

    def asked(step: int) -> tuple[bool, bool]:
        share = 10 * step
        return first * steps <= share < last * steps, reads and start * steps <= share < end * steps

    must = {0, 1, steps - 1}
    for step in range(1, steps):
        if asked(step) != asked(step - 1):
            must |= {step, step + 1}
    assert all(computed[step] for step in must if step < steps)
