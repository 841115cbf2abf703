"""Who gets places and whose step is next, with a fake denoiser."""

from collections import Counter

import torch
from batches import (
    INFO,
    LAYERS,
    PROCESS,
    REUSE,
    FakeDenoiser,
    batcher,
    finish,
    panel,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lafi.denoising.batcher import Batcher
from lafi.denoising.lane import Standing
from lafi.ports.engines import DenoiserBatch
from model_infos import attention_sites, model_info


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), REUSE), min_size=1, max_size=5),
    st.integers(6, 10),
    st.data(),
)
def test_places_are_shared_evenly_whenever_somebody_joins(
    boards: list[tuple[int, int, float]], max_rows: int, data: st.DataObject
) -> None:
    """No storyboard has two places more than one that has a panel waiting, at any step.

    boards: (panels, steps of each, threshold) of storyboards that join between any two steps.
    """
    loop, _ = batcher(max_rows)
    coming, tickets = list(enumerate(boards)), []
    ended = 0
    while coming or loop.active:
        if coming and (not loop.active or data.draw(st.booleans())):
            i, (panels, steps, reuse) = coming.pop()
            joined = [panel(f"{i}.{j}", steps=steps, reuse=reuse) for j in range(panels)]
            tickets.append(loop.add(joined))
        taken = list(loop.step())
        held = Counter(step.ticket for step in taken)
        waits = [held[t] for t in tickets if any(turn.waiting for turn in t.turns.values())]
        assert max(held.values()) <= min(waits, default=99) + 1
        ended += sum(step.done for step in taken)
    assert ended == sum(panels for panels, _, _ in boards)


def test_a_newcomer_starts_at_once_beside_many_panels_of_many_steps() -> None:
    loop, _ = batcher(max_rows=8)
    loop.add([panel("a" * n, steps=100) for n in range(1, 65)])
    for _ in range(3):
        list(loop.step())
    late = loop.add([panel("late", steps=6)])
    taken = [[step.ticket for step in loop.step()].count(late) for _ in range(6)]
    assert taken == [1] * 6
    assert late not in [step.ticket for step in loop.step()]


def test_a_panel_that_was_paused_goes_on_where_it_was() -> None:
    loop, _ = batcher(max_rows=6)
    states = [panel("a" * n, steps=4) for n in (1, 2, 3)]
    loop.add(states)
    list(loop.step())
    loop.add([panel("late", steps=2)])
    list(loop.step())
    assert sorted(state.schedule.index for state in states) == [1, 2, 2]
    assert next(iter([*finish(loop)])) == "late"
    alone, _ = batcher()
    single = panel("aaa", steps=4)
    alone.add([single])
    list(finish(alone))
    torch.testing.assert_close(states[2].latents, single.latents, rtol=0.0, atol=1e-5)


def test_a_higher_priority_gets_a_place_at_once() -> None:
    loop, _ = batcher(max_rows=6)
    loop.add([panel("a" * n, steps=2) for n in (1, 2, 3, 4)])
    list(loop.step())
    loop.add([panel("urgent", steps=1), panel("urgent too", steps=1)], Standing(1))
    order = list(finish(loop))
    assert order == ["a", "urgent", "urgent too", "aa", "aaa", "aaaa"]


class Clock:
    """A clock that a denoiser moves on: by a second for each cell of the call's latents."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[int, int]] = []
        self._fake = FakeDenoiser()

    def __call__(self) -> float:
        return self.now

    def denoise(self, batch: DenoiserBatch) -> Tensor:
        rows, _, height, width = batch["latents"].shape
        self.calls.append((rows, width))
        self.now += rows * height * width
        return self._fake(batch)


def test_small_pictures_go_on_between_two_calls_of_large_ones() -> None:
    clock = Clock()
    loop = Batcher(clock.denoise, PROCESS, INFO, 16, clock=clock)
    loop.add([panel("large", steps=5, size=(32, 32))])
    list(loop.step())
    began = clock.now
    small = loop.add([panel("small", steps=6, size=(4, 4))])
    large_call = 2 * 32 * 32
    while any(turn.held or turn.waiting for turn in small.turns.values()):
        list(loop.step())
    alone = 6 * 2 * 4 * 4
    assert clock.now - began <= large_call + alone
    list(finish(loop))
    assert clock.calls.count((2, 32)) == 5


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([4, 8, 16]), st.integers(1, 3)), min_size=2, max_size=5))
def test_sizes_share_the_denoisers_time_by_who_waits(boards: list[tuple[int, int]]) -> None:
    """While all draw, no storyboard's size gets ahead of another's by more than a step of each."""
    clock = Clock()
    loop = Batcher(clock.denoise, PROCESS, INFO, 16, clock=clock)
    for place, (side, panels) in enumerate(boards):
        loop.add([panel(f"{place}.{j}", steps=40, size=(side, side)) for j in range(panels)])
    lanes = list(loop._lanes.values())
    longest = 16 * 16 * 16
    for _ in range(30):
        list(loop.step())
        used = [lane.used for lane in lanes if lane.active]
        if len(used) == len(lanes):
            assert max(used) - min(used) <= longest


def test_a_call_of_large_pictures_has_fewer_rows() -> None:
    info = model_info(layers=attention_sites(LAYERS), own_side=64)
    loop, fake = batcher(max_rows=16, info=info)
    loop.add([panel("a" * n, size=(16, 16)) for n in (1, 2, 3)])
    loop.add([panel("b" * n, size=(8, 8)) for n in range(1, 9)])
    loop.add([panel("c", size=(64, 64))])
    for _ in range(3):
        list(loop.step())
    rows = {batch["latents"].shape[-1]: len(batch["latents"]) for batch in fake.batches}
    assert rows == {8: 16, 16: 4, 64: 2}
