"""Laws of what control adapters add to a panel's rows."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lafi.conditioning.control_adapters import NO_FEATURES, ControlFeatures, PanelFeatures

STEPS = 10


def adapter(
    value: float,
    *,
    strength: float = 1.0,
    window: tuple[float, float] = (0.0, 1.0),
    places: int = 2,
) -> PanelFeatures:
    features = {f"control_feature_{i}": torch.full((2, 3, 3), value) for i in range(places)}
    return PanelFeatures(features, strength, *window)


def both(given: ControlFeatures, step: int) -> dict[str, torch.Tensor]:
    """Ports at a step, which are the same in both rows."""
    rows = [given.ports(step, STEPS, conditional=conditional) for conditional in (True, False)]
    assert {*rows[0]} == {*rows[1]}
    assert all(torch.equal(rows[0][name], rows[1][name]) for name in rows[0])
    return dict(rows[0])


windows = st.tuples(st.integers(0, STEPS), st.integers(0, STEPS)).map(
    lambda pair: (min(pair) / STEPS, max(pair) / STEPS)
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(-8, 8), windows, st.integers(1, 3)), max_size=3),
    st.integers(0, STEPS - 1),
)
def test_a_row_has_the_sum_of_what_each_adds_alone(
    several: list[tuple[int, tuple[float, float], int]], step: int
) -> None:
    """Where one has fewer places than another, too."""
    adapters = [adapter(v, window=window, places=places) for v, window, places in several]
    together = both(ControlFeatures(tuple(adapters)), step)
    alone = [both(ControlFeatures((one,)), step) for one in adapters]
    assert {*together} == {name for ports in alone for name in ports}
    for name, value in together.items():
        assert torch.equal(value, sum(ports[name] for ports in alone if name in ports))


def test_nothing_is_nothing() -> None:
    off = ControlFeatures((adapter(1.0, strength=0.0), adapter(1.0, window=(0.5, 1.0))))
    assert both(NO_FEATURES, 0) == both(off, 0) == {}
    assert off.acting(0, STEPS) == ()


@pytest.mark.parametrize(
    ("window", "acting"), [((0.0, 1.0), range(10)), ((0.2, 0.75), range(2, 7)), ((0.5, 0.55), ())]
)
def test_a_window_holds_whole_steps(window: tuple[float, float], acting: object) -> None:
    one = ControlFeatures((adapter(1.0, window=window),))
    assert [step for step in range(STEPS) if both(one, step)] == [*acting]  # type: ignore[misc]


def test_the_given_features_stay_as_they_are() -> None:
    """Panels, stages and retries share them."""
    one, other = adapter(1.0), adapter(2.0)
    both(ControlFeatures((one, other)), 0)
    assert all(bool((value == 1.0).all()) for value in one.features.values())
