"""Who is nearest to a picture, among those who are enrolled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embeddings import WIDTH, embedding, pictures
from lafi.identity.enrolments import Enrolments


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(("mia", "tom", "ann", "mia_2")),
        st.tuples(st.sets(st.integers(0, 30), min_size=1, max_size=3), st.booleans()),
        min_size=1,
    ),
    st.floats(0, 1),
)
def test_a_described_character_is_scored_by_pictures_and_description(
    cast: dict[str, tuple[set[int], bool]], weight: float
) -> None:
    state = Enrolments((), np.zeros((0, WIDTH), np.float32))
    probe = embedding(77)
    expected = {}
    for place, (name, (seeds, described)) in enumerate(cast.items()):
        shown, description = pictures(*(100 * place + s for s in seeds)), embedding(100 + place)
        state = state.with_pictures(name, shown, description if described else None)
        expected[name] = max(
            float(row @ probe + described * weight * (probe - row) @ description)
            for row in shown.values()
        )
    match = state.nearest(probe, weight)
    # Scores end at 1, so of those above it any may be the best.
    expected = {name: min(score, 1.0) for name, score in expected.items()}
    best = max(expected.values())
    assert match.score == pytest.approx(max(best, -1.0), abs=1e-5)
    assert expected[match.character] == pytest.approx(best, abs=1e-5)
    plain = max(float(row @ probe) for row in state.embeddings)
    assert state.nearest(probe).score == pytest.approx(plain, abs=1e-6)
    for (name, _), row in zip(state.pictures, state.embeddings, strict=True):
        own = Enrolments(((name, "00"),), row.reshape(1, -1), dict(state.descriptions))
        assert own.nearest(row, weight).score == pytest.approx(1.0, abs=1e-5)
