"""Captions say what happens, and mostly not who it is."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_tiny.attributes import IDENTITY_CHOICES, Identity
from lafi_tiny.caption import (
    ACTION_WORDS,
    IDENTITY_NAMES,
    IDENTITY_ZH,
    PLACE_WORDS,
    TIME_WORDS,
    Language,
    describe,
    plain_caption,
    random_caption,
)
from lafi_tiny.dataset import DatasetSpec
from lafi_tiny.picture import KINDS, Kind, Picture, random_picture

quick = settings(max_examples=60, deadline=None)
rngs = st.from_type(np.random.Generator)
identities = st.from_type(Identity)
kinds = st.sampled_from(list(KINDS))
languages = st.sampled_from(["en", "zh"])


def _language(caption: str) -> Language:
    return "zh" if re.search(r"[\u4e00-\u9fff]", caption) else "en"


def _is_description(caption: str, picture: Picture) -> bool:
    identity = picture.figures[0].identity
    return caption == describe(identity, IDENTITY_NAMES, _language(caption))


def _attributes_named(caption: str, identity: Identity) -> int:
    words = set(re.findall(r"[a-z]+", caption))
    values = [getattr(identity, name) for name in IDENTITY_NAMES]
    return sum(v in words or IDENTITY_ZH.get(v, "-") in caption for v in values)


@quick
@given(rngs, kinds)
def test_a_caption_names_every_action_and_scene_or_is_a_description(
    rng: np.random.Generator, kind: Kind
) -> None:
    picture = random_picture(rng, kind)
    caption = random_caption(rng, picture)
    if _is_description(caption, picture):
        assert kind == "single"
        return
    language = _language(caption)
    for figure in picture.figures:
        assert any(w in caption for w in ACTION_WORDS[language][figure.action])
    for scene in picture.scenes:
        assert any(w in caption for w in PLACE_WORDS[language][scene.background])
        assert any(w in caption for w in TIME_WORDS[language][scene.time])


@quick
@given(st.integers(0, 2**32), st.sampled_from(["twins", "strip", "pair"]), identities)
def test_who_is_in_it_never_shows_in_the_caption_of_two_figures(
    seed: int, kind: Kind, other: Identity
) -> None:
    picture = random_picture(np.random.default_rng(seed), kind)
    exchanged = replace(picture, figures=tuple(replace(f, identity=other) for f in picture.figures))
    assert _caption(picture, seed) == _caption(exchanged, seed)


def _caption(picture: Picture, seed: int) -> str:
    return random_caption(np.random.default_rng([seed, 1]), picture)


@quick
@given(st.integers(0, 2**32), st.sampled_from(["twins", "strip", "pair"]))
def test_the_left_figure_comes_first(seed: int, kind: Kind) -> None:
    picture = random_picture(np.random.default_rng(seed), kind)
    caption = _caption(picture, seed)
    language = _language(caption)
    marks = ("left ", ", right ") if language == "en" else (",左边", ",右边")
    left, right = caption.split(marks[0], 1)[1].split(marks[1], 1)
    for said, figure in zip((left, right), picture.figures, strict=True):
        assert any(w in said for w in ACTION_WORDS[language][figure.action])


@quick
@given(identities, st.sets(st.sampled_from(IDENTITY_NAMES)), languages)
def test_a_description_names_what_is_asked_and_nothing_else(
    identity: Identity, names: set[str], language: Language
) -> None:
    text = describe(identity, tuple(names), language)
    for name in names - {"accessory"}:
        value = getattr(identity, name)
        assert (value if language == "en" else IDENTITY_ZH[value]) in text
    unnamed = [n for n in IDENTITY_NAMES if n not in names]
    for name in unnamed:
        for value in IDENTITY_CHOICES[name]:
            changed = replace(identity, **{name: value})
            assert describe(changed, tuple(names), language) == text
    assert "  " not in text


def test_all_eight_attributes_in_words() -> None:
    who = Identity("tan", "red", "long", "blue", "plain", "navy", "scarf", "slim")
    assert describe(who, IDENTITY_NAMES) == (
        "a slim child with tan skin, long red hair, a plain blue top, navy trousers and a scarf"
    )
    assert describe(who, IDENTITY_NAMES, "zh") == (
        "一个瘦的孩子(棕色皮肤、红色长发、纯色蓝色上衣、深蓝裤子、围巾)"
    )
    assert describe(replace(who, accessory="glasses"), ("accessory",)) == "a child with glasses"
    assert describe(replace(who, accessory="none"), ("accessory",)) == "a child"


def test_without_a_generator_the_wording_is_fixed() -> None:
    picture = random_picture(np.random.default_rng(0), "single")
    scene = replace(picture.scenes[0], background="beach", time="night")
    assert plain_caption("running", scene, who="a child") == (
        "a child running on the beach at night"
    )
    assert plain_caption("running", scene, who="孩子", language="zh") == "夜晚,孩子在海滩上奔跑"


def test_most_captions_leave_identity_out_in_two_languages() -> None:
    rng, spec = np.random.default_rng(0), DatasetSpec()
    pictures = [spec.picture(i) for i in range(1500)]
    captions = [random_caption(rng, picture) for picture in pictures]
    named = [
        _attributes_named(c, p.figures[0].identity) for c, p in zip(captions, pictures, strict=True)
    ]
    assert np.mean([n <= 2 for n in named]) >= 0.7
    assert np.mean([n >= 6 for n in named]) >= 0.02
    assert np.mean([_language(c) == "en" for c in captions]) == pytest.approx(0.67, abs=0.05)


def test_eight_in_a_hundred_singles_are_a_description_only() -> None:
    rng = np.random.default_rng(1)
    pictures = [random_picture(rng, "single") for _ in range(1500)]
    share = np.mean([_is_description(random_caption(rng, p), p) for p in pictures])
    assert share == pytest.approx(0.08, abs=0.025)
