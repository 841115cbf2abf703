"""Places that several panels show: found, drawn once, edited, and left off."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from told_stories import told

from lafi.board.error import StoryboardError
from lafi.board.limits import MAX_CHARACTERS
from lafi.board.storyboard import parse_storyboard
from lafi_story.editing.changes import PanelChange
from lafi_story.editing.kept_recurring import with_recurring as with_kept
from lafi_story.editing.rules import RulePanelEditor
from lafi_story.places import find_places, with_places
from lafi_story.prompts import fuse, token_counter
from lafi_story.rules import RulePlanner
from lafi_story.step_folder import StepFolder
from lafi_story.steps import Cast, Figure, Outline, PanelScript, Person, Places, Script
from lafi_story.telling import Told
from lafi_story.vocabulary import Vocabulary

ENGLISH = (
    "Mia ran across the meadow. She had long black hair and a red coat.\n\n"
    "* * *\n\nThe next morning Mia waved in the library.\n\n"
    "* * *\n\nIn the evening Mia sat in the library and wept.\n\n"
    "* * *\n\nThe next morning Mia jumped in the library.\n\n"
)
CHINESE = (
    "林小雨留着黑色的长发。林小雨在草地上跑。\n\n* * *\n\n第二天早上，林小雨在图书馆挥手。\n\n"
    "* * *\n\n晚上，林小雨在图书馆坐着。\n\n* * *\n\n第二天早上，林小雨在图书馆跳了起来。\n\n"
)
NAMES = ("mia", "tom", "library", "meadow_day", *"abcdefg")
CAST = Cast(characters=tuple(Person(name=name, aliases=(name,)) for name in NAMES[:MAX_CHARACTERS]))
SCRIPTS = st.lists(
    st.builds(
        PanelScript,
        first=st.just(0), last=st.just(0), scene=st.just(0), sentence=st.just(""),
        figures=st.lists(st.sampled_from(NAMES[:MAX_CHARACTERS]), max_size=3, unique=True).map(
            lambda names: tuple(Figure(name=name) for name in names)
        ),
        place=st.sampled_from(["", "library", "meadow", "beach", "on { the moon"]),
        light=st.sampled_from(["", "day", "night"]),
        framing=st.sampled_from(["near", "medium", "far"]),
    ),
    min_size=1, max_size=20,
).map(lambda panels: Script(panels=tuple(panels)))  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(script=SCRIPTS)
def test_places_are_those_of_several_panels_and_change_no_prompt(
    script: Script, vocabulary: Vocabulary
):
    count = token_counter(vocabulary)
    places = find_places(CAST, script)
    shown = [number for place in places.places for number in place.panels]
    assert len(shown) == len(set(shown))
    for place in places.places:
        assert len(place.panels) >= 2
        for number in place.panels:
            panel = script.panels[number]
            assert (panel.place, panel.light) == (place.place, place.light)
            assert len(panel.figures) < 2
    plain, _ = fuse(Outline(language="en"), CAST, script, vocabulary, count)
    board, notes = with_places(plain, script, places, vocabulary, count)
    assert notes == ()
    names = [character.name for character in board.characters]
    assert len(names) == len(set(names)) <= MAX_CHARACTERS
    assert names == [c.name for c in plain.characters] + [p.name for p in places.places]
    for number, (old, new) in enumerate(zip(plain.panels, board.panels, strict=True)):
        assert (new.prompt, new.seed, board.figures(new)) == (old.prompt, old.seed, old.characters)
        reads = [place.name for place in places.places if number in place.panels]
        assert new.characters == (*old.characters, *reads)
        assert new == old or reads
        # The place is read where its only figure is not.
        assert set(new.regions) == set(old.characters if reads else old.regions)
        assert count(new.prompt_text(board)) <= vocabulary.token_length
    found = Told(board, Outline(language="en"), None, CAST, script, ())  # type: ignore[arg-type]
    assert parse_storyboard(found.to_yaml()) == board


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_place_at_one_time_of_day_is_drawn_once_for_its_panels(
    language: str, english_rules: RulePlanner, chinese_rules: RulePlanner, vocabulary: Vocabulary
):
    text, planner = {"en": (ENGLISH, english_rules), "zh": (CHINESE, chinese_rules)}[language]
    found = told(text, planner, vocabulary, places=True)
    where = [(panel.place, panel.light) for panel in found.script.panels]
    both = [number for number, at in enumerate(where) if at == ("library", "day")]
    assert len(both) >= 2
    (place,) = [c for c in found.storyboard.characters if c.kind == "place"]
    assert (place.name, place.prompt) == ("library_day", "an empty scene in a library by day")
    reading = [n for n, p in enumerate(found.storyboard.panels) if "library_day" in p.characters]
    assert reading == both
    panel = found.storyboard.panels[both[0]]
    assert panel.regions == {panel.characters[0]: (0.2, 0.0, 0.8, 1.0)}


def test_a_model_that_draws_no_empty_scene_is_said(
    tmp_path: Path, english_rules: RulePlanner, vocabulary: Vocabulary
):
    usual = told(ENGLISH, english_rules, vocabulary, folder=StepFolder(tmp_path))
    assert all(character.kind == "figure" for character in usual.storyboard.characters)
    (note,) = [note for note in usual.notes if "--places" in note]
    assert "library_day (2 panels)" in note
    assert not (tmp_path / "places.yaml").exists()
    off = told(ENGLISH, english_rules, vocabulary, places=False)
    assert off.storyboard == usual.storyboard
    assert not any("--places" in note for note in off.notes)
    other = vocabulary.model_copy(update={"empty_scenes": True})
    on = told(ENGLISH, english_rules, other)
    assert on.storyboard == told(ENGLISH, english_rules, vocabulary, places=True).storyboard


def test_places_are_a_file_to_edit(
    tmp_path: Path, english_rules: RulePlanner, vocabulary: Vocabulary
):
    def again() -> Told:
        folder = StepFolder(tmp_path)
        return told(ENGLISH, english_rules, vocabulary, folder=folder, places=True)

    again()
    file = tmp_path / "places.yaml"
    (place,) = Places.model_validate({"places": [{"name": "a", "panels": [0, 2]}]}).places
    file.write_text("places:\n- {name: hall, prompt: a hall of books, panels: [0, 2]}\n")
    found = again()
    assert "places.yaml: used as edited" in found.notes
    (hall,) = [c for c in found.storyboard.characters if c.kind == "place"]
    assert (hall.name, hall.prompt) == ("hall", "a hall of books")
    reading = ["hall" in panel.characters for panel in found.storyboard.panels]
    assert [number for number, reads in enumerate(reading) if reads] == list(place.panels)
    wrong = {
        "[{name: mia, place: beach}]": "places[0].name: got 'mia', allowed: a name that nobody",
        "[{name: a}]": "places[0].place: got '', allowed: a place, or a prompt",
        "[{name: a, place: b, panels: [99]}]": "places[0].panels: got 99, allowed: 0 to",
        "[{name: a, place: b, panels: [0]}, {name: c, place: d, panels: [0]}]": "one of a",
        f"[{{name: a, prompt: {'long ' * 90}}}, {{name: b, place: c, panels: [0]}}]": "",
        f"[{{name: a, prompt: {'long ' * 90}, panels: [0]}}]": "a.prompt: got 92 tokens",
        str([{"name": f"n{n}", "place": "b"} for n in range(8)]): "at most 7 beside the other",
        "[{name: a, place: b, who: c}]": "who: unknown field",
    }
    for places, line in wrong.items():
        file.write_text(f"places: {places}\n")
        if not line:
            again()
            continue
        with pytest.raises(StoryboardError) as refused:
            again()
        assert line in str(refused.value)
        assert "places.yaml" in str(refused.value)


def test_a_changed_panel_reads_its_place_as_long_as_it_is_there(
    english_rules: RulePlanner, vocabulary: Vocabulary
):
    board = told(ENGLISH, english_rules, vocabulary, places=True).storyboard
    number = next(n for n, p in enumerate(board.panels) if "library_day" in p.characters)
    editor = RulePanelEditor(vocabulary)

    def after(wish: str) -> PanelChange:
        return with_kept(board, editor.edit(board, number, wish), vocabulary)

    stays = after("Mia runs")
    assert "running" in stays.prompt
    assert stays.characters == ("mia", "library_day")
    for wish in ("on the beach", "make it night"):
        gone = after(wish)
        assert gone.characters == ("mia",)
        assert gone.notes == (
            f"panel {number}: library_day is not read any more: it is elsewhere or later",
        )
    # The place is nobody whom a wish could name.
    with pytest.raises(StoryboardError, match=r"add, without or only: mia\)"):
        editor.edit(board, number, "without library_day")
