from dataclasses import replace
from pathlib import Path

import pytest

from comics import NAMES, TEXTS, make_drawing, make_steps, panel
from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi_story.pages.lettering import MOST_SIGNS, letters_of, places_of, under_the_panel
from lafi_story.pages.source import DrawnPanel, Source, read_source
from lafi_story.pages.typeface import shipped_typefaces
from lafi_story.steps import Script

FACES = shipped_typefaces()


def source_of(*panels: dict[str, object]) -> Source:
    script = Script.model_validate({"panels": list(panels)})
    drawn = tuple(DrawnPanel(Path("panel_00.png"), 96, 96) for _ in panels)
    return Source(drawn, script=script)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_narration_is_a_caption_and_lines_are_speech_in_their_order(language: str, tmp_path: Path):
    drawing, steps = make_drawing(tmp_path / "d"), make_steps(tmp_path / "s.steps", language)
    found, notes = letters_of(read_source(drawing, steps), FACES, "sentence")
    texts = TEXTS[language]
    assert [[(one.kind, one.shown.text) for one in each] for each in found] == [
        [("caption", texts["told"])],
        [("speech", texts["lines"][0]), ("speech", texts["lines"][1])],
        [("speech", texts["ask"])],
    ]
    assert [one.speaker for one in found[1]] == [name.title() for name in NAMES[language]]
    where = "panels.yaml: panels[2].lines[0].text (not known)"
    assert notes == [f"no tail, as the speaker is not in the picture: {where}"]
    assert letters_of(read_source(drawing, steps), FACES, "none")[0][0] == ()


def test_each_text_has_a_font_with_all_of_its_signs():
    lines = [{"speaker": "", "text": text, "paragraph": 0} for text in ("It’s 5!", "好，5！")]
    (letters,), _ = letters_of(source_of(panel(0, "Café", lines=lines)), FACES, "sentence")
    assert [one.shown.face.family for one in letters] == ["Noto Sans", "Noto Sans", "Noto Sans SC"]


def test_all_wrong_texts_are_named_at_once():
    lines = [{"speaker": "", "text": text, "paragraph": 0} for text in ("x" * 601, "\U0001f600")]
    with pytest.raises(StoryboardError) as caught:
        letters_of(source_of(panel(0, "", lines=lines)), FACES, "sentence")
    first, second = caught.value.problems
    assert first.endswith(f"[0].text: got 601 characters, allowed: at most {MOST_SIGNS} on a page")
    assert "lines[1].text: got '\U0001f600' (U+1F600)" in second


def test_figures_stand_side_by_side_and_one_alone_in_the_middle():
    two = source_of(panel(0, "", ["mia", "tim"]), panel(1, "", ["mia"]), panel(2, ""))
    assert places_of(two, 0) == {"mia": (0.0, 0.5), "tim": (0.5, 1.0)}
    assert places_of(two, 1) == {"mia": (0.25, 0.75)}
    assert places_of(two, 2) == {}


def test_regions_of_places_and_things_say_nothing_of_where_figures_stand():
    cast = [{"name": name, "prompt": "a child"} for name in ("mia", "tim")]
    cast.append({"name": "kite", "prompt": "a kite", "kind": "prop"})
    names = [one["name"] for one in cast]
    boxes = {"kite": [0, 0, 0.2, 1]}
    both = (boxes, {**boxes, "tim": [0.1, 0, 0.4, 1]})
    panels = [{"prompt": "a hill", "characters": names, "regions": each} for each in both]
    board = Storyboard.model_validate({"characters": cast, "panels": panels})
    two = panel(0, "", ["mia", "tim"])
    source = replace(source_of(two, two), storyboard=board)
    assert places_of(source, 0) == {"mia": (0.0, 0.5), "tim": (0.5, 1.0)}
    assert places_of(source, 1) == {"tim": (0.1, 0.4)}


def test_under_a_panel_stands_who_says_it_in_a_font_that_has_the_name_too():
    lines = [{"speaker": name, "text": "Run!", "paragraph": 0} for name in ("mia", "小美", "")]
    source = source_of(panel(0, "So.", lines=lines))
    (letters,), _ = letters_of(source, FACES, "sentence")
    under = [under_the_panel(one, source).shown for one in letters]
    assert [one.text for one in under] == ["So.", "mia: “Run!”", "小美: “Run!”", "“Run!”"]
    assert [one.face.lacks(one.text) for one in under] == [[]] * 4
    chinese = replace(source, language="zh")
    assert under_the_panel(letters[1], chinese).shown.text == "mia：“Run!”"


def test_a_speaker_is_known_in_any_spelling_of_the_name():
    lines = [{"speaker": "Mia", "text": "Run!", "paragraph": 0}]
    (letters,), notes = letters_of(source_of(panel(0, "", ["mia"], lines)), FACES, "sentence")
    assert (letters[0].stands, notes) == ((0.25, 0.75), [])


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (["I will,", "Wait here!"], ["I will. Wait here!"]),
        (["I will,", "and you wait."], ["I will, and you wait."]),
        (["I will,", "a" * 200], ["I will,", "a" * 200]),
        (["好，", "我去。"], ["好， 我去。"]),
        (["我去，"], ["我去。"]),
        ([",", " "], ["."]),
    ],
)
def test_a_comma_before_the_speaker_becomes_a_full_stop_where_the_sentence_ends(
    said: list[str], shown: list[str]
):
    lines = [{"speaker": "mia", "text": text, "paragraph": 0} for text in said]
    (letters,), _ = letters_of(source_of(panel(0, "", lines=lines)), FACES, "sentence")
    assert [one.shown.text for one in letters] == shown


@pytest.mark.parametrize(
    ("speakers", "paragraphs", "count"),
    [
        (("mia", "mia", "mia"), (0, 0, 0), 1),
        (("mia", "tim", "mia"), (0, 0, 0), 3),
        (("mia", "mia", "mia"), (0, 1, 1), 2),
        (("", "", ""), (0, 0, 0), 3),
    ],
)
def test_what_one_person_says_in_one_go_is_one_balloon(
    speakers: tuple[str, ...], paragraphs: tuple[int, ...], count: int
):
    lines: list[dict[str, object]] = [
        {"speaker": who, "text": "Run!", "paragraph": at}
        for who, at in zip(speakers, paragraphs, strict=True)
    ]
    (letters,), _ = letters_of(source_of(panel(0, "", lines=lines)), FACES, "sentence")
    assert len(letters) == count
    assert " ".join(one.shown.text for one in letters) == "Run! Run! Run!"
    one = replace(source_of(panel(0, "", lines=lines[:2])), language="zh")
    if count == 1:
        assert [x.shown.text for x in letters_of(one, FACES, "sentence")[0][0]] == ["Run!Run!"]
