"""The model's scenes of all parts to `Scenes`: borders of the text, in order, each once."""

from collections.abc import Iterable

from lafi_story.llm.answers import SceneFound, ScenesFound
from lafi_story.llm.checks import Notes, word_of
from lafi_story.scenes import left_open
from lafi_story.steps import Outline, Scene, Scenes, quoted
from lafi_story.vocabulary import Vocabulary


def scenes_of(
    outline: Outline, answers: Iterable[tuple[range, ScenesFound]], vocabulary: Vocabulary
) -> Scenes:
    """Every paragraph is in one scene, whatever was answered."""
    notes, begun = Notes(), dict[int, SceneFound]()
    for part, answer in answers:
        for scene in answer.scenes:
            if scene.first not in part:
                where = f"paragraphs {part.start} to {part.stop - 1}"
                notes.add(f"a scene border at {scene.first} is outside {where}; it is left out")
            elif scene.first in begun:
                notes.add(f"a second scene begins at paragraph {scene.first}; it is left out")
            else:
                begun[scene.first] = scene
    if 0 not in begun:
        notes.add("no scene begins with the text; one is begun there, its place left open")
        begun[0] = SceneFound(first=0, place="", light="", why="the beginning")
    starts = sorted(begun)
    ends = [*(start - 1 for start in starts[1:]), len(outline.paragraphs) - 1]
    scenes = tuple(
        Scene(
            first=first,
            last=last,
            place=word_of(vocabulary, "places", begun[first].place, f"scene {number}", notes),
            light=word_of(vocabulary, "lights", begun[first].light, f"scene {number}", notes),
            why=quoted(begun[first].why),
        )
        for number, (first, last) in enumerate(zip(starts, ends, strict=True))
    )
    return Scenes(scenes=scenes, notes=(*notes.lines, *left_open(scenes)))
