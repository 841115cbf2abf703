"""`Planner` by rules, without a language model or a network; what it cannot know stays open."""

from collections.abc import Sequence

from lafi_story.cast import find_cast, known_of
from lafi_story.language import LanguageReader, Reading
from lafi_story.panels import write_panels
from lafi_story.planner import Report, silent
from lafi_story.readings import reader_for, readings_of
from lafi_story.resolving import Resolver
from lafi_story.scenes import find_scenes
from lafi_story.steps import Cast, Outline, Scenes, Script
from lafi_story.vocabulary import Vocabulary


class RulePlanner:
    """Reads a text once; the steps go by what it read."""

    version = 5
    """Another one makes kept steps anew."""

    def __init__(self, vocabulary: Vocabulary, reader: LanguageReader | None = None) -> None:
        """reader: default: the one for the language of the first text that is planned."""
        self._vocabulary = vocabulary
        self._reader = reader
        self._read: tuple[Outline, Sequence[Reading]] | None = None

    @property
    def identity(self) -> str:
        """As `Planner`."""
        return f"rules {self.version}, vocabulary {self._vocabulary.name}"

    def scenes(self, outline: Outline, report: Report = silent) -> Scenes:
        """As `Planner`. Raises ModuleNotFoundError where the extra `story` is not installed."""
        return find_scenes(outline, self._readings(outline, report))

    def characters(self, outline: Outline, scenes: Scenes, report: Report = silent) -> Cast:
        """As `Planner`."""
        readings = self._readings(outline, report)
        reader = self._reader_for(outline)
        return find_cast(readings, _starts(scenes), reader, self._vocabulary)

    def panels(
        self, outline: Outline, scenes: Scenes, cast: Cast, count: int, report: Report = silent
    ) -> Script:
        """As `Planner`."""
        readings = self._readings(outline, report)
        understood = Resolver(known_of(cast), _starts(scenes)).run(readings)
        free = self._vocabulary.free
        return write_panels(outline, scenes, readings, understood, count, free=free)

    def _reader_for(self, outline: Outline) -> LanguageReader:
        if self._reader is None:
            self._reader = reader_for(outline.language, self._vocabulary)
        return self._reader

    def _readings(self, outline: Outline, report: Report) -> Sequence[Reading]:
        if self._read is None or self._read[0] is not outline:
            self._read = outline, readings_of(outline, self._reader_for(outline), report)
        return self._read[1]


def _starts(scenes: Scenes) -> frozenset[int]:
    return frozenset(scene.first for scene in scenes.scenes)
