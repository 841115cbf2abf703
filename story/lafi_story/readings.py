"""The paragraphs of a text as a language's reader reads them, each read once and kept."""

from collections.abc import Sequence

from lafi_story.language import LanguageReader, Reading
from lafi_story.planner import Report, silent
from lafi_story.steps import Language, Outline
from lafi_story.vocabulary import Vocabulary

_NOTHING = Reading("", (), ())


def reader_for(language: Language, vocabulary: Vocabulary) -> LanguageReader:
    """Raises ModuleNotFoundError where the extra `story` is not installed."""
    if language == "zh":
        from lafi_story.chinese import ChineseReader

        return ChineseReader(vocabulary)
    from lafi_story.english import EnglishReader

    return EnglishReader(vocabulary)


def readings_of(
    outline: Outline, reader: LanguageReader, report: Report = silent
) -> Sequence[Reading]:
    """One for each paragraph; empty ones for heads and breaks."""
    reader.learn(p.text for p in outline.paragraphs if p.kind == "text")
    found, whole = [], len(outline.paragraphs)
    for number, paragraph in enumerate(outline.paragraphs):
        found.append(reader.read(paragraph.text) if paragraph.kind == "text" else _NOTHING)
        report("reading", number + 1, whole)
    return found
