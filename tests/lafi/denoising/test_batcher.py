"""Step-level batching, with a fake denoiser that shows what it was given."""

import pytest
import torch
from batches import BO, INFO, MIA, PROCESS, REUSE, FakeDenoiser, batcher, finish, panel, reference
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lafi.conditioning.reference import Reference
from lafi.denoising.bank import Bank
from lafi.denoising.batcher import Batcher, BatchError
from lafi.denoising.kept_references import KeptReferences
from lafi.denoising.lane import MAX_BANK, Standing, Ticket
from lafi.ports.bank_entry import BankEntry
from lafi.ports.engines import DenoiserBatch, ReferenceBatch
from lafi.sampling.guidance import TwoRows


def test_a_reference_is_one_row_for_all_its_readers_at_a_timestep() -> None:
    loop, fake = batcher()
    loop.add([panel(name, MIA) for name in ("a", "bb", "ccc")])
    next(iter(loop.step()))
    (batch,) = fake.batches
    assert len(batch["latents"]) == 3 * 2 + 1
    assert batch["routes"][:2].max() == -1
    assert batch["routes"][2:, :6, 0].unique().tolist() == [6]
    assert batch["routes"][:, 6].max() == -1
    assert torch.equal(batch["mask"][6], MIA.mask)
    assert torch.equal(batch["text"][6], MIA.text["text"])
    timestep = batch["timesteps"][6].item()
    torch.testing.assert_close(batch["latents"][6], MIA.at(timestep, PROCESS))
    assert batch["timesteps"].unique().numel() == 1


def test_other_timesteps_need_rows_of_their_own_unless_the_level_is_fixed() -> None:
    for noise, rows in (("panel", 4 + 2), (0.1, 4 + 1)):
        loop, fake = batcher()
        loop.add([panel("a", MIA, steps=5, noise=noise)])
        loop.add([panel("bb", MIA, steps=7, noise=noise)])
        assert [step.step for step in loop.step()] == [1, 1]
        assert len(fake.batches[0]["latents"]) == rows


def test_references_leave_the_batch_when_nobody_reads_them() -> None:
    loop, fake = batcher()
    loop.add([panel("a", MIA, steps=10, start=0.2, end=0.8)])
    assert list(finish(loop)) == ["a"]
    assert [len(batch["latents"]) for batch in fake.batches] == [2] * 2 + [3] * 6 + [2] * 2


def test_guidance_of_one_or_less_has_no_row_without_prompt() -> None:
    loop, fake = batcher()
    loop.add([panel("a", guidance=1.0)])
    list(loop.step())
    assert len(fake.batches[0]["latents"]) == 1


def test_panels_end_at_their_own_steps_and_join_at_any() -> None:
    loop, _ = batcher()
    for name, steps in (("long", 6), ("short", 2)):
        loop.add([panel(name, MIA, steps=steps)])
    ended = [[s.panel.name for s in loop.step() if s.done] for _ in range(3)]
    assert ended == [[], ["short"], []]
    loop.add([panel("late", steps=2)])
    ended = [[s.panel.name for s in loop.step() if s.done] for _ in range(3)]
    assert ended == [[], ["late"], ["long"]]
    assert loop.active == 0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=4), min_size=1, max_size=4))
def test_a_step_says_how_many_of_its_caller_follow_from_the_same_call(
    callers: list[list[int]],
) -> None:
    loop, fake = batcher()
    for steps in callers:
        loop.add([panel("a", steps=each) for each in steps])
    calls: dict[Ticket, list[int]] = {}
    while loop.active:
        for step in loop.step():
            calls.setdefault(step.ticket, []).append(step.following)
    assert len(calls) == len(callers)
    for following in calls.values():
        ends = [place for place, left in enumerate(following) if left == 0]
        begins = [0, *(place + 1 for place in ends[:-1])]
        for begin, end in zip(begins, ends, strict=True):
            assert following[begin : end + 1] == [*range(end - begin, -1, -1)]
        assert len(ends) <= len(fake.batches)


