"""The loop that all storyboards share: nobody notices the others, and everybody can leave."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lafi.board.stages import SamplingStage
from lafi.conditioning.reference import Reference
from lafi.denoising.batcher import Batcher, PanelStep
from lafi.denoising.lane import USUAL, Standing, Ticket
from lafi.denoising.loop import Denoising, OwnDenoising, SharedDenoising
from lafi.denoising.panel_state import PanelInjection, PanelState
from lafi.ports.engines import DenoiserBatch, EncodedText
from lafi.sampling.guidance import TwoRows
from lafi.sampling.noise_model import noise_model_of
from lafi.sampling.schedule import PanelSchedule
from lafi.sampling.step_reuse import ReuseRule, StepReuse
from model_infos import model_info

SIZE = (4, 4)
INFO = model_info()
CONFIG = {"num_train_timesteps": 1000, "beta_schedule": "scaled_linear"}


class Denoiser:
    """A row's output depends on itself and on what it reads. `hold` stops it; `fail` breaks it."""

    def __init__(self) -> None:
        self.calls = 0
        self.rows: list[int] = []
        self.hold = threading.Event()
        self.hold.set()
        self.fail: Callable[[DenoiserBatch], bool] = lambda batch: False

    def __call__(self, batch: DenoiserBatch) -> Tensor:
        assert self.hold.wait(10)
        if self.fail(batch):
            raise MemoryError("no room")
        self.calls += 1
        self.rows.append(len(batch["latents"]))
        out = torch.tanh(batch["latents"]) + batch["text"].mean(dim=(1, 2))[:, None, None, None]
        for row, sources in enumerate(batch["routes"][0].tolist()):
            for source in sources:
                if source >= 0:
                    out[row] += 0.1 * batch["latents"][source].mean()
        return out


def text(value: float) -> EncodedText:
    return {"text": torch.full((3, 2), value)}


MIA = Reference(
    content="mia",
    caption="a girl",
    latents=torch.full((4, *SIZE), 0.2),
    noise=torch.ones(4, *SIZE),
    mask=torch.ones(SIZE),
    text=text(1),
)


def panel(seed: int, steps: int = 4, reads: bool = False, reuse: float = 0.0) -> PanelState:
    schedule = PanelSchedule(SamplingStage(steps=steps, sampler="EulerAncestral"), CONFIG, seed)
    references = (MIA,) if reads else ()
    return PanelState(
        name=str(seed),
        latents=schedule.initial_noise((4, *SIZE)),
        schedule=schedule,
        text=text(seed / 10),
        negative=text(0.0),
        guidance=TwoRows(3.0),
        injection=PanelInjection(
            references, tuple(torch.ones(SIZE) for _ in references), (0,), end=0.8
        ),
        reuse=StepReuse(ReuseRule(reuse, 0.0, 1.0), noise_model_of(CONFIG)) if reuse else None,
    )


def batcher(denoiser: Denoiser, max_rows: int = 8) -> Batcher:
    return Batcher(denoiser, noise_model_of(CONFIG), INFO, max_rows)


@pytest.fixture
def shared() -> Iterator[tuple[SharedDenoising, Denoiser]]:
    denoiser = Denoiser()
    loop = SharedDenoising({"": batcher(denoiser)})
    yield loop, denoiser
    denoiser.hold.set()
    loop.close()


def never() -> bool:
    return False


def latents(loop: Denoising, panels: list[PanelState], pause: float = 0.0) -> list[Tensor]:
    """The finished latents of the panels, whose steps must come in order."""
    time.sleep(pause)
    steps: dict[str, list[int]] = {state.name: [] for state in panels}
    for step in loop.run(panels, USUAL, never):
        assert step is not None, "nobody waits as long as that here"
        steps[step.panel.name].append(step.step)
        assert step.done == (step.step == step.steps)
    for state in panels:
        assert steps[state.name] == list(range(1, state.schedule.steps + 1))
    return [state.latents for state in panels]


