"""The bank never holds more than it may, lets the oldest go first, and counts what it did."""

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lafi.conditioning.prompts import PLAIN
from lafi.denoising.bank import Bank, BankKey, BankStats
from lafi.ports.bank_entry import BankEntry, split_bank, stack_bank

KEY = BankKey("ab" * 32, "a girl", PLAIN, 100.0, (8, 8), "cd" * 32)
FLOAT = 4
BOUND = 40 * FLOAT


def key(number: int) -> BankKey:
    return replace(KEY, timestep=float(number))


def entry_of(floats: int) -> BankEntry:
    """An entry of this many float32 numbers, 2 of them its mask; of at least 4."""
    rest = floats - 2
    keys, values = torch.zeros(1, 1, rest // 2), torch.zeros(1, 1, rest - rest // 2)
    return BankEntry((keys,), (values,), torch.zeros(1, 2))


def random_entry(seed: int, size: tuple[int, int] = (2, 4)) -> BankEntry:
    """Two groups: 3 layers of 8 tokens and width 6, and 1 layer of 2 tokens and width 4."""
    gen = torch.Generator().manual_seed(seed)
    shapes = ((3, 8, 6), (1, 2, 4))
    keys = tuple(torch.randn(shape, generator=gen) for shape in shapes)
    values = tuple(torch.randn(shape, generator=gen) for shape in shapes)
    return BankEntry(keys, values, torch.rand(size, generator=gen))


class BankMachine(RuleBasedStateMachine):
    """Against a plain ordered dictionary, whose first entry is the one used longest ago."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = Bank(BOUND)
        self.model: OrderedDict[BankKey, BankEntry] = OrderedDict()
        self.hits = self.misses = self.evictions = 0

    @rule(number=st.integers(0, 5), floats=st.integers(4, 50))
    def put(self, number: int, floats: int) -> None:
        entry = entry_of(floats)
        kept = self.bank.put(key(number), entry)
        assert kept == (entry.nbytes <= BOUND)
        if not kept:
            return
        self.model.pop(key(number), None)
        self.model[key(number)] = entry
        while sum(e.nbytes for e in self.model.values()) > BOUND:
            self.model.popitem(last=False)
            self.evictions += 1

    @rule(number=st.integers(0, 6))
    def get(self, number: int) -> None:
        expected = self.model.get(key(number))
        assert self.bank.get(key(number)) is expected
        if expected is None:
            self.misses += 1
        else:
            self.hits += 1
            self.model.move_to_end(key(number))

    @invariant()
    def holds_what_the_dictionary_holds(self) -> None:
        held = sum(e.nbytes for e in self.model.values())
        expected = BankStats(len(self.model), held, self.hits, self.misses, self.evictions)
        assert self.bank.stats() == expected
        assert held <= BOUND


TestBankMachine = BankMachine.TestCase
TestBankMachine.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


def test_an_entry_that_is_read_outlives_the_bank() -> None:
    bank = Bank(BOUND)
    bank.put(key(0), random := entry_of(30))
    read = bank.get(key(0))
    bank.put(key(1), entry_of(30))
    assert bank.get(key(0)) is None
    assert read is random
    assert read.mask.tolist() == [[0.0, 0.0]]


def test_an_entry_larger_than_the_bank_is_refused_and_others_stay() -> None:
    bank = Bank(BOUND)
    assert bank.put(key(0), entry_of(40))
    assert not bank.put(key(0), entry_of(41))
    assert bank.stats() == (1, BOUND, 0, 0, 0)
    assert not Bank(0).put(key(0), entry_of(4))


def test_a_bound_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="max_bytes: got -1, allowed 0 or more"):
        Bank(-1)


@pytest.mark.parametrize("field", [field.name for field in fields(BankKey)])
def test_every_part_of_a_key_tells_entries_apart(field: str) -> None:
    others: dict[str, Any] = {"timestep": 101.0, "size": (8, 16)}
    other = others.get(field, "other")
    assert replace(KEY, **{field: other}) != KEY
    assert hash(replace(KEY)) == hash(KEY)


def test_threads_may_share_a_bank() -> None:
    bank = Bank(BOUND)

    def use(seed: int) -> int:
        for i in range(300):
            if bank.get(key((seed * 7 + i) % 6)) is None:
                bank.put(key((seed * 7 + i) % 6), entry_of(4 + i % 20))
        return 300

    with ThreadPoolExecutor(4) as pool:
        asked = sum(pool.map(use, range(4)))
    stats = bank.stats()
    assert stats.hits + stats.misses == asked
    assert 0 < stats.bytes <= BOUND


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4))
def test_packing_and_taking_apart_give_the_entries_back(count: int) -> None:
    entries = [random_entry(seed) for seed in range(count)]
    packed = stack_bank(entries)
    assert packed.entries == count
    assert [tuple(k.shape) for k in packed.keys] == [(3, count, 8, 6), (1, count, 2, 4)]
    for entry, again in zip(entries, split_bank(packed), strict=True):
        for got, wanted in zip(again.keys + again.values, entry.keys + entry.values, strict=True):
            assert torch.equal(got, wanted)
        assert torch.equal(again.mask, entry.mask)
        assert again.nbytes == entry.nbytes == FLOAT * (2 * (3 * 8 * 6 + 2 * 4) + 8)


def test_a_single_entry_is_packed_without_a_copy() -> None:
    entry = random_entry(0)
    assert stack_bank([entry]).keys[0].data_ptr() == entry.keys[0].data_ptr()


def test_an_entry_of_many_holds_no_memory_of_the_others() -> None:
    entries = split_bank(stack_bank([random_entry(0), random_entry(1)]))
    tensors = [t for entry in entries for t in (*entry.keys, *entry.values, entry.mask)]
    assert all(t.untyped_storage().nbytes() == t.nbytes for t in tensors)


def test_entries_that_do_not_fit_together_are_named() -> None:
    first, other = random_entry(0), random_entry(1, size=(4, 4))
    with pytest.raises(ValueError, match=r"entries\[1\]\.mask: got \(4, 4\), allowed \(2, 4\)"):
        stack_bank([first, other])
    with pytest.raises(ValueError, match=r"entries\[1\]\.keys: got .* as in entries\[0\]"):
        stack_bank([first, replace(first, keys=first.keys[:1])])
    with pytest.raises(ValueError, match="entries: got none, allowed 1 or more"):
        stack_bank([])