def test_a_callers_panels_leave_together() -> None:
    loop, fake = batcher()
    gone = loop.add([panel("gone"), panel("gone too")])
    loop.add([panel("stays")])
    list(loop.step())
    loop.remove(gone)
    assert [step.panel.name for step in loop.step()] == ["stays"]
    assert [len(batch["latents"]) for batch in fake.batches] == [6, 2]
    loop.remove(gone)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([(), (MIA,), (BO,), (MIA, BO)]), min_size=1, max_size=8), st.data())
def test_company_and_chunks_do_not_change_a_panel(
    reads: list[tuple[Reference, ...]], data: st.DataObject
) -> None:
    samplers = st.sampled_from(["DDIM", "EulerAncestral", "DPM++2MSDE"])
    settings_ = [
        (
            f"{i:03}" + "x" * i,
            r,
            data.draw(st.integers(1, 12)),
            data.draw(samplers),
            data.draw(REUSE),
        )
        for i, r in enumerate(reads)
    ]
    counts = data.draw(st.sampled_from([(), (4, 8), (7,)]))
    together, fake = batcher(max_rows=data.draw(st.integers(6, 12)), row_counts=counts)
    states = [panel(name, *r, steps=n, sampler=s, reuse=u) for name, r, n, s, u in settings_]
    ended = []
    for state in states:
        together.add([state], Standing(data.draw(st.integers(-1, 1))))
        for _ in range(data.draw(st.integers(0, 3))):
            ended += [step.panel.name for step in together.step() if step.done]
    ended += finish(together)
    assert sorted(ended) == [state.name for state in states]
    largest = max(len(batch["latents"]) for batch in fake.batches)
    assert largest <= max([together._max_rows, *counts])
    for state, (name, r, n, s, u) in zip(states, settings_, strict=True):
        alone, _ = batcher()
        single = panel(name, *r, steps=n, sampler=s, reuse=u)
        alone.add([single])
        list(finish(alone))
        torch.testing.assert_close(state.latents, single.latents, rtol=0.0, atol=1e-5)


def test_panels_of_other_sizes_never_share_a_call() -> None:
    loop, fake = batcher()
    for name, size in (("a", (4, 6)), ("bb", (8, 8)), ("ccc", (4, 6))):
        loop.add([panel(name, size=size)])
    assert [step.panel.name for step in loop.step()] == ["a", "ccc"]
    assert [step.panel.name for step in loop.step()] == ["bb"]
    assert [tuple(batch["latents"].shape) for batch in fake.batches] == [(4, 4, 4, 6), (2, 4, 8, 8)]


def test_too_few_rows_for_one_panel_are_refused() -> None:
    with pytest.raises(ValueError, match="max_rows: got 5, allowed 6 or more"):
        batcher(max_rows=5)


def test_panels_that_wait_get_their_places_as_others_leave() -> None:
    loop, fake = batcher(max_rows=6)
    loop.add([panel("a" * n, steps=n) for n in (1, 2, 3, 4)])
    assert (loop.active, loop.waiting) == (4, 4)
    list(loop.step())
    assert (loop.active, loop.waiting) == (3, 1)
    list(finish(loop))
    assert [len(batch["latents"]) for batch in fake.batches] == [6, 6, 4, 2, 2]


class FakeReader:
    """Keeps what it was asked for; an entry is the row's latents, as keys and as values."""

    def __init__(self) -> None:
        self.batches: list[ReferenceBatch] = []

    def __call__(self, batch: ReferenceBatch) -> tuple[BankEntry, ...]:
        self.batches.append(batch)
        return tuple(
            BankEntry(keys=(row[None],), values=(row[None],), mask=mask)
            for row, mask in zip(batch["latents"].flatten(2), batch.mask, strict=True)
        )


def with_bank(max_bytes: int = 2**20) -> tuple[Batcher, FakeDenoiser, FakeReader, Bank]:
    denoiser, reader, bank = FakeDenoiser(), FakeReader(), Bank(max_bytes)
    kept = KeptReferences(reader, bank, PROCESS, INFO)
    return Batcher(denoiser, PROCESS, INFO, 16, kept=kept), denoiser, reader, bank


