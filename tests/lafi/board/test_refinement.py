"""A storyboard's next round: who reads whom, and what of a panel changes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_loop import picture

from lafi.board.error import StoryboardError
from lafi.board.further_reference import MAX_FURTHER_REFERENCES
from lafi.board.reference_image import ReferenceImage
from lafi.board.refinement import Refinement, panels_read, refined
from lafi.board.storyboard import Storyboard

CAST = [{"name": name, "prompt": f"a child called {name}"} for name in ("mia", "tom", "eva")]
HALF = {"mia": [0, 0, 0.5, 1], "tom": [0.5, 0, 1, 1], "eva": [0, 0, 1, 0.5]}
PICTURES = {number: picture(number, 16, 16) for number in range(8)}


def board(*panels: dict[str, Any], **fields: Any) -> Storyboard:
    return Storyboard.model_validate({"characters": CAST, "panels": panels, **fields})


def alone(name: str, count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"{{{name}}} in place {number}"} for number in range(count)]


@st.composite
def boards(draw: st.DrawFn) -> Storyboard:
    panels = []
    for _ in range(draw(st.integers(1, 8))):
        cast = draw(st.lists(st.sampled_from(["mia", "tom", "eva"]), unique=True))
        placed = draw(st.lists(st.sampled_from(cast), unique=True)) if cast else []
        regions = {name: HALF[name] for name in placed}
        panels.append({"prompt": "somewhere", "characters": cast, "regions": regions})
    return board(*panels)


@settings(deadline=None, max_examples=60)
@given(boards(), st.integers(1, MAX_FURTHER_REFERENCES), st.data())
def test_a_panel_reads_others_that_show_its_characters_apart(
    story: Storyboard, others: int, data: st.DataObject
) -> None:
    numbers = range(len(story.panels))
    failed = data.draw(st.sets(st.sampled_from([*numbers])))
    drawn = {number: PICTURES[number] for number in numbers if number not in failed}
    again = refined(story, drawn, Refinement(others))
    where = {ReferenceImage.of_file(data).sha256: number for number, data in drawn.items()}
    for number, panel in enumerate(again.panels):
        assert len(panel.references) <= others
        places = [where[reference.image.sha256] for reference in panel.references]
        assert number not in places
        for reference, place in zip(panel.references, places, strict=True):
            shown = story.panels[place]
            assert reference.character in panel.characters
            assert reference.part == shown.regions.get(reference.character)
            assert reference.part is not None or shown.characters == (reference.character,)
        # Nobody is left out while there is room for one more.
        possible = [found for found in panels_read(story, number) if found[1] in drawn]
        assert len(panel.references) == min(others, len(possible))
        changed = {"references": panel.references}
        assert story.panels[number].model_copy(update=changed) == panel


def test_the_nearest_panels_come_first_and_characters_take_turns() -> None:
    both = {"prompt": "{mia} and {tom}", "regions": {"mia": HALF["mia"], "tom": HALF["tom"]}}
    story = board(*alone("mia", 3), both, *alone("tom", 1), *alone("mia", 1))
    found = [(name, number) for name, number, _ in panels_read(story, 3)]
    assert found == [("mia", 2), ("tom", 4), ("mia", 1), ("mia", 5), ("mia", 0)]


def test_a_place_hides_no_figure_and_is_read_where_it_is_empty() -> None:
    cast = [*CAST[:2], {"name": "harbour", "prompt": "a harbour", "kind": "place"}]
    panels = [{"prompt": text} for text in ("{mia} in {harbour}", "{harbour}", "{mia} and {tom}")]
    story = Storyboard.model_validate(
        {"characters": cast, "panels": [*panels, {"prompt": "{mia} and {harbour} at night"}]}
    )
    assert panels_read(story, 3) == [("mia", 0, None), ("harbour", 1, None)]


def test_own_references_of_a_panel_stay_and_take_room() -> None:
    own = [{"character": "mia", "image": picture(90 + n, 16, 16)} for n in range(3)]
    story = board(*alone("mia", 4), {"prompt": "{mia}", "references": own})
    again = refined(story, PICTURES, Refinement())
    assert again.panels[4].references[:3] == story.panels[4].references
    assert [r.image.data for r in again.panels[4].references[3:]] == [PICTURES[3]]


def test_with_less_noise_a_panel_begins_with_itself() -> None:
    stages = [{"size": 0.5, "steps": 20}, {"steps": 10, "guidance": 3, "denoise": 0.6}]
    story = board(*alone("mia", 2), sampling={"stages": stages})
    again = refined(story, PICTURES, Refinement(denoise=0.5))
    for number, panel in enumerate(again.panels):
        (stage,) = again.effective_sampling(panel).stages
        assert (stage.steps, stage.guidance, stage.denoise) == (5, 3, 0.5)
        assert stage.source is not None
        assert stage.source.image == ReferenceImage.of_file(PICTURES[number])


def test_a_panel_with_a_source_of_its_own_keeps_its_stages() -> None:
    later = {"prompt": "{mia}", "sampling": {"from": 0, "denoise": 0.7}}
    story = board(*alone("mia", 1), later)
    again = refined(story, PICTURES, Refinement(denoise=0.5))
    assert again.panels[1].sampling == story.panels[1].sampling
    assert again.panels[1].references


def test_it_is_a_storyboard_that_can_be_sent() -> None:
    story = board(*alone("mia", 3), retries=1, title="three")
    again = refined(story, PICTURES, Refinement(denoise=0.5))
    assert Storyboard.model_validate(again.model_dump()).panels == again.panels


def test_more_pictures_than_a_storyboard_may_have_are_refused() -> None:
    story = board(*alone("mia", 40))
    drawn = {number: picture(number, 16, 16) for number in range(40)}
    with pytest.raises(StoryboardError, match="got 40 different pictures, allowed: at most 32"):
        refined(story, drawn, Refinement(denoise=0.5))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"others": 0}, "others: got 0, allowed: 1 to 4"),
        ({"others": 5}, "others: got 5, allowed: 1 to 4"),
        ({"denoise": 0.0}, "denoise: got 0.0, allowed: more than 0, at most 1"),
        ({"denoise": float("nan")}, "denoise: got nan, allowed: more than 0, at most 1"),
    ],
)
def test_bad_settings(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(StoryboardError, match=said):
        Refinement(**settings)
