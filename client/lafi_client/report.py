"""A storyboard as one self-contained HTML page: pictures inside, no script, no network."""

from __future__ import annotations

import base64
from html import escape
from importlib import resources
from string import Template

from lafi_client.album import Album, CastMember, PanelEntry

_SIGNATURES = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8", "image/jpeg"),
    (b"RIFF", "image/webp"),
)


def report(album: Album) -> str:
    """The page as text. All text from the storyboard is escaped."""
    page = resources.files("lafi_client").joinpath("report.html").read_text(encoding="utf-8")
    cast = {member.name: member for member in album.cast}
    return Template(page).substitute(
        title=escape(album.title or "Storyboard"),
        summary=_summary(album),
        cast="\n".join(map(_member, album.cast)) or "<p>None.</p>",
        panels="\n".join(_panel(entry, cast) for entry in album.panels),
    )


def _summary(album: Album) -> str:
    drawn = sum(entry.picture is not None for entry in album.panels)
    parts = [
        f"<b>{drawn}</b> of <b>{len(album.panels)}</b> panels",
        f"{album.width} &times; {album.height} px",
    ]
    if kept := sum(bool(entry.note) for entry in album.panels):
        parts.append(f"{kept} kept from an earlier run")
    if album.seconds is not None:
        parts.append(f"this run took <b>{album.seconds:.1f} s</b>")
    return " &middot; ".join(parts)


def _member(member: CastMember) -> str:
    kind = "portrait, drawn" if member.drawn else "reference given"
    return (
        f'<article class="card member"><div>{_image(member.picture, member.name)}</div>'
        f'<div><h3>{escape(member.name)}<span class="tag">{kind}</span></h3>'
        f'<p dir="auto">{escape(member.description)}</p></div></article>'
    )


def _panel(entry: PanelEntry, cast: dict[str, CastMember]) -> str:
    note = f'<span class="tag">{escape(entry.note)}</span>' if entry.note else ""
    references = "".join(
        [
            *(_beside(cast[name].picture, name) for name in entry.characters if name in cast),
            *(_beside(control.picture, control.caption) for control in entry.controls),
        ]
    )
    beside = f'<div class="references">{references}</div>' if references else ""
    picture = _image(entry.picture, f"panel {entry.number}", entry.error or "not drawn")
    return (
        f'<article class="card" id="panel-{entry.number}"><div class="pictures">{beside}'
        f'<figure class="panel">{picture}</figure></div>'
        f'<h3>Panel {entry.number}{note}</h3><p dir="auto">{escape(entry.caption)}</p>'
        f"<dl>{_facts(entry)}</dl>"
        f'<details><summary>Full prompt</summary><p dir="auto">{escape(entry.prompt)}</p>'
        f"{_negative(entry)}</details></article>"
    )


def _beside(picture: bytes | None, name: str) -> str:
    """What a panel reads or is steered by."""
    return f"<figure>{_image(picture, name)}<figcaption>{escape(name)}</figcaption></figure>"


def _facts(entry: PanelEntry) -> str:
    drawings = f"{entry.seed}, best of {entry.attempts} drawings"
    seconds = "" if entry.seconds is None else f"{entry.seconds:.2f} s"
    facts = {
        "Seed": drawings if entry.attempts > 1 else str(entry.seed),
        "Scores": ", ".join(f"{name} {score:.2f}" for name, score in entry.scores),
        "Time": seconds,
        "Sampling": entry.sampling,
        "Injection": entry.injection,
        "Enlarged": f"{entry.upscale} times" if entry.upscale > 1 else "",
        "Address": entry.address[:16],
    }
    return "".join(
        f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value
    )


def _negative(entry: PanelEntry) -> str:
    if not entry.negative_prompt:
        return ""
    return f'<p dir="auto">Not: {escape(entry.negative_prompt)}</p>'


def _image(picture: bytes | None, name: str, otherwise: str = "no picture") -> str:
    if picture is None:
        return f'<div class="missing">{escape(otherwise)}</div>'
    data = base64.b64encode(picture).decode("ascii")
    return f'<img alt="{escape(name)}" src="data:{_media_type(picture)};base64,{data}">'


def _media_type(picture: bytes) -> str:
    for signature, media_type in _SIGNATURES:
        if picture.startswith(signature):
            return media_type
    return "application/octet-stream"