def test_a_reference_at_a_fixed_level_is_computed_once_and_is_no_row() -> None:
    loop, fake, reader, bank = with_bank()
    loop.add([panel("a", MIA, noise=0.1), panel("bb", MIA, BO, noise=0.1), panel("ccc", BO)])
    list(finish(loop))
    loop.add([panel("a", MIA, noise=0.1)])
    list(finish(loop))
    assert [len(batch["latents"]) for batch in reader.batches] == [2]
    assert [len(batch["latents"]) for batch in fake.batches] == [7] * 4 + [6] + [2] * 5
    first = fake.batches[0]
    assert first.bank is not None
    assert first.bank.entries == 2
    assert first["routes"][4, 3].tolist() == [7, 8]
    assert first["routes"][4, 5].tolist() == [6, -1]
    torch.testing.assert_close(first.bank.keys[0][0, 0], reader.batches[0]["latents"][0].flatten(1))
    assert torch.equal(first.bank.mask, torch.stack([MIA.mask, BO.mask]))
    assert fake.batches[4].bank is None
    assert loop.counts.bank_reads == 4 * 2 + 4
    stats = bank.stats()
    assert (stats.entries, stats.hits, stats.misses) == (2, 1, 2)


def test_a_panel_is_the_same_whether_its_reference_is_a_row_or_kept() -> None:
    drawn = []
    for loop in (with_bank()[0], batcher()[0]):
        states = [panel("a", MIA, noise=0.1), panel("bb", MIA, BO, noise=0.1)]
        loop.add(states)
        list(finish(loop))
        drawn.append([state.latents for state in states])
    for kept, row in zip(*drawn, strict=True):
        torch.testing.assert_close(kept, row, rtol=0.0, atol=1e-5)


def test_a_bank_without_room_costs_a_run_for_each_storyboard_and_not_for_each_step() -> None:
    loop, _, reader, bank = with_bank(max_bytes=0)
    for _ in range(2):
        loop.add([panel("a", MIA, noise=0.1)])
        list(finish(loop))
    assert len(reader.batches) == 2
    assert bank.stats().entries == 0


def test_a_call_reads_no_more_entries_than_it_may() -> None:
    loop, fake, _, _ = with_bank()
    many = [reference(f"r{i}", 0.1 * i) for i in range(12)]
    loop.add([panel("a", *many[:4], noise=0.1), panel("bb", *many[4:8], noise=0.1)])
    loop.add([panel("ccc", *many[8:], noise=0.1)])
    assert sorted(finish(loop)) == ["a", "bb", "ccc"]
    entries = [batch.bank.entries for batch in fake.batches if batch.bank is not None]
    assert max(entries) == MAX_BANK


def test_a_call_is_filled_up_to_a_number_of_rows_that_the_denoiser_is_good_at() -> None:
    loop, fake = batcher(row_counts=(4, 8))
    loop.add([panel("a", MIA), panel("bb", MIA)])
    list(loop.step())
    (batch,) = fake.batches
    assert len(batch["latents"]) == 8
    assert batch["routes"][:, 5:].max() == -1
    assert batch["routes"][:, :4].max() == 4
    assert loop.counts.panel_rows == 4
    assert loop.counts.reference_rows == 1
    assert loop.counts.padding_rows == 3
    assert loop.counts.panel_steps == 2
    assert loop.counts.step_seconds >= loop.counts.engine_seconds > 0


def test_steps_outside_the_guidance_interval_have_no_row_without_prompt() -> None:
    loop, fake = batcher()
    state = panel("a", steps=5)
    state.guidance = TwoRows(3.0, start=0.2, end=0.6)
    loop.add([state])
    list(finish(loop))
    assert [len(batch["latents"]) for batch in fake.batches] == [1, 2, 2, 1, 1]


def test_a_call_that_fails_takes_only_its_own_panels_along() -> None:
    fake = FakeDenoiser()

    def fail_for_large(batch: DenoiserBatch) -> Tensor:
        if batch["latents"].shape[-1] == 8:
            raise MemoryError("no room")
        return fake(batch)

    loop = Batcher(fail_for_large, PROCESS, INFO)
    loop.add([panel("small")])
    broken = loop.add([panel("large", size=(8, 8))])
    list(loop.step())
    with pytest.raises(BatchError) as caught:
        list(loop.step())
    assert caught.value.tickets == (broken,)
    assert isinstance(caught.value.__cause__, MemoryError)
    assert list(finish(loop)) == ["small"]
