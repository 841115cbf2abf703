"""Draws a storyboard again and again, each time with another self-attention disturbed or injected.

What was measured is kept after every site, so that a long probe may be ended and goes on.
"""

import hashlib
import io
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from torch import nn

from lafi.board.injection import Injection
from lafi.board.letterbox import Pixels
from lafi.board.reference_image import ReferenceImage
from lafi.board.storyboard import Storyboard
from lafi.drawing.pipeline import draw
from lafi.model.probe_report import (
    ProbeError,
    ProbeReport,
    ProbeSettings,
    SiteReport,
    load_probe,
)
from lafi.ports.engines import Engines
from lafi.probe.disturbed import DisturbedDenoiser, Kind
from lafi.probe.effects import layout_gain, psnr, texture_gain
from lafi.wire.events import Failed, PanelImage, Portrait

_NOTHING: Final = Injection(layers="none")
"""Of the pictures that all others are compared with."""


class Probe:
    """The pictures of one storyboard as its model draws them, and what changes them.

    storyboard: one character or more and panels that show one of them; a character without a
    reference is drawn once, without injection.
    """

    def __init__(self, storyboard: Storyboard, engines: Engines, network: nn.Module) -> None:
        """network: that of the engines' denoiser. Raises ProbeError for panels it cannot use."""
        for index, panel in enumerate(storyboard.panels):
            if not panel.characters:
                raise ProbeError(f"panels[{index}]: got no character, allowed one or more")
            if panel.injection is not None:
                raise ProbeError(f"panels[{index}].injection: got one, allowed the storyboard's")
        self._engines = engines
        self._network = network
        self._storyboard, self._references = _with_references(storyboard, engines)
        self._plain = _pictures(self._storyboard.model_copy(update=_injecting(_NOTHING)), engines)

    def report(self, index: int) -> SiteReport:
        """What the model's site of that index does."""
        site = self._engines.info.layers[index]
        disturbed = {kind: self._disturbed(index, kind) for kind in ("position", "content")}
        injected = self._injected(index)
        triples = [(self._plain[i], injected[i], self._reference(i)) for i in sorted(self._plain)]
        return SiteReport(
            name=site.name,
            block=site.block,
            **disturbed,
            layout=_mean([layout_gain(*triple) for triple in triples]),
            texture=_mean([texture_gain(*triple) for triple in triples]),
        )

    def _disturbed(self, index: int, kind: Kind) -> float:
        site = self._engines.info.layers[index]
        denoiser = DisturbedDenoiser(self._engines.denoiser, self._network, site, kind)
        board = self._storyboard.model_copy(update=_injecting(_NOTHING))
        found = _pictures(board, replace(self._engines, denoiser=denoiser))
        return _mean([psnr(self._plain[i], found[i]) for i in sorted(self._plain)])

    def _injected(self, index: int) -> dict[int, Pixels]:
        injection = self._storyboard.injection.model_copy(update={"layers": (index,)})
        return _pictures(self._storyboard.model_copy(update=_injecting(injection)), self._engines)

    def _reference(self, panel: int) -> Pixels:
        """The picture of the first character of a panel, as large as the panel."""
        shown = self._references[self._storyboard.panels[panel].characters[0]]
        high, wide = self._plain[panel].shape[:2]
        return np.asarray(Image.fromarray(shown).resize((wide, high), Image.Resampling.LANCZOS))


def probe(
    storyboard: Storyboard,
    engines: Engines,
    network: nn.Module,
    folder: Path,
    *,
    seconds: float | None = None,
    said: Callable[[SiteReport, int], None] = lambda site, left: None,
) -> ProbeReport:
    """Measures every site that the report in `folder` lacks, and keeps each.

    seconds: after them no further site is begun; None: all are measured. said: is told of each site
    and of how many are left. Raises ProbeError for a report of other weights or another storyboard.
    """
    settings = _settings(storyboard, engines)
    count = len(engines.info.layers)
    report = load_probe(folder) or ProbeReport(settings=settings, count=count)
    if report.settings != settings:
        raise ProbeError(
            f"{folder}: got a probe of other weights or another storyboard, allowed: the same; "
            "remove it to begin anew"
        )
    begun, measured = time.monotonic(), None
    for index in range(len(report.sites), count):
        late = seconds is not None and time.monotonic() - begun >= seconds
        if measured is not None and late:
            break
        measured = measured or Probe(storyboard, engines, network)
        site = measured.report(index)
        report = report.model_copy(update={"sites": (*report.sites, site)})
        report.save(folder)
        said(site, count - index - 1)
    return report


def _settings(storyboard: Storyboard, engines: Engines) -> ProbeSettings:
    stage = storyboard.sampling.stages[0]
    return ProbeSettings(
        weights_sha256=engines.info.weights_sha256,
        storyboard_sha256=hashlib.sha256(storyboard.model_dump_json().encode()).hexdigest(),
        steps=stage.steps,
        guidance=stage.guidance,
        width=storyboard.width,
        height=storyboard.height,
    )


def _with_references(
    storyboard: Storyboard, engines: Engines
) -> tuple[Storyboard, dict[str, Pixels]]:
    """The storyboard whose characters all have a reference, and these as pictures."""
    drawn: Mapping[str, bytes] = {}
    if any(character.reference is None for character in storyboard.characters):
        events = draw(storyboard, engines)
        drawn = {event.character: event.png for event in events if isinstance(event, Portrait)}
    characters = tuple(
        character
        if character.reference is not None
        else character.model_copy(update={"reference": ReferenceImage(data=drawn[character.name])})
        for character in storyboard.characters
    )
    pictures = {
        each.name: _decoded(each.reference.data)
        for each in characters
        if each.reference is not None
    }
    return storyboard.model_copy(update={"characters": characters}), pictures


def _pictures(storyboard: Storyboard, engines: Engines) -> dict[int, Pixels]:
    """Panel -> its pixels. Raises ProbeError for a panel that could not be drawn."""
    found = {}
    for event in draw(storyboard, engines):
        if isinstance(event, Failed):
            raise ProbeError(f"panels[{event.panel}]: {event.error}")
        if isinstance(event, PanelImage):
            found[event.panel] = _decoded(event.png)
    return found


def _decoded(png: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def _injecting(injection: Injection) -> dict[str, Injection]:
    return {"injection": injection}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
