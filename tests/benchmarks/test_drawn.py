"""Pairs of the bundled model's data set: always the same, and what they say of themselves."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from benchmarks.evaluation.drawn import TARGETS, TRUTHS, drawn_groups, drawn_reader
from benchmarks.evaluation.pairs import Group, load_named
from lafi_tiny.hand.attributes import (
    IDENTITY_CHOICES,
    Identity,
    Scene,
    is_held_out_identity,
    is_held_out_setting,
)


@pytest.fixture(scope="module")
def groups() -> list[Group]:
    return list(drawn_groups(0, 12, seed=3, side=128))


def test_a_group_does_not_depend_on_the_others(groups: list[Group]) -> None:
    assert drawn_groups(5, 1, seed=3, side=128)[0].digest == groups[5].digest
    assert len({group.digest for group in groups}) == len(groups)
    assert drawn_groups(5, 1, seed=4, side=128)[0].digest != groups[5].digest


def test_everything_is_held_out(groups: list[Group]) -> None:
    for group in groups:
        seen = group.reference.shown.identity
        complete = {name: seen.get(name, choices[0]) for name, choices in IDENTITY_CHOICES.items()}
        hidden = set(IDENTITY_CHOICES) - set(seen)
        assert hidden <= {"hair", "hairstyle"}
        assert hidden or is_held_out_identity(Identity(**complete))
        for shown in (group.reference.shown, *(target.shown for target in group.targets)):
            assert shown.identity == group.reference.shown.identity
            assert is_held_out_setting(shown.action, Scene(shown.background, shown.time))
        assert len(group.targets) == TARGETS
        assert all(len(target.truth) == TRUTHS for target in group.targets)


def test_every_panel_has_a_seed_of_its_own(groups: list[Group]) -> None:
    seeds = [target.seed for group in groups for target in group.targets]
    assert len(set(seeds)) == len(seeds)


def test_prompts_leave_the_looks_out_and_descriptions_give_them(groups: list[Group]) -> None:
    for group in groups:
        identity = group.reference.shown.identity
        assert identity["top"] in group.description
        assert identity["top"] not in group.caption
        assert all("{who}" in target.prompt for target in group.targets)


def test_the_mask_is_the_figure_and_the_colours_are_the_same(groups: list[Group]) -> None:
    for group in groups:
        assert group.reference.masked_png is not None
        opaque = np.asarray(Image.open(io.BytesIO(group.reference.png)))
        masked = np.asarray(Image.open(io.BytesIO(group.reference.masked_png)))
        assert (masked[..., :3] == opaque).all()
        assert 0.05 < (masked[..., 3] > 128).mean() < 0.6
        assert (masked[[0, 0, -1, -1], [0, -1, 0, -1], 3] == 0).all()


def test_the_digest_tells_what_decides_pixels(groups: list[Group]) -> None:
    first, second = groups[:2]
    moved = replace(first.targets[0], seed=1)
    others = (
        replace(first, caption="a kid"),
        replace(first, description="somebody"),
        replace(first, reference=second.reference),
        replace(first, second=None),
        replace(first, targets=(moved, *first.targets[1:])),
    )
    assert len({first.digest, *(other.digest for other in others)}) == len(others) + 1


def test_the_reader_sees_real_pictures_as_they_are(groups: list[Group]) -> None:
    pictures = np.stack([target.truth[0] for group in groups for target in group.targets])
    wanted = [target.shown for group in groups for target in group.targets]
    pairs = list(zip(drawn_reader().read(pictures), wanted, strict=True))
    assert np.mean([read.background == asked.background for read, asked in pairs]) > 0.9
    assert np.mean([read.action == asked.action for read, asked in pairs]) > 0.8
    assert all(len(read.angles) == len(asked.angles) for read, asked in pairs)


def test_a_name_that_is_not_there_is_refused() -> None:
    assert load_named("benchmarks.evaluation.drawn:drawn_reader") is drawn_reader
    with pytest.raises(ValueError, match="name: got 'reader', allowed module:attribute"):
        load_named("reader")
    with pytest.raises(ValueError, match="name: got 'no_such:thing', allowed an importable one"):
        load_named("no_such:thing")
    with pytest.raises(ValueError, match="name: got 'json:thing', allowed an importable one"):
        load_named("json:thing")
