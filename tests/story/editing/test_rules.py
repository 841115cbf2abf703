"""Panels changed by rules: what was asked for is there afterwards, and nothing else is changed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi_story.editing.prompt_reading import PromptReader
from lafi_story.editing.rules import RulePanelEditor
from lafi_story.prompts import prompt_of, regions_of
from lafi_story.steps import Figure, PanelScript
from lafi_story.vocabulary import load_vocabulary

WORDS = load_vocabulary()
EDITOR = RulePanelEditor(WORDS)
CAST = [
    {"name": "mia", "prompt": "a slim child with long black hair, in a yellow top"},
    {"name": "tom", "prompt": "a stout child in a red top"},
    {"name": "小美", "prompt": "a child with glasses"},
]


def board(prompt: str, **fields: Any) -> Storyboard:
    panel = {"prompt": prompt, **fields}
    return Storyboard.model_validate({"characters": CAST, "panels": [panel]})


def edited(prompt: str, wish: str, **fields: Any) -> str:
    return EDITOR.edit(board(prompt, **fields), 0, wish).prompt


def some(kind: str, *more: str) -> st.SearchStrategy[str]:
    return st.sampled_from([*getattr(WORDS, kind), *more])


figures = st.lists(
    st.builds(
        Figure,
        name=st.sampled_from([c["name"] for c in CAST]),
        action=some("actions"),
        mood=some("moods", ""),
        prop=some("props", ""),
    ),
    max_size=3,
    unique_by=lambda figure: figure.name,
).map(tuple)
scripts = st.builds(
    PanelScript,
    scene=st.just(0),
    first=st.just(0),
    last=st.just(0),
    sentence=st.just(""),
    figures=figures,
    place=some("places", ""),
    light=some("lights", ""),
    framing=st.sampled_from(["near", "medium", "far"]),
)


@settings(deadline=None)
@given(scripts)
def test_what_lafi_story_writes_is_read_back_whole(script: PanelScript):
    read = PromptReader(WORDS).read(prompt_of(script, WORDS))
    assert read.whole
    assert read.script == script


@settings(deadline=None)
@given(scripts, some("lights"), some("places"))
def test_a_wish_changes_what_it_names_and_nothing_else(script: PanelScript, light: str, place: str):
    prompt = prompt_of(script, WORDS)
    wanted = script.model_copy(update={"light": light, "place": place})
    wish = f"{WORDS.drawn('places', place)}, {WORDS.drawn('lights', light)}"
    regions = regions_of([figure.name for figure in script.figures])
    fits = EDITOR._count(prompt) < 40  # descriptions take room too
    try:
        change = EDITOR.edit(board(prompt, regions=regions), 0, wish)
    except StoryboardError as error:
        assert not fits, error
        assert "no room" in str(error)
        return
    assert change.prompt == prompt_of(wanted, WORDS)
    assert (change.regions, change.characters, change.notes) == (None, None, ())


def test_people_come_and_go_with_their_regions():
    both = "{mia} running on the left and {tom} sitting on the right, on a meadow at night"
    boxes = {"mia": (0.0, 0.0, 0.5, 1.0), "tom": (0.5, 0.0, 1.0, 1.0)}
    change = EDITOR.edit(board("{mia} running on a meadow at night"), 0, "add Tom, sitting")
    assert (change.prompt, change.regions) == (both, boxes)
    change = EDITOR.edit(board(both, regions=boxes), 0, "Mia leaves, at sunset")
    assert (change.prompt, change.regions) == ("{tom} sitting on a meadow at sunset", {})
    assert change.notes == ("panel 0: its regions are now none, as nobody is beside another",)
    listed = EDITOR.edit(board(both, characters=["mia", "tom"], regions=boxes), 0, "only 小美")
    assert (listed.prompt, listed.characters) == ("{小美} standing on a meadow at night", ("小美",))


def test_regions_that_somebody_set_stay():
    both = "{mia} running on the left and {tom} sitting on the right"
    own = {"mia": (0.0, 0.5, 0.4, 1.0), "tom": (0.4, 0.0, 1.0, 1.0)}
    change = EDITOR.edit(board(both, regions=own), 0, "at night")
    assert (change.prompt, change.regions) == (f"{both}, at night", None)


@pytest.mark.parametrize(
    ("prompt", "wish", "wanted"),
    [
        ("{Mia} climbing in the old wood", "night", "{Mia} climbing in the old wood at night"),
        ("{mia} climbing a tree by moonlight", "Mia runs", "{mia} running"),
        ("{mia} climbing, in a big red barn", "on the beach", "{mia} climbing, on the beach"),
        ("forest, night, masterpiece", "by day", "forest, by day, masterpiece"),
        ("{mia} with a red ball, best quality", "no ball", "{mia}, best quality"),
        ("{mia} in a sun hat", "at night", "{mia} in a sun hat at night"),
        ("小美在森林里", "close-up", "小美在森林里, close-up"),
        ("{mia} hugs {tom} by day", "night, Tom is sad", "{mia} hugs {tom} looking sad at night"),
        ("{mia} in a cap on the beach", "in a room", "{mia} in a cap in a room"),
    ],
)  # fmt: skip
def test_a_prompt_that_somebody_wrote_keeps_all_other_words(prompt: str, wish: str, wanted: str):
    assert edited(prompt, wish) == wanted


def test_a_word_that_stays_beside_the_wish_is_said():
    change = EDITOR.edit(board("{mia} under a night sky of glass"), 0, "by day")
    assert change.notes == ("panel 0: 'night' in its prompt is left as it is",)


def test_who_is_in_a_prompt_that_somebody_wrote_is_refused():
    with pytest.raises(StoryboardError, match=r"panels\[0\]: got who is in it, allowed: light"):
        edited("{mia} climbing a tree", "add Tom")


def test_somebody_who_is_not_there_is_refused():
    with pytest.raises(StoryboardError, match=r"got 'tom', .* in panel 0: mia; `add tom` puts"):
        edited("{mia} running", "Tom jumps")


def test_what_has_no_room_is_refused():
    long = {"name": "mia", "prompt": "a child " + "with a very long red scarf " * 9}
    crowded = Storyboard.model_validate(
        {"characters": [long], "panels": [{"prompt": "{mia} running by day"}]}
    )
    with pytest.raises(StoryboardError, match=r"no room .*; nothing is changed"):
        EDITOR.edit(crowded, 0, "Mia is happy, with a ball, close-up")


def test_too_many_figures_are_refused():
    cast = [*CAST, {"name": "ann", "prompt": "a child"}]
    prompt = (
        "{mia} running on the left, {tom} running in the middle and {小美} running on the right"
    )
    full = Storyboard.model_validate({"characters": cast, "panels": [{"prompt": prompt}]})
    with pytest.raises(StoryboardError, match="got 4 figures: mia, tom, 小美, ann, allowed"):
        EDITOR.edit(full, 0, "add Ann")


@settings(deadline=None)
@given(scripts)
def test_a_prompt_in_the_models_words_is_polished_already(script: PanelScript):
    prompt = prompt_of(script, WORDS)
    regions = regions_of([figure.name for figure in script.figures])
    change = EDITOR.polish(board(prompt, regions=regions), 0)
    assert change.prompt == prompt or any("no room" in note for note in change.notes)
    again = board(change.prompt, regions=change.regions or regions if "{" in prompt else {})
    assert EDITOR.polish(again, 0).prompt == change.prompt


def test_polish_says_what_it_leaves_out():
    prompt = "{Tom} rushes, grinning, through the dark woods, a masterpiece"
    change = EDITOR.polish(board(prompt), 0)
    assert change.prompt == "{tom} running in the forest, looking happy"
    assert [note.split(" is no word")[0] for note in change.notes] == [
        *("panel 0: 'through the dark'", "panel 0: 'masterpiece'"),
    ]


def test_polish_puts_figures_where_their_regions_are():
    boxes = {"mia": [0.5, 0, 1, 1], "tom": [0, 0, 0.5, 1]}
    change = EDITOR.polish(board("{mia} waves at {tom}, who sits", regions=boxes), 0)
    assert change.prompt == "{tom} sitting on the left and {mia} waving on the right"
    assert change.regions is None


def test_polish_leaves_alone_what_may_be_somebody():
    change = EDITOR.polish(board("小美在森林里"), 0)
    assert change.prompt == "小美在森林里"
    assert "'小美' may be somebody; left as it is" in change.notes[0]


def test_a_free_vocabulary_keeps_other_words():
    editor = RulePanelEditor(WORDS.model_copy(update={"free": True}))
    change = editor.polish(
        board("{mia} climbing a tree, in the woods at midnight, oil painting"), 0
    )
    assert change.prompt == "{mia} climbing a tree in the forest at night, oil painting"
    assert change.notes == ()
