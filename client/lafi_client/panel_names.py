"""Names panel files by a template such as `{date}/{title}_{panel}`. Touches no file."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime

from lafi.board.error import closest, shown
from lafi.board.storyboard import Storyboard

FIELDS = ("date", "time", "title", "story", "panel", "seed")
_FIELD = re.compile(r"\{([^{}]*)\}")
_FORBIDDEN = re.compile(r'[\\:*?"<>|\x00-\x1f\x7f{}]')
_RESERVED = re.compile(r"(portrait|preview)_.*\.png|contact_sheet\.png", re.IGNORECASE)
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)", re.IGNORECASE)
"""What Windows takes for a device, at the beginning of a name."""
_LONGEST_VALUE, _LONGEST_NAME = 80, 200
"""UTF-8 bytes: the limits for the text of a field, and for the name of a file or folder."""


def panel_names(
    template: str, storyboard: Storyboard, story: str, when: datetime
) -> tuple[str, ...]:
    """The path of each panel's file inside the drawing's folder, with `/` and `.png`.

    story: name of the storyboard's file, without its suffix. The names are safe on every system,
    for any title. Raises ValueError if the template leads out of the folder, names a field that is
    not in FIELDS, or gives two panels the same name.
    """
    for field in _FIELD.findall(template):
        if field not in FIELDS:
            allowed = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise _refused("{" + field + "}", f"{allowed}{closest(field, FIELDS)}")
    names = tuple(
        _name(template, _values(storyboard, number, story, when))
        for number in range(len(storyboard.panels))
    )
    seen: dict[str, int] = {}
    for number, name in enumerate(names):
        first = seen.setdefault(name.casefold(), number)
        if first != number:
            got = f"{name} for panels {first} and {number}"
            raise ValueError(f"--name: got {got}, allowed a name of its own for each, by {{panel}}")
    return names


def _values(storyboard: Storyboard, number: int, story: str, when: datetime) -> dict[str, str]:
    return {
        "date": when.strftime("%Y-%m-%d"),
        "time": when.strftime("%H-%M-%S"),
        "title": _safe(storyboard.title) or "untitled",
        "story": _safe(story) or "story",
        "panel": f"{number:02d}",
        "seed": str(storyboard.panels[number].seed),
    }


def _name(template: str, values: dict[str, str]) -> str:
    literal = _FIELD.sub("", template)
    if found := _FORBIDDEN.search(literal):
        raise _refused(template, f"no {shown(found[0])} in a name")
    name = _FIELD.sub(lambda match: values[match[1]], template)
    name = name if name.lower().endswith(".png") else f"{name}.png"
    parts = [_renamed(part.rstrip(" .")) for part in name.split("/")]
    for part in parts:
        if not part.removesuffix(".png").strip(" .") or part[0] in ". ":
            raise _refused(template, "a path below the folder, each part with a name of its own")
        if len(part.encode()) > _LONGEST_NAME:
            raise _refused(template, f"parts of at most {_LONGEST_NAME} bytes")
    name = "/".join(parts)
    if _RESERVED.fullmatch(name):
        raise _refused(template, "other names than those of portraits, previews and the sheet")
    return name


def _renamed(part: str) -> str:
    return f"_{part}" if _DEVICE.match(part) else part


def _safe(text: str) -> str:
    """Keeps letters, digits, blanks, `-`, `_` and inner dots; other characters become `_`."""
    text = unicodedata.normalize("NFC", text)
    kept = "".join(c if c.isalnum() or c in " -_." else "_" for c in text)
    return kept.encode()[:_LONGEST_VALUE].decode(errors="ignore").strip(" .")


def _refused(got: str, allowed: str) -> ValueError:
    return ValueError(f"--name: got {shown(got)}, allowed {allowed}")