BOARDS = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.integers(1, 8), st.booleans(), st.sampled_from([0.0, 0.5])),
            min_size=1,
            max_size=4,
        ),
        st.floats(0, 0.02),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=15, deadline=None)
@given(BOARDS)
def test_random_arrivals_do_not_change_a_panel(
    boards: list[tuple[list[tuple[int, bool, float]], float]],
) -> None:
    def panels(board: int) -> list[PanelState]:
        return [panel(10 * board + i, *given) for i, given in enumerate(boards[board][0])]

    loop = SharedDenoising({"": batcher(Denoiser())})
    with ThreadPoolExecutor(len(boards)) as threads:
        drawn = list(
            threads.map(lambda i: latents(loop, panels(i), boards[i][1]), range(len(boards)))
        )
    loop.close()
    for board, found in enumerate(drawn):
        alone = latents(OwnDenoising({"": batcher(Denoiser())}), panels(board))
        for one, other in zip(found, alone, strict=True):
            torch.testing.assert_close(one, other, rtol=0.0, atol=1e-5)


def test_storyboards_share_calls_and_the_row_of_one_reference(
    shared: tuple[SharedDenoising, Denoiser],
) -> None:
    loop, denoiser = shared
    denoiser.hold.clear()
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(latents, loop, [panel(1, 1)])
        time.sleep(0.1)
        later = [threads.submit(latents, loop, [panel(i, 2, True)]) for i in (2, 3)]
        time.sleep(0.1)
        denoiser.hold.set()
        for future in (first, *later):
            future.result()
    assert denoiser.rows == [2, 2 * 2 + 1, 2 * 2 + 1]


def test_a_cancelled_storyboard_is_in_no_later_call(
    shared: tuple[SharedDenoising, Denoiser],
) -> None:
    loop, denoiser = shared
    stop = threading.Event()
    seen: list[PanelStep | None] = []
    for step in loop.run([panel(1, 100), panel(2, 100)], USUAL, stop.is_set):
        seen.append(step)
        stop.set()
    assert len(seen) <= 2
    after = denoiser.calls
    latents(loop, [panel(3, 2)])
    assert denoiser.calls <= after + 3


def test_a_storyboard_is_cancelled_between_two_reused_steps() -> None:
    loop = batcher(Denoiser())
    state = panel(1, 100, reuse=1.0)
    reused: list[bool] = []
    for _ in OwnDenoising({"": loop}).run([state], USUAL, lambda: any(reused)):
        reused.append(loop.counts.reused_steps > 0)
    assert reused.count(True) == 1
    assert (state.done, loop.active) == (False, 0)


def test_a_storyboard_that_waits_for_a_place_can_be_cancelled(
    shared: tuple[SharedDenoising, Denoiser],
) -> None:
    loop, denoiser = shared
    denoiser.hold.clear()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(latents, loop, [panel(i, 2) for i in range(4)])
        time.sleep(0.05)
        began = time.monotonic()
        asked = iter([False, True])
        assert list(loop.run([panel(9)], USUAL, lambda: next(asked))) == []
        assert time.monotonic() - began < 5
        denoiser.hold.set()
        first.result()
    assert max(denoiser.rows) == 8


def test_a_closed_generator_leaves_the_loop() -> None:
    own = batcher(Denoiser())
    loop = SharedDenoising({"": own})
    steps = loop.run([panel(1, 100)], USUAL, never)
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 5
    while own.active:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    loop.close()


