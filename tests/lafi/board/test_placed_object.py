"""Words of a prompt that are placed, and what is refused of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.board.error import StoryboardError
from lafi.board.placed_object import occurrences
from lafi.board.storyboard import Panel, Storyboard

BOX = (0.0, 0.0, 0.5, 0.5)


def board(panel: dict[str, Any], **settings: Any) -> Storyboard:
    characters = [{"name": name, "prompt": "a red kite"} for name in ("mia", "tom", "kite")]
    given = {"characters": characters, **settings, "panels": [panel]}
    return Storyboard.model_validate(given, context=None)


def kite(words: str = "a red kite") -> dict[str, Any]:
    return {"words": words, "box": BOX}


def test_a_panel_says_where_its_words_are() -> None:
    (panel,) = board({"prompt": "{mia} and a red kite", "objects": [kite()]}).panels
    assert panel.objects[0].words == "a red kite"
    assert panel.objects[0].box == BOX


@given(st.text(st.sampled_from("ab {}猫 "), max_size=12), st.sampled_from(["a", "b a", "猫", "ab"]))
def test_words_are_found_where_they_stand(prompt: str, words: str) -> None:
    found = occurrences(words, prompt)
    assert all(prompt[start:].startswith(words) for start in found)
    assert found == sorted({*found})


@pytest.mark.parametrize(
    ("prompt", "words", "places"),
    [
        ("a kite and kites", "kite", [2]),
        ("the kite, a kite", "kite", [4, 12]),
        ("{kite} flies", "kite", []),
        ("一只红风筝和猫", "红风筝", [2]),
        ("kite_2", "kite", []),
        ("a café, a caf", "caf", [10]),
        ("который день кот", "кот", [13]),
        ("一只kite和kites", "kite", [2]),
        ("(a red kite:1.3)", "a red kite", [1]),
    ],
)
def test_a_word_is_a_whole_word_outside_of_braces(
    prompt: str, words: str, places: list[int]
) -> None:
    assert occurrences(words, prompt) == places


OTHERS = "words that panels[0].prompt has once; it has them"


@pytest.mark.parametrize(
    ("panel", "error"),
    [
        (
            {"prompt": "a beach", "objects": [kite()]},
            f"panels[0].objects[0].words: got 'a red kite', allowed: {OTHERS} 0 times",
        ),
        (
            {"prompt": "a dog, a dog", "objects": [kite("a dog")]},
            f"panels[0].objects[0].words: got 'a dog', allowed: {OTHERS} 2 times",
        ),
        (
            {"prompt": "{kite}", "objects": [kite("kite")]},
            f"panels[0].objects[0].words: got 'kite', allowed: {OTHERS} 0 times",
        ),
        (
            {"prompt": "a red kite", "objects": [kite(), kite("red")]},
            "panels[0].objects[1].words: got 'red', allowed: words that panels[0].objects[0] does "
            "not place",
        ),
        (
            {
                "prompt": "a b c",
                "objects": [kite("a")],
                "sampling": {"stages": [{}, {"prompt": "b c"}]},
            },
            "panels[0].objects[0].words: got 'a', allowed: words that "
            "panels[0].sampling.stages[1].prompt has once; it has them 0 times",
        ),
        (
            {"prompt": "a b c d e", "objects": [kite(each) for each in "abcde"]},
            "panels[0].objects: got 5 entries, allowed: a list of at most 4 mappings with words",
        ),
        (
            {"prompt": "a kite", "objects": [{"words": "kite", "box": [0.5, 0, 0.5, 1]}]},
            "panels[0].objects[0].box: got",
        ),
        ({"prompt": "a kite", "objects": [{"words": "kite"}]}, "panels[0].objects[0].box"),
        ({"prompt": "a", "objects": [kite("")]}, "panels[0].objects[0].words: got ''"),
    ],
)
def test_what_cannot_be_placed_is_refused(panel: dict[str, Any], error: str) -> None:
    with pytest.raises(StoryboardError) as refused:
        board(panel)
    assert error in str(refused.value)


def test_a_panel_has_no_more_regions_than_a_row_reads() -> None:
    names = ("mia", "tom", "kite")
    picture = Panel(prompt="{mia}").references
    assert picture == ()
    fields = {
        "prompt": "a b c d",
        "characters": names,
        "objects": [kite(each) for each in "abcd"],
    }
    assert len(board(fields).panels[0].objects) == 4
    with pytest.raises(StoryboardError, match="got 4 beside 5 characters and references, allowed"):
        Storyboard.model_validate(
            {
                "characters": [{"name": name, "prompt": "a"} for name in names],
                "panels": [{**fields, "references": [further("mia"), further("tom")]}],
            }
        )


def further(name: str) -> dict[str, Any]:
    import io

    from PIL import Image

    data = io.BytesIO()
    Image.new("RGB", (16, 16)).save(data, format="PNG")
    return {"character": name, "image": {"data": data.getvalue()}}
