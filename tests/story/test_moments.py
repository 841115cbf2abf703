from hypothesis import given
from hypothesis import strategies as st

from lafi_story.language import Reading
from lafi_story.moments import chosen, passages_of
from lafi_story.reading import outline_of
from lafi_story.resolving import Understood
from lafi_story.scenes import find_scenes

PARAGRAPHS = st.lists(
    st.sampled_from(["* * *", "Chapter 1", "a " * 20, "b " * 150, "so"]), min_size=1, max_size=25
).filter(lambda parts: any(part[0] in "abs" for part in parts))


@given(PARAGRAPHS, st.integers(1, 30), st.data())
def test_scenes_and_passages_hold_the_text_once(parts: list[str], count: int, data: st.DataObject):
    outline = outline_of("\n\n".join(parts))
    readings = [
        Reading(p.text, ((0, len(p.text)),), (), later=data.draw(st.booleans()))
        for p in outline.paragraphs
    ]
    scenes = find_scenes(outline, readings)
    covered = [n for scene in scenes.scenes for n in range(scene.first, scene.last + 1)]
    assert covered == list(range(len(readings)))

    passages = passages_of(outline, scenes, readings, [Understood() for _ in readings])
    shown = [n for p in passages for n in range(p.first, p.last + 1)]
    assert len(shown) == len(set(shown))
    text = {n for n, p in enumerate(outline.paragraphs) if p.kind == "text"}
    assert text <= set(shown)
    for passage in passages:
        scene = scenes.scenes[passage.scene]
        assert scene.first <= passage.first <= passage.last <= scene.last

    picked = chosen(passages, count)
    assert len(picked) == min(count, len(passages))
    assert [p for p in passages if p in picked] == list(picked)
    told = {p.scene for p in passages}
    assert len({p.scene for p in picked}) == min(len(told), count)
