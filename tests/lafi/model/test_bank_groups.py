"""Layers of one shape are packed together, in the order of their first member."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.model.bank_groups import bank_groups, bank_places, bank_shapes, bank_tensor_names
from lafi.model.info import AttentionSite


def layer(downscale: int, width: int) -> AttentionSite:
    return AttentionSite(name="a", block="mid", heads=1, width=width, downscale=downscale)


# Self-attention layers of SDXL: (downscale, width) of each run.
SDXL = [layer(2, 640)] * 4 + [layer(4, 1280)] * 60 + [layer(2, 640)] * 6


def test_the_seventy_layers_of_sdxl_are_four_tensors() -> None:
    groups = bank_groups(SDXL)
    assert list(bank_tensor_names(groups)) == [
        "bank_k_2_640",
        "bank_v_2_640",
        "bank_k_4_1280",
        "bank_v_4_1280",
    ]
    assert bank_shapes(groups, 3, (128, 128)) == {
        "bank_mask": (3, 128, 128),
        "bank_k_2_640": (10, 3, 4096, 640),
        "bank_v_2_640": (10, 3, 4096, 640),
        "bank_k_4_1280": (60, 3, 1024, 1280),
        "bank_v_4_1280": (60, 3, 1024, 1280),
    }


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 2, 4]), st.sampled_from([16, 32])), min_size=1))
def test_every_layer_has_one_place(shapes: list[tuple[int, int]]) -> None:
    groups = bank_groups([layer(*shape) for shape in shapes])
    places = bank_places(groups)
    assert sorted(places) == list(range(len(shapes)))
    for index, (group, place) in places.items():
        assert groups[group].layers[place] == index
        assert (groups[group].downscale, groups[group].width) == shapes[index]
    assert len(set(bank_tensor_names(groups))) == 2 * len(groups)


@pytest.mark.parametrize(
    ("size", "tokens"), [((8, 12), 96), ((7, 9), 63), ((8, 8), 64), ((1, 1), 1)]
)
def test_tokens_cover_the_latent(size: tuple[int, int], tokens: int) -> None:
    assert bank_groups([layer(1, 16)])[0].tokens(size) == tokens
    height, width = size
    expected = ((height + 3) // 4) * ((width + 3) // 4)
    assert bank_groups([layer(4, 16)])[0].tokens(size) == expected
