import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.board.error import StoryboardError
from lafi_story.prompts import described, estimated_tokens, fuse, token_counter
from lafi_story.steps import Cast, Figure, Line, Outline, PanelScript, Person, Script
from lafi_story.vocabulary import Vocabulary, load_vocabulary

BUNDLED = load_vocabulary()
COUNT = token_counter(BUNDLED)
OUTLINE = Outline(language="en", title="A day")
LOOKS = st.fixed_dictionaries(
    {},
    optional={slot: st.sampled_from(sorted(look.values)) for slot, look in BUNDLED.looks.items()},
)
FIGURES = st.builds(
    Figure,
    name=st.sampled_from(["mia", "tim", "小雨", "bo"]),
    action=st.sampled_from(["", *BUNDLED.actions, "juggling " * 40]),
    mood=st.sampled_from(["", *BUNDLED.moods]),
    prop=st.sampled_from(["", *BUNDLED.props]),
)


@st.composite
def scripts(draw: st.DrawFn) -> tuple[Cast, Script]:
    names = ["mia", "tim", "小雨", "bo"]
    cast = Cast(characters=tuple(Person(name=n, aliases=(n,), looks=draw(LOOKS)) for n in names))
    panel = PanelScript(
        scene=0, first=0, last=0, sentence="x",
        figures=tuple(draw(st.lists(FIGURES, max_size=4, unique_by=lambda f: f.name))),
        place=draw(st.sampled_from(["", *BUNDLED.places, "a place " * 50])),
        light=draw(st.sampled_from(["", *BUNDLED.lights])),
        framing=draw(st.sampled_from(["near", "medium", "far"])),
    )  # fmt: skip
    return cast, Script(panels=(panel,))


@given(scripts(), st.sampled_from([16, 30, 77]))
def test_every_prompt_fits_and_what_is_left_out_is_said(given: tuple[Cast, Script], length: int):
    cast, script = given
    short = BUNDLED.model_copy(update={"token_length": length})
    board, notes = fuse(OUTLINE, cast, script, short, COUNT)
    panel = board.panels[0]
    assert COUNT(panel.prompt_text(board)) <= length
    missing = {f.name for f in script.panels[0].figures} - set(panel.characters)
    assert all(any(name in note for note in notes) for name in missing)
    assert set(panel.regions) in (set(), set(panel.characters))


def test_a_prompt_says_who_does_what_where_and_when():
    person = Person(
        name="mia", aliases=("Mia",),
        looks={"skin": "pale", "hairstyle": "long", "hair": "red", "pattern": "striped",
               "top": "blue", "garment": "skirt", "bottom": "pink", "accessory": "glasses"},
    )  # fmt: skip
    figure = Figure(name="mia", action="waving", mood="happy")
    panel = PanelScript(
        scene=0, first=0, last=0, sentence="x", figures=(figure,), place="meadow", light="day"
    )
    board, _ = fuse(OUTLINE, Cast(characters=(person,)), Script(panels=(panel,)), BUNDLED, COUNT)
    assert board.panels[0].prompt == "{mia} waving on a meadow by day, looking happy"
    assert board.characters[0].prompt == (
        "a child with pale skin and long red hair, in a striped blue top, a pink skirt and glasses"
    )


def test_of_several_each_has_a_prop_and_a_mood_of_their_own():
    figures = (
        Figure(name="mia", action="kicking", prop="ball"),
        Figure(name="bo", action="sitting", mood="sad"),
    )
    panel = PanelScript(scene=0, first=0, last=0, sentence="x", figures=figures, place="farm")
    cast = Cast(characters=tuple(Person(name=n, aliases=(n,)) for n in ("mia", "bo")))
    board, _ = fuse(OUTLINE, cast, Script(panels=(panel,)), BUNDLED, COUNT)
    assert board.panels[0].prompt == (
        "{mia} kicking with a ball on the left and {bo} sitting looking sad on the right, on a farm"
    )


def test_where_there_is_no_room_for_all_those_who_speak_and_act_stay():
    figures = (
        Figure(name="an"),
        Figure(name="bo", action="sitting"),
        Figure(name="cy", action="waving"),
        Figure(name="di"),
    )
    lines = (Line(speaker="di", text="Hello!", paragraph=0),)
    panel = PanelScript(scene=0, first=0, last=0, sentence="x", figures=figures, lines=lines)
    cast = Cast(characters=tuple(Person(name=f.name, aliases=(f.name,)) for f in figures))
    for most, stay, gone in ((3, ("bo", "cy", "di"), "an"), (2, ("bo", "di"), "an, cy")):
        few = BUNDLED.model_copy(update={"most_figures": most})
        board, notes = fuse(OUTLINE, cast, Script(panels=(panel,)), few, COUNT)
        assert board.panels[0].characters == stay
        assert f"panel 0: no room in the picture for {gone}" in notes


@pytest.mark.parametrize(
    ("looks", "text"),
    [
        ({"hairstyle": "bun", "hair": "white"}, "a child with white hair in a bun"),
        ({"hairstyle": "bun"}, "a child with hair in a bun"),
        ({"hairstyle": "pigtails", "hair": "red"}, "a child with red pigtails"),
        ({"garment": "skirt", "bottom": "pink"}, "a child in a pink skirt"),
        ({"garment": "shorts", "bottom": "pink"}, "a child in pink shorts"),
    ],
)
def test_a_value_may_have_a_form_of_its_own(looks: dict[str, str], text: str):
    assert described(looks, BUNDLED) == text


def test_nothing_known_is_a_plain_person():
    assert described({}, BUNDLED) == "a child"
    assert described({"accessory": "a wooden leg"}, BUNDLED) == "a child in a wooden leg"


def test_those_who_look_alike_are_named():
    cast = Cast(characters=tuple(Person(name=n, aliases=(n,)) for n in ("bo", "jo")))
    figures = tuple(Figure(name=n) for n in ("bo", "jo"))
    panel = PanelScript(scene=0, first=0, last=0, sentence="x", figures=figures)
    _, notes = fuse(OUTLINE, cast, Script(panels=(panel,)), BUNDLED, COUNT)
    assert "bo, jo look alike: give them looks in characters.yaml" in notes


def test_an_edited_prompt_that_is_too_long_is_refused():
    panel = PanelScript(scene=0, first=0, last=0, sentence="x", prompt="word " * 90)
    with pytest.raises(StoryboardError, match=r"panels\[0\].prompt: got \d+ tokens, allowed"):
        fuse(OUTLINE, Cast(), Script(panels=(panel,)), BUNDLED, COUNT)


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_the_estimate_grows_with_the_text(text: str):
    assert estimated_tokens(text) >= 2
    assert estimated_tokens(text + " a") == estimated_tokens(text) + 1


def test_a_tokenizer_that_is_none_is_refused(tmp_path):
    (tmp_path / "t.json").write_text("{}")
    words = Vocabulary(name="x", tokenizer="t.json", folder=tmp_path)
    with pytest.raises(StoryboardError, match=r"tokenizer: got t.json, allowed: a tokenizer.json"):
        token_counter(words)
    assert token_counter(Vocabulary(name="x")) is estimated_tokens
