"""A self-contained page: the table, the plots, and panels side by side.

Reads the document of a comparison and its panels.
"""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.evaluation.drawing import png_of
from benchmarks.evaluation.pairs import Group, Pixels
from benchmarks.evaluation.run import Outcome

MEASURES = (
    "identity",
    "identity_exact",
    "action_accuracy",
    "joint_error_degrees",
    "pose_leakage",
    "nearer_to_reference",
    "scene_accuracy",
    "scene_leakage",
    "copying",
    "diversity",
)
STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #1d2430; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: 3px 9px; text-align: right; border-bottom: 1px solid #e3e7ec; }
th:first-child, td:first-child { text-align: left; }
small { color: #7b8794; }
.panels td, .panels th { text-align: center; border: 0; padding: 2px 4px; font-size: 11px; }
.panels td:first-child { max-width: 11rem; text-align: left; }
.panels img { width: 96px; image-rendering: pixelated; }
"""


def write_page(
    path: Path,
    document: Mapping[str, Any],
    outcome: Outcome,
    groups: Sequence[Group],
    plots: Sequence[Path],
    rows: int = 12,
) -> None:
    """Write the page: `rows` pairs, of different characters if possible."""
    body = [
        "<h1>Identity against leakage</h1>",
        f"<p>{html.escape(_summary(document))}</p>",
        _table(document),
        *(f'<p><img alt="{plot.stem}" src="{_inline(plot.read_bytes())}"></p>' for plot in plots),
        "<h2>Panels</h2>",
        _pictures(outcome, groups, rows, document["best"]),
    ]
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>Identity against leakage</title><style>{STYLE}</style></head><body>"
        f"{''.join(body)}</body></html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _summary(document: Mapping[str, Any]) -> str:
    chosen = document["default"] or "none"
    return (
        f"Weights {document['weights'][:12]}. Default by the rule: {chosen} "
        f"({document['default_reason']}). Value and 95% interval; a dash where there is none."
    )


def _table(document: Mapping[str, Any]) -> str:
    rows = [
        ("real pictures", document["floor"]),
        ("the reference, pasted", document["copy_of_the_reference"]),
        *document["methods"].items(),
    ]
    head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in ("method", *MEASURES))
    lines = [
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(f"<td>{_cell(entry.get(measure))}</td>" for measure in MEASURES)
        + "</tr>"
        for name, entry in rows
    ]
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _cell(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "&ndash;"
    digits = 1 if abs(found["value"]) >= 10 else 3
    value, low, high = (f"{found[end]:.{digits}f}" for end in ("value", "low", "high"))
    return f"{value}<br><small>{low} to {high}</small>"


def _pictures(outcome: Outcome, groups: Sequence[Group], rows: int, best: str | None) -> str:
    """A table of panels by method; of the sweeps it shows only the best preset."""
    shown = [m.name for m in outcome.methods if m.family != "sweep" or m.name == best]
    places = _places(groups, min(len(outcome.panels[name].pairs) for name in shown))[:rows]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("asked for", "reference", *shown))
    lines = []
    for place, prompt, reference in places:
        pictures = [reference, *(png_of(_panel(outcome, name, place)) for name in shown)]
        cells = "".join(f'<td><img alt="" src="{_inline(png)}"></td>' for png in pictures)
        lines.append(f"<tr><td>{html.escape(prompt)}</td>{cells}</tr>")
    return f'<table class="panels"><tr>{head}</tr>{"".join(lines)}</table>'


def _places(groups: Sequence[Group], count: int) -> list[tuple[int, str, bytes]]:
    """(index of the panel, prompt, reference): first targets of all groups, then second ones."""
    found: list[tuple[int, int, str, bytes]] = []
    index = 0
    for group in groups:
        for order, target in enumerate(group.targets):
            prompt = target.prompt.replace("{who}", group.caption)
            found.append((order, index, prompt, group.reference.png))
            index += 1
    return [place[1:] for place in sorted(found, key=lambda p: p[:2]) if place[1] < count]


def _panel(outcome: Outcome, name: str, place: int) -> Pixels:
    pixels: Pixels = outcome.panels[name].pixels[place]
    return pixels


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
