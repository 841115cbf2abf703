"""Reference pictures."""

import io

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lafi_tiny.hand.attributes import Identity
from lafi_tiny.hand.reference_sheet import reference_png
from lafi_tiny.hand.visibility import visible_looks

identities = st.from_type(Identity)


@settings(max_examples=6, deadline=None)
@given(identities, identities, st.integers(0, 1000), st.sampled_from([64, 128]))
def test_a_reference_is_a_function_of_who_and_seed(
    who: Identity, other: Identity, seed: int, side: int
) -> None:
    data = reference_png(who, side=side, seed=seed)
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (side, side))
    assert data == reference_png(who, side=side, seed=seed)
    same = {name: getattr(who, name) for name in visible_looks(who, "front", "medium")}
    other_looks = {n: getattr(other, n) for n in visible_looks(other, "front", "medium")}
    assert (data == reference_png(other, side=side, seed=seed)) == (same == other_looks)


def test_seeds_face_left_and_right() -> None:
    who = Identity("pale", "red", "long", "blue", "dotted", "skirt", "cream", "scarf", "stout")
    assert len({reference_png(who, seed=seed) for seed in range(4)}) == 4
