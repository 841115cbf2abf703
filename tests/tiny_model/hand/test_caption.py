"""Captions say what the picture shows, and leave looks out half of the time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_tiny.hand.attributes import (
    ACCESSORY,
    ACTIONS,
    BOTTOM,
    HAIR,
    HAIRSTYLE,
    LIGHTS,
    PATTERN,
    PLACES,
    PROPS,
    TOP,
    Identity,
    Scene,
)
from lafi_tiny.hand.caption import plain_caption, random_caption
from lafi_tiny.hand.looks import describe
from lafi_tiny.hand.picture import KINDS, Picture, random_picture
from lafi_tiny.hand.visibility import visible_attributes
from lafi_tiny.hand.words import ACTION_WORDS, LIGHT_WORDS, LOOKS_EN, PLACE_WORDS

WHO = Identity("pale", "red", "long", "blue", "plain", "skirt", "navy", "glasses", "slim")
TELLING = {
    "hairstyle": {"bun": "bun", "spiky": "spiky", "curly": "curl", "pigtails": "pigtails"},
    "accessory": {"cap": "cap", "scarf": "scarf", "glasses": "glasses", "crown": "crown"},
    "pattern": {"striped": "striped", "dotted": "dotted", "plain": "plain"},
}
"""English words that are said of one value only."""
seeds = st.integers(0, 2**32 - 1)


def captioned(seed: int, kind: str) -> tuple[Picture, str]:
    rng = np.random.default_rng(seed)
    picture = random_picture(rng, kind)
    return picture, random_caption(rng, picture)


def english(count: int, kind: str) -> list[tuple[Picture, str]]:
    pairs = [captioned(seed, kind) for seed in range(count)]
    return [(p, c) for p, c in pairs if c.isascii()]


@settings(max_examples=60)
@given(seeds, st.sampled_from(sorted(KINDS)))
def test_looks_that_are_said_are_shown(seed: int, kind: str) -> None:
    picture, caption = captioned(seed, kind)
    words = set(caption.replace(",", " ").split())
    for name, values in TELLING.items():
        for value, word in values.items():
            if any(w.startswith(word) for w in words):
                assert any(
                    getattr(f.identity, name) == value and name in visible_attributes(picture, f)
                    for f in picture.figures
                )


@settings(max_examples=60)
@given(seeds, st.sampled_from(["pair", "trio", "twins"]))
def test_of_several_figures_each_one_and_its_action_is_said(seed: int, kind: str) -> None:
    picture, caption = captioned(seed, kind)
    english = caption.isascii()
    places = ("left", "middle", "right") if english else ("左边", "中间", "右边")
    said = [place for place in places if place in caption]
    assert len(said) == len(picture.figures)
    words = ACTION_WORDS["en" if english else "zh"]
    for figure in picture.figures:
        assert any(word in caption for word in words[figure.action])


def test_pairs_say_who_is_on_which_side() -> None:
    for seed in range(300):
        picture, caption = captioned(seed, "pair")
        if not caption.isascii() or "on the left" not in caption:
            continue
        left, right = caption.split(" on the left and ", 1)
        for text, figure in ((left, picture.figures[0]), (right, picture.figures[1])):
            said = [a for a in ACCESSORY[1:] if a in text]
            assert all(a == figure.identity.accessory for a in said)


def test_about_half_of_single_figures_are_described() -> None:
    rows = english(1500, "single")
    looks = ("hair", "pigtails", "bun", "curls", "skin", " top", "shirt", "sweater", "trousers")
    looks += ("pants", "shorts", "skirt", "bottoms", "cap", "scarf", "glasses", "crown")
    looks += ("slim", "thin", "stout", "chubby", "accessories")
    share = np.mean([any(word in caption for word in looks) for _, caption in rows])
    assert share == pytest.approx(0.54, abs=0.05)


def test_one_in_three_captions_is_chinese() -> None:
    captions = [captioned(seed, "single")[1] for seed in range(800)]
    assert np.mean([not c.isascii() for c in captions]) == pytest.approx(0.33, abs=0.06)


def test_what_is_unusual_is_mostly_said_and_what_is_usual_is_not() -> None:
    rows = english(3000, "single")
    behind = [("behind" in c or "the back" in c) for p, c in rows if p.figures[0].view == "back"]
    front = [
        ("the front" in c or "facing us" in c) for p, c in rows if p.figures[0].view == "front"
    ]
    assert np.mean(behind) == pytest.approx(0.8, abs=0.07)
    assert np.mean(front) == pytest.approx(0.16, abs=0.05)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_setting_has_its_plain_words(language: str) -> None:
    said = {
        plain_caption(action, Scene(place, light), who="x", language=language)  # type: ignore[arg-type]
        for action in ACTIONS
        for place in PLACES
        for light in LIGHTS
    }
    assert len(said) == len(ACTIONS) * len(PLACES) * len(LIGHTS)


def test_a_plain_caption_and_a_description() -> None:
    scene = Scene("beach", "sunset")
    who = describe(WHO, ("top", "hair", "hairstyle", "build", "accessory"))
    assert who == "a slim child with long red hair, in a blue top and glasses"
    assert plain_caption("running", scene, who=who) == f"{who} running on the beach at sunset"
    assert describe(WHO, ()) == "a child"
    assert describe(WHO, (), mood="angry") == "an angry child"
    assert describe(WHO, ("top", "pattern"), "zh") == "一个穿蓝色纯色上衣的孩子"


def test_full_descriptions_name_every_value() -> None:
    text = describe(WHO)
    for words in ("slim", "pale skin", "long red hair", "plain blue top", "navy skirt", "glasses"):
        assert words in text


def test_all_values_have_words() -> None:
    for name, values in (("hairstyle", HAIRSTYLE), ("pattern", PATTERN), ("accessory", ACCESSORY)):
        assert set(LOOKS_EN[name]) == set(values)
    assert {*HAIR, *TOP, *BOTTOM, *PROPS}
    assert set(PLACE_WORDS["en"]) == set(PLACE_WORDS["zh"]) == set(PLACES)
    assert set(LIGHT_WORDS["en"]) == set(LIGHT_WORDS["zh"]) == set(LIGHTS)


def test_nobody_in_a_skirt_is_called_a_boy() -> None:
    rng = np.random.default_rng(0)
    assert all("boy" not in describe(WHO, ("top",), rng=rng) for _ in range(100))
    trousers = replace(WHO, garment="trousers")
    assert any("boy" in describe(trousers, ("top",), rng=rng) for _ in range(100))
