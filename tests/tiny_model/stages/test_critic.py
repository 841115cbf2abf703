"""Panels judged by the shipped reader: what a prompt asks for, and what rendered pictures show."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi_tiny.hand.attributes import Scene, random_identity
from lafi_tiny.hand.caption import plain_caption
from lafi_tiny.hand.picture import plain_picture, render
from lafi_tiny.hand.words import ACTION_WORDS, LIGHT_WORDS, PLACE_WORDS, Language
from lafi_tiny.stages.critic import ReaderCritic, wanted

READER = Path(__file__).parents[3] / "tiny_model" / "reader.safetensors"


@pytest.fixture(scope="module")
def critic() -> ReaderCritic:
    return ReaderCritic(READER)


def picture(action: str, scene: Scene, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return render(plain_picture(rng, random_identity(rng), action, scene))


def packed(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def board(prompt: str, **panel: object) -> Storyboard:
    cast = [{"name": name, "prompt": "a child"} for name in ("mia", "tom")]
    return Storyboard.model_validate({"characters": cast, "panels": [{"prompt": prompt, **panel}]})


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_word_of_captions_is_found_again(language: Language) -> None:
    for action in ACTION_WORDS[language]:
        for place in PLACE_WORDS[language]:
            for light in LIGHT_WORDS[language]:
                text = plain_caption(action, Scene(place, light), who="X", language=language)
                assert wanted(text, ACTION_WORDS) == action
                assert wanted(text, PLACE_WORDS) == place
                assert wanted(text, LIGHT_WORDS) == light


def test_what_is_said_twice_or_not_at_all_is_not_judged() -> None:
    assert wanted("waving and running", ACTION_WORDS) == ""
    assert wanted("outstanding", ACTION_WORDS) == ""
    assert wanted("a house", PLACE_WORDS) == ""


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_picture_of_what_is_asked_for_beats_every_other(
    critic: ReaderCritic, language: Language
) -> None:
    asked, other = Scene("beach", "day"), Scene("forest", "night")
    right, wrong = packed(picture("waving", asked)), packed(picture("sitting", other))
    story = board(plain_caption("waving", asked, who="{mia}", language=language))
    good, bad = (critic.judge(story, 0, png, {}) for png in (right, wrong))
    assert (good.score, good.faults) == (1.0, ())
    assert bad.score == 0.0
    assert bad.faults == (
        "mia: sitting in place of waving",
        "place: forest in place of beach",
        "light: night in place of day",
    )
    # A character that is unlike counts beside it.
    assert critic.judge(story, 0, right, {"mia": 0.2}).score == pytest.approx(0.8)
    assert critic.judge(story, 0, right, {"mia": 0.2}).faults == (
        "mia is 0.2 like the picture, wanted 0.6",
    )


def test_several_figures_are_read_where_their_regions_are(critic: ReaderCritic) -> None:
    scene = Scene("meadow", "day")
    both = Image.new("RGB", (128, 128))
    for place, (action, seed) in enumerate((("cheering", 1), ("sitting", 2))):
        both.paste(picture(action, scene, seed).crop((32, 0, 96, 128)), (64 * place, 0))
    said = "{mia} cheering, {tom} sitting, on a meadow by day"
    regions = {"mia": [0, 0, 0.5, 1], "tom": [0.5, 0, 1, 1]}
    assert critic.judge(board(said, regions=regions), 0, packed(both), {}).score == 1.0
    swapped = {"tom": regions["mia"], "mia": regions["tom"]}
    faults = critic.judge(board(said, regions=swapped), 0, packed(both), {}).faults
    assert faults == ("tom: cheering in place of sitting", "mia: sitting in place of cheering")
    # Without regions nobody knows who is where; the scene is read all the same.
    assert critic.judge(board(said), 0, packed(both), {}).faults == ()


def test_what_cannot_be_judged_is_not(critic: ReaderCritic, tmp_path: Path) -> None:
    assert critic.judge(board("a house"), 0, b"", {}).score == math.inf
    wide = packed(Image.new("RGB", (64, 32)))
    with pytest.raises(StoryboardError, match="got 64 x 32 pixels, allowed: square panels"):
        critic.judge(board("{mia} waving"), 0, wide, {})
    (tmp_path / "no.safetensors").write_bytes(b"no")
    with pytest.raises(StoryboardError, match=r"--critic: got .*no\.safetensors, allowed: the"):
        ReaderCritic(tmp_path / "no.safetensors")
