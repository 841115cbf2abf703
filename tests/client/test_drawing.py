"""However often streams break, each panel is passed on once, under its own number."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.wire.events import (
    Accepted,
    Event,
    Failed,
    Finished,
    PanelImage,
    Portrait,
    Preview,
    Progress,
)
from lafi_client.drawing import Drawing
from lafi_client.errors import LafiError
from lafi_client.retry import RetryPolicy

COUNT = 6
STORYBOARD = Storyboard(
    characters=(
        Character(name="mia", prompt="a child"),
        Character(name="tom", prompt="another child"),
    ),
    panels=tuple(
        Panel(prompt="{mia} waving" if i % 2 else "{tom} running", seed=100 + i)
        for i in range(COUNT)
    ),
)
# What a stream does with each panel it was asked for, in some order, before it ends.
OUTCOMES = st.lists(
    st.tuples(st.integers(0, COUNT - 1), st.sampled_from(["panel", "later", "never", "nothing"])),
    max_size=2 * COUNT,
)


def image(asked: Storyboard, number: int) -> PanelImage:
    seed = asked.panels[number].seed
    return PanelImage(panel=number, seed=seed, prompt="", address="", seconds=0.0)


def answer(asked: Storyboard, number: int, outcome: str) -> list[Event]:
    if number >= len(asked.panels) or outcome == "nothing":
        return []
    if outcome == "panel":
        return [image(asked, number)]
    return [Failed(panel=number, error=outcome, retryable=outcome == "later")]


@settings(deadline=None)
@given(
    st.lists(st.tuples(OUTCOMES, st.booleans()), max_size=8),
    st.sets(st.integers(0, COUNT - 1)) | st.none(),
)
def test_each_panel_is_told_exactly_once(
    streams: list[tuple[list[tuple[int, str]], bool]], only: set[int] | None
) -> None:
    drawing = Drawing(STORYBOARD, RetryPolicy(retries=3, first_delay=0.0), only)
    told: list[Event] = []
    script = iter(streams)
    while not drawing.complete:
        asked = drawing.next_storyboard()
        outcomes, finishes = next(script, ([(i, "panel") for i in range(COUNT)], True))
        events: list[Event] = [Accepted(panels=0, portraits=0), Portrait(character="mia")]
        for number, outcome in outcomes:
            events += answer(asked, number, outcome)
        events += [Finished(panels=0, seconds=0.5)] if finishes else []
        try:
            told += [seen for event in events if (seen := drawing.receive(event)) is not None]
            drawing.end_stream()
        except LafiError as error:
            try:
                drawing.delay_after(error)
            except LafiError:
                break
    else:
        told += drawing.last_events()
        assert isinstance(told[-1], Finished)
        numbers = [e.panel for e in told if isinstance(e, PanelImage | Failed)]
        assert sorted(numbers) == sorted(range(COUNT) if only is None else only)
    panels = [event for event in told if isinstance(event, PanelImage)]
    assert all(panel.seed == 100 + panel.panel for panel in panels)
    assert len({panel.panel for panel in panels}) == len(panels)
    assert sum(isinstance(event, Accepted) for event in told) <= 1
    assert sum(isinstance(event, Portrait) for event in told) <= 1


def test_a_part_has_only_the_characters_that_it_needs() -> None:
    drawing = Drawing(STORYBOARD, RetryPolicy(), only=[1, 3])
    asked = drawing.next_storyboard()
    assert [character.name for character in asked.characters] == ["mia"]
    assert [panel.seed for panel in asked.panels] == [101, 103]
    assert Storyboard.model_validate(asked.model_dump()) == asked


def test_a_part_has_the_character_of_a_picture_prompt_who_is_not_in_it() -> None:
    cast = [{"name": name, "prompt": "a child"} for name in ("mia", "tom", "ann")]
    shown = {"prompt": "{tom}", "picture_prompts": [{"character": "ann"}]}
    board = Storyboard.model_validate({"characters": cast, "panels": [{"prompt": "{mia}"}, shown]})
    asked = Drawing(board, RetryPolicy(), only=[1]).next_storyboard()
    assert [character.name for character in asked.characters] == ["tom", "ann"]
    assert Storyboard.model_validate(asked.model_dump()) == asked


def test_a_part_brings_the_panels_that_it_begins_with() -> None:
    """Under new numbers, and they are not passed on."""
    stages = [{"steps": 2, "prompt": "{mia}"}, {"from": 1, "denoise": 0.5}]
    board = Storyboard.model_validate(
        {
            "characters": [{"name": "mia", "prompt": "a child"}],
            "panels": [
                {"prompt": "a dog"},
                {"prompt": "a cat"},
                {"prompt": "a hen"},
                {"prompt": "a cow", "sampling": {"stages": stages}},
            ],
        }
    )
    drawing = Drawing(board, RetryPolicy(), only=[3])
    asked = drawing.next_storyboard()
    assert [panel.prompt for panel in asked.panels] == ["a cat", "a cow"]
    assert [character.name for character in asked.characters] == ["mia"]
    source = asked.effective_sampling(asked.panels[1]).stages[1].source
    assert source is not None
    assert source.panel == 0
    assert Storyboard.model_validate(asked.model_dump()) == asked
    events = [
        Progress(panel=0, step=1, steps=2),
        Preview(panel=0, stage=1),
        image(asked, 0),
        Preview(panel=1, stage=1),
        image(asked, 1),
    ]
    told = [drawing.receive(event) for event in events]
    assert told[:3] == [None] * 3
    assert [event.panel for event in told[3:] if isinstance(event, Preview | PanelImage)] == [3, 3]
    assert drawing.complete
