"""Reference pictures."""

import io

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lafi_tiny.attributes import Identity
from lafi_tiny.reference_sheet import reference_png

identities = st.from_type(Identity)


@settings(max_examples=6, deadline=None)
@given(identities, identities, st.integers(0, 1000), st.sampled_from([64, 96]))
def test_a_reference_is_a_function_of_who_and_seed(
    who: Identity, other: Identity, seed: int, side: int
) -> None:
    data = reference_png(who, side=side, seed=seed)
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (side, side))
    assert data == reference_png(who, side=side, seed=seed)
    assert (data == reference_png(other, side=side, seed=seed)) == (who == other)


def test_seeds_face_left_and_right() -> None:
    who = Identity("pale", "red", "long", "blue", "striped", "cream", "scarf", "stout")
    assert len({reference_png(who, seed=seed) for seed in range(4)}) == 4
