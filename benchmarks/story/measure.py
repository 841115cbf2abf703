"""Compares the steps of a planner with what is true of a story."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from benchmarks.story.truth import Story
from lafi_story.steps import Cast, Scenes, Script

QUESTIONS = ("characters", "scenes", "presence", "speakers")


@dataclass(slots=True)
class Count:
    """Of one question: found and true, found in all, true in all."""

    right: int = 0
    found: int = 0
    true: int = 0

    def add(self, found: Iterable[object], true: Iterable[object]) -> None:
        """Count two sets."""
        one, other = set(found), set(true)
        self.right += len(one & other)
        self.found += len(one)
        self.true += len(other)

    def plus(self, other: "Count") -> "Count":
        """Both together."""
        return Count(self.right + other.right, self.found + other.found, self.true + other.true)

    @property
    def f1(self) -> float:
        """2 right / (found + true); 1 where there is nothing to find and nothing was found."""
        whole = self.found + self.true
        return 2 * self.right / whole if whole else 1.0


@dataclass(slots=True)
class Measured:
    """One count for each question, and what went wrong, in words."""

    counts: dict[str, Count] = field(default_factory=lambda: {q: Count() for q in QUESTIONS})
    wrong: list[str] = field(default_factory=list)


def measure(story: Story, scenes: Scenes, cast: Cast, script: Script) -> Measured:
    """The script must have a panel for every passage.

    Characters match where they share a name, each once, those with most names in common first;
    borders where they are the same paragraph; who is in a panel is compared with who is there in
    its paragraphs; a quote without a speaker counts as one that is not found.
    """
    result = Measured()
    keys = _matched(story, cast)
    result.counts["characters"].add(
        [keys.get(person.name, person.name + "?") for person in cast.characters], story.characters
    )
    borders = {scene.first for scene in scenes.scenes} - {0}
    result.counts["scenes"].add(borders, story.borders)
    result.wrong += [f"border {n}: not found" for n in sorted(story.borders - borders)]
    result.wrong += [f"border {n}: is none" for n in sorted(borders - story.borders)]
    presence, speakers = result.counts["presence"], result.counts["speakers"]
    for panel in script.panels:
        where = range(panel.first, panel.last + 1)
        found = {keys.get(f.name, f.name + "?") for f in panel.figures}
        true = {key for number in where for key in story.present[number]}
        presence.add(found, true)
        if found != true:
            result.wrong.append(f"panel {where}: {sorted(found)}, true {sorted(true)}")
        for number in where:
            lines = [line for line in panel.lines if line.paragraph == number]
            said = [keys.get(x.speaker, x.speaker + "?") if x.speaker else "" for x in lines]
            right = story.speakers[number]
            speakers.add([(n, s) for n, s in enumerate(said) if s], enumerate(right))
            if said != list(right):
                result.wrong.append(f"speakers of {number}: {said}, true {list(right)}")
    return result


def _matched(story: Story, cast: Cast) -> Mapping[str, str]:
    """Character of the cast -> key of the story."""
    shared = sorted(
        (
            (-len(names & {a.casefold() for a in person.aliases}), person.name, key)
            for person in cast.characters
            for key, aliases in story.characters.items()
            if (names := {a.casefold() for a in aliases}) & {a.casefold() for a in person.aliases}
        ),
    )
    found: dict[str, str] = {}
    for _, name, key in shared:
        if name not in found and key not in found.values():
            found[name] = key
    return found
