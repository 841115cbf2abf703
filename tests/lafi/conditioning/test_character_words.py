"""Which part of a prompt is which character's words."""

from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.injection import Injection
from lafi.board.storyboard import PLACEHOLDER, Character, Panel, Storyboard
from lafi.conditioning.character_words import EVERYWHERE, limited_words, object_slot

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
MIA = Character(name="mia", prompt="a slim child", trigger="mia_v1")
TOM = Character(name="tom", prompt="a boy")


def board(panel: Panel, injection: Injection | None = None) -> Storyboard:
    return Storyboard(
        characters=(MIA, TOM), panels=(panel,), injection=injection or Injection(layers="none")
    )


@settings(deadline=None, max_examples=50)
@given(st.from_type(Storyboard))
def test_a_span_is_the_caption_of_its_character_and_each_mention_has_one(story: Storyboard) -> None:
    for panel in story.panels:
        text = panel.prompt_text(story)
        spans = limited_words(story, panel)
        limited = [
            name
            for name in PLACEHOLDER.findall(panel.prompt)
            if panel.regions.get(name, EVERYWHERE) != EVERYWHERE
            and story.effective_injection(panel).words == "region"
        ]
        cast = [span for span in spans if span.slot < len(panel.characters)]
        assert [panel.characters[span.slot] for span in cast] == limited
        assert [text[span.start : span.stop] for span in cast] == [
            story.character(name).caption for name in limited
        ]
        placed = {span.slot: text[span.start : span.stop] for span in spans if span not in cast}
        assert placed == {
            object_slot(panel, number): each.words
            for number, each in enumerate(panel.objects)
            if each.box != EVERYWHERE
        }
        edges = [edge for span in spans for edge in (span.start, span.stop)]
        assert edges == sorted(edges)


def test_only_who_has_a_region_smaller_than_the_panel_is_limited() -> None:
    prompt = "{tom}, {mia} and {mia}"
    both = board(Panel(prompt=prompt, regions={"mia": RIGHT, "tom": EVERYWHERE}))
    assert limited_words(both, both.panels[0]) == ((7, 26, 1), (31, 50, 1))
    nobody = board(Panel(prompt=prompt))
    assert limited_words(nobody, nobody.panels[0]) == ()


def test_who_is_not_in_the_prompt_has_no_words_and_who_is_only_there_no_region() -> None:
    silent = board(Panel(prompt="a beach", characters=("mia",), regions={"mia": LEFT}))
    assert limited_words(silent, silent.panels[0]) == ()
    unread = board(Panel(prompt="{mia} and {tom}", characters=("tom",), regions={"tom": LEFT}))
    assert limited_words(unread, unread.panels[0]) == ((24, 29, 0),)


def test_it_can_be_turned_off_for_a_storyboard_and_for_a_panel() -> None:
    off = Injection(words="everywhere")
    given_on = {"prompt": "{mia} runs", "regions": {"mia": LEFT}}
    for panel, injection in (
        (Panel(**given_on), off),
        (Panel(**given_on, injection=off), Injection()),
    ):
        story = board(panel, injection)
        assert limited_words(story, story.panels[0]) == ()
    story = board(Panel(**given_on, injection=Injection(words="region")), off)
    assert limited_words(story, story.panels[0]) == ((0, 19, 0),)


def test_objects_are_placed_whatever_is_said_of_characters() -> None:
    kite = {"words": "a red kite", "box": RIGHT}
    given_on = {"prompt": "{mia} and a red kite", "regions": {"mia": LEFT}, "objects": [kite]}
    both = board(Panel(**given_on))
    assert limited_words(both, both.panels[0]) == ((0, 19, 0), (24, 34, 1))
    off = board(Panel(**given_on), Injection(words="everywhere"))
    assert limited_words(off, off.panels[0]) == ((24, 34, 1),)
