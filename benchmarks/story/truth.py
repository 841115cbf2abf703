"""Stories with what is true of them.

A file begins with `title: ...`, `language: en`, `style: ...`, and `character: KEY = NAME | ALIAS`
lines. Then each paragraph is one line:

    [*mia,tim > mia,tim] "Come!" said Mia. "No," said Tim.

`*`: a scene begins here. Before `>`: who is there. After it: who says each quote, in order.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from lafi_story.quotes import quotes_of

_PARAGRAPH = re.compile(r"\[(\*?)([^>\]]*)>([^\]]*)\] (.+)")


@dataclass(frozen=True, slots=True)
class Story:
    """characters: key -> aliases. borders: paragraphs that begin a scene, without the first."""

    name: str
    language: str
    characters: dict[str, frozenset[str]]
    paragraphs: tuple[str, ...]
    borders: frozenset[int]
    present: tuple[frozenset[str], ...]
    speakers: tuple[tuple[str, ...], ...]

    @property
    def text(self) -> str:
        """As it is read: a blank line between two paragraphs."""
        return "\n\n".join(self.paragraphs)


def load_story(path: Path) -> Story:
    """Raises ValueError for a line that is neither a field nor a paragraph, and unknown keys."""
    fields: dict[str, str] = {}
    characters: dict[str, frozenset[str]] = {}
    rows: list[re.Match[str]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if match := _PARAGRAPH.fullmatch(line):
            rows.append(match)
        elif line.startswith("character: "):
            key, _, aliases = line.removeprefix("character: ").partition(" = ")
            characters[key] = frozenset(alias.strip() for alias in aliases.split("|"))
        elif line.strip():
            key, colon, value = line.partition(": ")
            if not colon:
                raise ValueError(f"{path.name}:{number}: neither a field nor a paragraph")
            fields[key] = value
    present = tuple(frozenset(_keys(row[2])) for row in rows)
    speakers = tuple(tuple(_keys(row[3])) for row in rows)
    unknown = {*(k for p in present for k in p), *(k for s in speakers for k in s)} - {*characters}
    if unknown:
        raise ValueError(f"{path.name}: no such character: {', '.join(sorted(unknown))}")
    for number, (row, said) in enumerate(zip(rows, speakers, strict=True)):
        if (count := len(quotes_of(row[4]))) != len(said):
            raise ValueError(f"{path.name}, paragraph {number}: {len(said)} for {count} quotes")
    return Story(
        name=path.stem,
        language=fields["language"],
        characters=characters,
        paragraphs=tuple(row[4] for row in rows),
        borders=frozenset(n for n, row in enumerate(rows) if row[1] and n),
        present=present,
        speakers=speakers,
    )


def _keys(text: str) -> list[str]:
    return [key.strip() for key in text.split(",") if key.strip()]
