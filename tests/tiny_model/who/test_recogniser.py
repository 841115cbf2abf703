"""The recogniser's networks and the labels that they are trained with."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_tiny.hand.attributes import IDENTITY_CHOICES, Identity, with_attribute
from lafi_tiny.hand.picture import random_picture
from lafi_tiny.hand.visibility import visible_attributes
from lafi_tiny.training import save_half
from lafi_tiny.who.recogniser import (
    EMBEDDING_WIDTH,
    HIDDEN,
    SIDE,
    AttributePrototypes,
    Recogniser,
    build_recogniser,
    labels_of,
    load_recogniser,
    looks,
    shows_everything,
)


@pytest.fixture(scope="module", params=["teacher", "student"])
def network(request: pytest.FixtureRequest) -> Recogniser:
    """Random weights, and batch norms that have seen pictures."""
    torch.manual_seed(0)
    network = build_recogniser(request.param).train()
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.rand(16, 3, SIDE, SIDE) * 2 - 1)
    return network.eval()


@torch.inference_mode()
def test_embeddings_have_unit_length_whatever_the_picture(network: Recogniser) -> None:
    images = torch.cat([torch.rand(3, 3, SIDE, SIDE) * 2 - 1, torch.zeros(1, 3, SIDE, SIDE)])
    embeddings = network(images)
    assert embeddings.shape == (4, EMBEDDING_WIDTH)
    assert embeddings.dtype == torch.float32
    assert embeddings.norm(dim=1) == pytest.approx(1, abs=1e-5)


@torch.inference_mode()
def test_an_embedding_does_not_depend_on_the_batch(network: Recogniser) -> None:
    images = torch.rand(5, 3, SIDE, SIDE) * 2 - 1
    together = network(images)
    alone = torch.cat([network(image[None]) for image in images])
    assert (together - alone).abs().max() <= 1e-4


def test_weights_come_back_as_float16_rounds_them(tmp_path: Path) -> None:
    student = build_recogniser("student")
    save_half(student, tmp_path / "student.safetensors")
    loaded = load_recogniser("student", tmp_path / "student.safetensors")
    for name, value in student.state_dict().items():
        expected = value.half().float() if value.is_floating_point() else value
        assert torch.equal(loaded.state_dict()[name], expected)
    assert not loaded.training


@given(st.integers(0, 2**31))
def test_labels_name_every_attribute_that_can_be_seen(seed: int) -> None:
    picture = random_picture(np.random.default_rng(seed), "single")
    seen, who = visible_attributes(picture, picture.figures[0]), picture.figures[0].identity
    for (name, values), label in zip(IDENTITY_CHOICES.items(), labels_of(picture), strict=True):
        assert (label == HIDDEN) == (name not in seen)
        assert label == HIDDEN or values[label] == getattr(who, name)


@given(st.from_type(Identity), st.sampled_from(IDENTITY_CHOICES["hair"]))
def test_hair_counts_unless_a_cap_hides_all_of_it(identity: Identity, hair: str) -> None:
    other = with_attribute(identity, "hair", hair)
    same = looks(other) == looks(identity)
    assert same == ("hair" not in looks(identity) or hair == identity.hair)
    assert shows_everything(identity) == ("hairstyle" in looks(identity))


any_labels = st.tuples(
    *(st.sampled_from([HIDDEN, *range(len(values))]) for values in IDENTITY_CHOICES.values())
)


@settings(max_examples=20, deadline=None)
@given(st.lists(any_labels.filter(lambda row: set(row) != {HIDDEN}), min_size=1, max_size=4))
def test_a_prototype_is_unit_and_hidden_attributes_add_nothing(
    rows: list[tuple[int, ...]],
) -> None:
    prototypes = AttributePrototypes()
    composed = prototypes.compose(torch.tensor(rows))
    assert composed.norm(dim=1).tolist() == pytest.approx([1.0] * len(rows), abs=1e-5)
    for row, unit in zip(rows, composed, strict=True):
        said = [
            torch.nn.functional.normalize(prototypes.directions[name][index], dim=0)
            for name, index in zip(IDENTITY_CHOICES, row, strict=True)
            if index != HIDDEN
        ]
        total = torch.stack(said).sum(0)
        assert torch.allclose(unit, total / total.norm(), atol=1e-5)
    cosines = prototypes.cosines(composed)
    assert {k: v.shape[1] for k, v in cosines.items()} == {
        k: len(v) for k, v in IDENTITY_CHOICES.items()
    }
