"""Sets of layers from what each does alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.model.probe_report import ProbeError, ProbeReport, ProbeSettings, chosen_sets

SETTINGS = ProbeSettings(
    weights_sha256="0" * 64,
    storyboard_sha256="1" * 64,
    steps=1,
    guidance=1.0,
    width=8,
    height=8,
)
GAINS = st.lists(
    st.tuples(st.floats(-1, 1, width=16), st.floats(-1, 1, width=16)), min_size=1, max_size=12
)


@given(GAINS)
def test_texture_is_within_balanced_is_within_all(gains: list[tuple[float, float]]) -> None:
    texture, layout = zip(*gains, strict=True)
    sets = chosen_sets(texture, layout)
    assert set(sets["texture"]) <= set(sets["balanced"]) <= set(sets["all"])
    assert sets["all"] == tuple(range(len(gains)))
    assert all(texture[index] > 0 for index in sets["balanced"])


@given(GAINS)
def test_the_scale_of_a_gain_does_not_matter(
    gains: list[tuple[float, float]],
) -> None:
    texture, layout = ([int(8 * gain) for gain in each] for each in zip(*gains, strict=True))
    doubled = chosen_sets([4.0 * gain for gain in texture], [2.0 * gain for gain in layout])
    assert doubled == chosen_sets(texture, layout)


def test_what_moves_layout_alone_is_left_out() -> None:
    sets = chosen_sets([0.5, 0.3, 0.0, 0.2], [0.0, 0.45, 0.55, 0.0])
    assert sets == {"texture": (0, 3), "balanced": (0, 1, 3), "all": (0, 1, 2, 3)}


def test_an_unfinished_probe_has_no_presets() -> None:
    report = ProbeReport(settings=SETTINGS, count=2)
    assert not report.finished
    with pytest.raises(ProbeError, match="got 0 of 2 layers, allowed all"):
        report.presets()