@pytest.mark.parametrize("kind", [SharedDenoising, OwnDenoising])
def test_panels_of_other_variants_are_in_loops_of_their_own(
    kind: type[SharedDenoising] | type[OwnDenoising],
) -> None:
    plain, ink = Denoiser(), Denoiser()
    loop = kind({"": batcher(plain), "ink": batcher(ink)})
    first, second, late = panel(1), panel(2), panel(3)
    second.variant = late.variant = "ink"
    waiting = [late]

    def joining() -> list[PanelState]:
        came = waiting.copy()
        waiting.clear()
        return came

    steps = [*loop.run([first, second], USUAL, never, joining)]
    assert {step.panel.name for step in steps if step is not None and step.done} == {"1", "2", "3"}
    assert plain.calls == 4
    assert 4 <= ink.calls <= 8
    if isinstance(loop, SharedDenoising):
        loop.close()


def test_a_failing_call_ends_its_storyboards_and_no_other(
    shared: tuple[SharedDenoising, Denoiser],
) -> None:
    loop, denoiser = shared
    denoiser.fail = lambda batch: bool((batch["text"] > 4).any())
    with pytest.raises(MemoryError, match="no room"):
        latents(loop, [panel(50)])
    latents(loop, [panel(1)])
    with pytest.raises(MemoryError, match="no room"):
        latents(OwnDenoising({"": batcher(denoiser)}), [panel(50)])


def test_a_closed_loop_says_so() -> None:
    loop = SharedDenoising({"": batcher(Denoiser())})
    loop.close()
    with pytest.raises(RuntimeError, match="the denoising loop was closed"):
        latents(loop, [panel(1)])


def test_a_storyboard_that_waits_is_told_that_the_loop_is_alive() -> None:
    denoiser = Denoiser()
    loop = SharedDenoising({"": batcher(denoiser)}, heartbeat=0.01)
    denoiser.hold.clear()
    steps = loop.run([panel(1, 1)], USUAL, never)
    assert [next(steps), next(steps)] == [None, None]
    denoiser.hold.set()
    assert [step.done for step in steps if step is not None] == [True]
    loop.close()


class BreakableBatcher(Batcher):
    """`broken` makes the next thing that is asked of it raise, outside any denoiser call."""

    broken: str = ""

    def _break(self, where: str) -> None:
        if self.broken == where:
            self.broken = ""
            raise ZeroDivisionError(where)

    def step(self) -> Iterator[PanelStep]:
        for taken in super().step():
            self._break("step")
            yield taken

    def add(self, panels: Sequence[PanelState], standing: Standing = USUAL) -> Ticket:
        self._break("add")
        return super().add(panels, standing)

    def extend(self, ticket: Ticket, panels: Sequence[PanelState]) -> None:
        self._break("extend")
        super().extend(ticket, panels)

    def remove(self, ticket: Ticket) -> None:
        self._break("remove")
        super().remove(ticket)


def taken(steps: Iterator[PanelStep | None]) -> list[PanelStep]:
    return [step for step in steps if step is not None]


@pytest.mark.parametrize("where", ["step", "add", "extend", "remove"])
def test_an_error_outside_a_call_fails_its_readers_and_the_loop_goes_on(where: str) -> None:
    broken = BreakableBatcher(Denoiser(), noise_model_of(CONFIG), INFO, 8)
    broken.broken = where
    loop = SharedDenoising({"": broken})
    late = [panel(2)]
    steps = loop.run([panel(1)], USUAL, never, lambda: [late.pop()] if late else ())
    if where == "remove":
        assert len(taken(steps)) == 8, "both were done when they left"
    else:
        with pytest.raises(ZeroDivisionError, match=where):
            taken(steps)
    assert len(taken(loop.run([panel(3)], USUAL, never))) == 4
    assert broken.active == 0
    loop.close()


def test_a_loop_whose_last_step_is_old_gives_no_sign_of_life() -> None:
    denoiser = Denoiser()
    denoiser.hold.clear()
    loop = SharedDenoising({"": batcher(denoiser)}, heartbeat=0.01, stale=0.0)
    asked = iter(range(10))
    assert list(loop.run([panel(1)], USUAL, lambda: next(asked) == 9)) == []
    denoiser.hold.set()
    loop.close()
