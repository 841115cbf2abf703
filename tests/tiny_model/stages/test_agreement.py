"""Agreement counts what can be seen; intervals contain their means."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi_tiny.hand.attributes import (
    IDENTITY_NAMES,
    Identity,
    is_held_out_identity,
    is_held_out_setting,
    with_attribute,
)
from lafi_tiny.hand.pose import ANGLES
from lafi_tiny.stages.agreement import agreements, figures_agree, held_out_wanted, match, strangers
from lafi_tiny.stages.intervals import mean_interval, share_interval
from lafi_tiny.stages.reader import Reading

WHO = Identity("tan", "red", "short", "blue", "striped", "shorts", "navy", "none", "slim")


def reading(who: Identity = WHO, view: str = "front", framing: str = "medium") -> Reading:
    names = {name: getattr(who, name) for name in IDENTITY_NAMES}
    names |= {"view": view, "framing": framing}
    return Reading(names, dict.fromkeys(ANGLES, 0.0))


def test_a_hidden_attribute_is_not_counted() -> None:
    capped = with_attribute(WHO, "accessory", "cap")
    other = with_attribute(capped, "hairstyle", "bun")
    assert figures_agree(reading(capped), reading(other)) == 1.0
    assert figures_agree(reading(), reading(with_attribute(WHO, "hairstyle", "bun"))) == 8 / 9


def test_a_figure_agrees_with_itself_from_any_view() -> None:
    views = [reading(view=view) for view in ("front", "side", "back")]
    assert agreements(views, views[::-1]) == [1.0, 1.0, 1.0]


def test_a_match_is_of_the_named_attributes() -> None:
    other = with_attribute(WHO, "top", "red")
    assert match(reading(), other, ("top", "skin")) == 0.5
    with pytest.raises(ValueError, match="names: got none"):
        match(reading(), other, ())


def test_strangers_are_the_figures_of_other_pictures() -> None:
    other = with_attribute(WHO, "top", "red")
    assert strangers([reading(), reading(other)], [reading(), reading(other)]) == [8 / 9, 8 / 9]
    with pytest.raises(ValueError, match="pictures: got 1, allowed: at least 2"):
        strangers([reading()], [reading()])


@given(st.integers(1, 8), st.integers(0, 2**31))
def test_everything_asked_for_is_held_out(count: int, seed: int) -> None:
    wanted = held_out_wanted(count, seed)
    assert len(wanted) == count
    assert all(is_held_out_identity(w.identity) for w in wanted)
    assert all(is_held_out_setting(w.action, w.scene) for w in wanted)
    assert wanted == held_out_wanted(count + 1, seed)[:count]


def test_what_is_wanted_says_what_can_be_seen() -> None:
    for wanted in held_out_wanted(30, 0):
        short = wanted.identity.hairstyle in ("short", "bun", "spiky")
        capped = wanted.identity.accessory == "cap"
        assert ("hairstyle" in wanted.visible) == (not (short and capped))


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_share_intervals_contain_the_share(hits: list[bool]) -> None:
    found = share_interval(hits)
    assert 0 <= found["low"] <= found["mean"] + 1e-9
    assert found["mean"] <= found["high"] + 1e-9 <= 1 + 2e-9


@given(st.lists(st.floats(0, 1), min_size=2, max_size=60))
def test_mean_intervals_contain_the_mean(values: list[float]) -> None:
    found = mean_interval(values)
    assert found["low"] - 1e-9 <= np.mean(values) <= found["high"] + 1e-9


def test_intervals_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="hits: got none"):
        share_interval([])
    with pytest.raises(ValueError, match="values: got none"):
        mean_interval([])
