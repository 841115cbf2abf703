"""Things that several panels show: found, drawn once, edited, and left off."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from told_stories import told

from lafi.board.error import StoryboardError
from lafi.board.limits import MAX_CHARACTERS, MAX_CHARACTERS_PER_PANEL
from lafi.board.storyboard import Storyboard, parse_storyboard
from lafi_story.editing.changes import PanelChange
from lafi_story.editing.kept_recurring import with_recurring
from lafi_story.editing.rules import RulePanelEditor
from lafi_story.places import find_places, with_places
from lafi_story.prompts import fuse, token_counter
from lafi_story.props import find_props, with_props
from lafi_story.rules import RulePlanner
from lafi_story.step_folder import StepFolder
from lafi_story.steps import Cast, Figure, Outline, PanelScript, Person, Places, Props, Script
from lafi_story.telling import Told
from lafi_story.vocabulary import Vocabulary

ENGLISH = (
    "Mia ran across the meadow with a ball. She had long black hair and a red coat.\n\n"
    "* * *\n\nThe next morning Mia waved in the library.\n\n"
    "* * *\n\nIn the evening Mia sat on the beach and held the ball.\n\n"
)
CHINESE = (
    "林小雨留着黑色的长发。林小雨拿着足球在草地上跑。\n\n"
    "* * *\n\n第二天早上，林小雨在图书馆挥手。\n\n"
    "* * *\n\n晚上，林小雨拿着足球在海边坐着。\n\n"
)
NAMES = ("mia", "tom", "ball", "book2", *"abcd")
CAST = Cast(characters=tuple(Person(name=name, aliases=(name,)) for name in NAMES))
FIGURES = st.builds(
    Figure,
    name=st.sampled_from(NAMES),
    prop=st.sampled_from(["", "ball", "book", "a long { rope"]),
)
SCRIPTS = st.lists(
    st.builds(
        PanelScript,
        first=st.just(0), last=st.just(0), scene=st.just(0), sentence=st.just(""),
        figures=st.lists(FIGURES, max_size=4, unique_by=lambda one: one.name).map(tuple),
        place=st.sampled_from(["", "library", "beach"]),
    ),
    min_size=1, max_size=12,
).map(lambda panels: Script(panels=tuple(panels)))  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(script=SCRIPTS)
def test_props_are_those_of_several_panels_and_change_no_prompt(
    script: Script, vocabulary: Vocabulary
) -> None:
    count = token_counter(vocabulary)
    places = find_places(CAST, script)
    props = find_props(CAST, script, places)
    plain, _ = fuse(Outline(language="en"), CAST, script, vocabulary, count)
    plain, _ = with_places(plain, script, places, vocabulary, count)
    board, notes = with_props(plain, script, props, vocabulary, count)
    assert len(board.characters) <= MAX_CHARACTERS
    for prop in props.props:
        assert len(prop.panels) >= 2
        for number in prop.panels:
            panel, script_panel = board.panels[number], script.panels[number]
            holders = [f.name for f in script_panel.figures if f.prop == prop.prop]
            assert holders
            # Read, or said why not.
            read = prop.name in panel.characters
            assert read != any(f"panel {number}: {prop.name} is not read" in n for n in notes)
            placed = [name for name in holders if name in panel.regions]
            if read and len(placed) == 1:
                assert panel.regions[prop.name] == panel.regions[placed[0]]
            else:
                assert prop.name not in panel.regions
    for old, new in zip(plain.panels, board.panels, strict=True):
        assert (new.prompt, new.seed, board.figures(new)) == (
            old.prompt, old.seed, plain.figures(old),
        )  # fmt: skip
        assert {n: new.regions[n] for n in old.regions} == old.regions
        assert len(new.characters) <= MAX_CHARACTERS_PER_PANEL
        assert new == old or board.of_kind(new, "prop")
    found = Told(board, Outline(language="en"), None, CAST, script, ())  # type: ignore[arg-type]
    assert parse_storyboard(found.to_yaml()) == board


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_thing_of_two_panels_is_drawn_once_for_both(
    language: str, english_rules: RulePlanner, chinese_rules: RulePlanner, vocabulary: Vocabulary
) -> None:
    text, planner = {"en": (ENGLISH, english_rules), "zh": (CHINESE, chinese_rules)}[language]
    found = told(text, planner, vocabulary, props=True)
    have = [any(f.prop == "ball" for f in panel.figures) for panel in found.script.panels]
    assert have == [True, False, True]
    (ball,) = [c for c in found.storyboard.characters if c.kind == "prop"]
    assert (ball.name, ball.prompt) == ("ball", "a ball")
    assert ["ball" in panel.characters for panel in found.storyboard.panels] == have


def test_a_model_that_draws_no_thing_alone_is_said(
    tmp_path: Path, english_rules: RulePlanner, vocabulary: Vocabulary
) -> None:
    usual = told(ENGLISH, english_rules, vocabulary, folder=StepFolder(tmp_path))
    assert all(character.kind == "figure" for character in usual.storyboard.characters)
    (note,) = [note for note in usual.notes if "--props" in note]
    assert "ball (2 panels)" in note
    assert not (tmp_path / "props.yaml").exists()
    off = told(ENGLISH, english_rules, vocabulary, props=False)
    assert off.storyboard == usual.storyboard
    assert not any("--props" in note for note in off.notes)
    on = told(ENGLISH, english_rules, vocabulary.model_copy(update={"empty_scenes": True}))
    assert on.storyboard == told(ENGLISH, english_rules, vocabulary, props=True).storyboard


def test_props_are_a_file_to_edit(
    tmp_path: Path, english_rules: RulePlanner, vocabulary: Vocabulary
) -> None:
    def again() -> Told:
        folder = StepFolder(tmp_path)
        return told(ENGLISH, english_rules, vocabulary, folder=folder, props=True)

    again()
    file = tmp_path / "props.yaml"
    (one,) = Props.model_validate({"props": [{"name": "a", "panels": [1]}]}).props
    assert one.prop == ""
    # A panel whose prompt has no ball may read one: the prompt of the step is taken at its word.
    file.write_text("props:\n- {name: red_kite, prompt: a red kite, panels: [1]}\n")
    found = again()
    assert "props.yaml: used as edited" in found.notes
    (kite,) = [c for c in found.storyboard.characters if c.kind == "prop"]
    assert (kite.name, kite.prompt) == ("red_kite", "a red kite")
    assert ["red_kite" in p.characters for p in found.storyboard.panels] == [False, True, False]
    file.write_text("props:\n- {name: ball, prop: ball, panels: [0, 1, 1]}\n")
    found = again()
    assert "panel 1: ball is not read: its prompt does not have it" in found.notes
    wrong = {
        "[{name: mia, prop: ball}]": "props[0].name: got 'mia', allowed: a name that nobody",
        "[{name: a}]": "props[0].prop: got '', allowed: a prop, or a prompt",
        "[{name: a, prop: b, panels: [99]}]": "props[0].panels: got 99, allowed: 0 to",
        f"[{{name: a, prompt: {'long ' * 90}, panels: [0]}}]": "a.prompt: got 92 tokens",
        str([{"name": f"n{n}", "prop": "b"} for n in range(8)]): "at most 7 beside the other",
        "[{name: a, prop: b, who: c}]": "who: unknown field",
    }
    for props, line in wrong.items():
        file.write_text(f"props: {props}\n")
        with pytest.raises(StoryboardError) as refused:
            again()
        assert line in str(refused.value)
        assert "props.yaml" in str(refused.value)


def test_a_ball_is_not_in_a_prompt_with_a_balloon(vocabulary: Vocabulary) -> None:
    count = token_counter(vocabulary)
    figures = [(Figure(name="mia", prop=word),) for word in ("ball", "ball", "balloon")]
    script = Script(
        panels=tuple(
            PanelScript(first=0, last=0, scene=0, sentence="", figures=one) for one in figures
        )
    )
    plain, _ = fuse(Outline(language="en"), CAST, script, vocabulary, count)
    props = Props.model_validate({"props": [{"name": "ball", "prop": "ball", "panels": [0, 1, 2]}]})
    board, notes = with_props(plain, script, props, vocabulary, count)
    assert ["ball" in panel.characters for panel in board.panels] == [True, True, False]
    assert notes == ("panel 2: ball is not read: its prompt does not have it",)


def board_of(*names: str, regions: dict[str, object]) -> Storyboard:
    cast = [{"name": name, "prompt": f"a child called {name}"} for name in ("mia", "tom")]
    cast += [
        {"name": "ball", "prompt": "a red ball", "kind": "prop"},
        {"name": "amulet", "prompt": "an amulet of jade", "kind": "prop"},
    ]
    prompt = " and ".join(f"{{{name}}} standing" for name in names if name in ("mia", "tom"))
    if len(regions) > 1:
        prompt = "{mia} standing with a ball on the left and {tom} standing on the right"
    else:
        prompt += ", with a ball"
    panel = {"prompt": prompt, "characters": names, "regions": regions}
    return Storyboard.model_validate({"characters": cast, "panels": [panel]})


def test_a_changed_panel_reads_a_thing_as_long_as_somebody_has_it(vocabulary: Vocabulary) -> None:
    editor = RulePanelEditor(vocabulary)

    def after(board: Storyboard, wish: str) -> PanelChange:
        return with_recurring(board, editor.edit(board, 0, wish), vocabulary)

    alone = board_of("mia", "ball", "amulet", regions={})
    stays = after(alone, "Mia runs at night")
    assert stays.characters == ("mia", "ball", "amulet")
    assert stays.notes == ()
    gone = after(alone, "no ball")
    assert gone.characters == ("mia", "amulet")  # of the amulet the vocabulary has no word
    assert gone.notes == ("panel 0: ball is not read any more: nobody has it",)

    left, right = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
    both = board_of("mia", "tom", "ball", regions={"mia": left, "tom": right, "ball": left})
    assert after(both, "Tom waves").characters == ("mia", "tom", "ball")
    without = after(both, "no ball")
    assert without.characters == ("mia", "tom")
    assert without.regions == {"mia": left, "tom": right}
    # The thing is nobody whom a wish could name.
    with pytest.raises(StoryboardError, match=r"only: mia, tom\)"):
        editor.edit(both, 0, "add amulet")


LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


def test_a_thing_that_the_prompt_names_stays(vocabulary: Vocabulary) -> None:
    cast = [
        {"name": "mia", "prompt": "a child called mia"},
        {"name": "lamp", "prompt": "a red umbrella", "kind": "prop"},
    ]
    panel = {"prompt": "{mia} standing with {lamp} by day", "regions": {"lamp": LEFT}}
    board = Storyboard.model_validate({"characters": cast, "panels": [panel]})
    night = with_recurring(
        board, RulePanelEditor(vocabulary).edit(board, 0, "make it night"), vocabulary
    )
    assert "{lamp}" in night.prompt
    assert set(night.characters or ()) == {"mia", "lamp"}
    assert night.notes == ()
    assert night.regions is None  # its own box stays
    gone = with_recurring(board, PanelChange(0, "{mia} standing at night"), vocabulary)
    assert (gone.characters, gone.regions) == (("mia",), {})
    assert gone.notes == ("panel 0: lamp is not read any more: nobody has it",)


def test_the_region_of_a_thing_is_that_of_whoever_has_it(vocabulary: Vocabulary) -> None:
    people = {"mia": LEFT, "tom": RIGHT}
    both = board_of("mia", "tom", "ball", regions={**people, "ball": LEFT})

    def after(board: Storyboard, prompt: str, regions: object = None) -> PanelChange:
        change = PanelChange(0, prompt, regions)  # type: ignore[arg-type]
        return with_recurring(board, change, vocabulary)

    mias = "{mia} standing with a ball on the left and {tom} standing on the right"
    toms = "{mia} standing on the left and {tom} standing with a ball on the right"
    moved = after(both, toms)
    assert moved.regions == {**people, "ball": RIGHT}
    assert moved.notes == ("panel 0: ball is now in the region of tom",)
    # New regions of the people: the thing has one still.
    swapped = {"mia": RIGHT, "tom": LEFT}
    assert after(both, mias, swapped).regions == {**swapped, "ball": RIGHT}
    assert after(both, mias, dict(people)).regions is None
    # Both have one: nobody's region, as in `lafi story`.
    two = after(both, mias.replace("{tom} standing", "{tom} standing with a ball"))
    assert two.regions == people
    assert two.notes == ("panel 0: ball is now without a region",)
    # A box that somebody gave the thing stays while the same one has it, in the same place.
    low = (0.0, 0.5, 0.3, 1.0)
    own = board_of("mia", "tom", "ball", regions={**people, "ball": low})
    assert after(own, mias + " at night").regions is None
    assert after(own, toms).regions == {**people, "ball": RIGHT}
    # So does that of a thing of which the vocabulary has no word.
    jade = board_of("mia", "tom", "amulet", regions={**people, "amulet": low})
    assert after(jade, toms).regions is None
    assert after(jade, toms, swapped).regions == {**swapped, "amulet": low}


def test_people_and_places_come_first(vocabulary: Vocabulary) -> None:
    panels = tuple(
        PanelScript(
            first=0, last=0, scene=0, sentence="", figures=(Figure(name=name, prop="ball"),)
        )
        for name in NAMES
    )
    props = find_props(CAST, Script(panels=panels), Places())
    assert props.props == ()
    assert props.notes == ("a storyboard has no room for more props: ball (8 panels)",)
