"""What one storyboard finds in the store, and what it puts there.

Knows storyboards, records and addresses, not how a panel is drawn.
"""

import hashlib
import io
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from PIL import Image

from lafi.board.drawn_from import drawn_from
from lafi.board.letterbox import Pixels
from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.attempts import Attempts, Drawn
from lafi.drawing.content_address import content_address
from lafi.drawing.enlarge import panel_network
from lafi.ports.engines import Engines
from lafi.store.claims import Claims
from lafi.store.leases import Leases
from lafi.store.panels import PanelStore
from lafi.store.record import Facts, Record

_LOOK_SECONDS = 0.5
"""How often a storyboard that another server draws looks for finished panels."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Finished panels of all storyboards, and who is drawing which one right now."""

    panels: PanelStore
    claims: Claims
    leases: Leases | None = None
    """Who of several servers on one place draws which storyboard; None: there are no others."""


class Place(NamedTuple):
    """Where something finished is kept, and the most bytes that it can have."""

    address: str
    most_bytes: int


@dataclass(frozen=True, slots=True)
class Places:
    """Of a storyboard: for each panel where it is kept, as drawn and as sent; and the portraits."""

    panels: tuple[tuple[Place, ...], ...]
    portraits: tuple[Place, ...]

    def all(self) -> dict[str, int]:
        """The most bytes by address."""
        return dict([*self.portraits, *(place for several in self.panels for place in several)])


class Shelf:
    """One storyboard's view of an archive; without one nothing is found and nothing is kept.

    Panels are named by their place in the storyboard, portraits by the character's name.
    """

    def __init__(
        self, archive: Archive | None, storyboard: Storyboard, engines: Mapping[str, Engines]
    ) -> None:
        """engines: by the name of the variant."""
        self._archive = archive
        self._storyboard = storyboard
        self._models = {variant: each.info for variant, each in engines.items()}
        recogniser = engines[storyboard.variant].recogniser
        self._recogniser = recogniser.sha256 if recogniser is not None else ""
        self._upscaler = engines[storyboard.variant].upscaler
        self._addresses: dict[int | str, str] = {}
        self._claimed: set[str] = set()
        self._leased = False
        self._next_look = 0.0

    def places(self) -> Places:
        """Where this storyboard's panels and portraits are kept, or will be."""
        board = self._storyboard
        panels = []
        for index, panel in enumerate(board.panels):
            width, height = board.effective_size(panel)
            raw = 3 * width * height
            whole = raw * board.effective_upscale(panel) ** 2
            found = {self._file_address(index): whole, self._address(index): raw}
            panels.append(tuple(Place(*each) for each in found.items()))
        raw = 3 * board.width * board.height
        drawn = [each.name for each in board.characters if each.reference is None]
        return Places(tuple(panels), tuple(Place(self._address(name), raw) for name in drawn))

    def find(self, key: int | str) -> Record | None:
        """The finished panel or portrait.

        None also where the storyboard asks for what only drawing gives: previews or latents of
        its stages.
        """
        if self._archive is None or self._asks_for_stages(key):
            return None
        return self._archive.panels.get(self._address(key))

    def enlarged(self, index: int) -> bytes | None:
        """The panel as it is sent, enlarged, as a PNG file without text."""
        if self._archive is None:
            return None
        record = self._archive.panels.get(self._file_address(index))
        return None if record is None else record.png

    def keep(self, key: int | str, drawn: Drawn, attempts: int, png: bytes) -> None:
        """Keep what was drawn as it was drawn; durable when this returns.

        png: its pixels without text. Raises `lafi.store.panels.StoreError`.
        """
        self._put(key, self._address(key), drawn, attempts, png)

    def keep_enlarged(self, index: int, drawn: Drawn, attempts: int, png: bytes) -> None:
        """Keep the panel as it is sent, too. Raises StoreError."""
        self._put(index, self._file_address(index), drawn, attempts, png)

    def _put(self, key: int | str, address: str, drawn: Drawn, attempts: int, png: bytes) -> None:
        if self._archive is None:
            return
        panel = self._panel(key)
        places = {name: place for place, name in enumerate(panel.characters)}
        facts = Facts(
            address=address,
            seed=drawn.seed,
            scores={places[name]: score for name, score in drawn.scores.items()},
            attempt=drawn.attempt,
            attempts=attempts,
            references=tuple(self._references(panel)),
        )
        self._archive.panels.put(Record(facts, png))

    def restored(self, index: int, record: Record) -> Attempts:
        """A panel's attempts as they were when it was drawn."""
        panel = self._storyboard.panels[index]
        names = dict(enumerate(panel.characters))
        scores = {names[place]: score for place, score in record.facts.scores.items()}
        facts = record.facts
        attempts = Attempts(panel, self._storyboard.effective_retry(panel))
        attempts.best = Drawn(pixels_of(record), facts.seed, scores, facts.attempt)
        attempts.number = facts.attempts
        return attempts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """What was claimed and is not drawn will not be."""
        self._release([*self._claimed])
        if self._leased and self._archive is not None and self._archive.leases is not None:
            self._archive.leases.release(self._lease)
            self._leased = False

    def claim(self, indices: Iterable[int]) -> set[int]:
        """Those of the panels that this storyboard is to draw; the others are being drawn.

        Of panels with the same address only one is drawn. Every panel where there is no archive.
        Of a storyboard that another server draws only the panels that it has finished.
        """
        if self._archive is None:
            return {*indices}
        if not self._may_draw():
            indices = [index for index in indices if self._is_kept(index)]
        first: dict[str, int] = {}
        for index in sorted(indices):
            first.setdefault(self._address(index), index)
        mine = self._archive.claims.claim(first.keys() - self._claimed, self)
        self._claimed |= mine
        return {first[address] for address in mine}

    def _may_draw(self) -> bool:
        """Whether no other server draws this storyboard, so that this one may."""
        assert self._archive is not None
        if self._archive.leases is not None and not self._leased:
            self._leased = self._archive.leases.take(self._lease)
            return self._leased
        return True

    def _is_kept(self, index: int) -> bool:
        assert self._archive is not None
        return self._archive.panels.get(self._address(index)) is not None

    @cached_property
    def _lease(self) -> str:
        """The name of the storyboard's lease: two with the same panels have one."""
        addresses = sorted(map(self._address, range(len(self._storyboard.panels))))
        return hashlib.sha256("".join(addresses).encode()).hexdigest()

    def release(self, index: int) -> None:
        """A panel is finished, or has failed."""
        if self._archive is not None:
            self._release([self._address(index)])

    def _release(self, addresses: Sequence[str]) -> None:
        if self._archive is not None:
            self._archive.claims.release(self._claimed.intersection(addresses), self)
            self._claimed.difference_update(addresses)

    def wait(self, indices: Iterable[int], timeout: float) -> bool:
        """Whether one of these panels is drawn by nobody any more, after `timeout` s at most."""
        assert self._archive is not None, "without an archive no other storyboard draws a panel"
        if not self._leased and self._archive.leases is not None:
            time.sleep(timeout)
            if time.monotonic() < self._next_look:
                return False
            self._next_look = time.monotonic() + _LOOK_SECONDS
            return self._may_draw() or any(self._is_kept(index) for index in indices)
        return self._archive.claims.wait([self._address(index) for index in indices], timeout)

    def _asks_for_stages(self, key: int | str) -> bool:
        board = self._storyboard
        several = len(board.effective_sampling(self._panel(key)).stages) > 1
        return isinstance(key, int) and several and (board.keep_stages or board.stage_previews)

    def _panel(self, key: int | str) -> Panel:
        board = self._storyboard
        return board.panels[key] if isinstance(key, int) else board.portrait_panel(key)

    def _address(self, key: int | str) -> str:
        """Of the drawing, however much it is enlarged afterwards."""
        if key not in self._addresses:
            known = self._recogniser if isinstance(key, int) else ""
            plain = self._panel(key).model_copy(update={"upscale": 1})
            self._addresses[key] = content_address(
                self._storyboard, plain, self._models, recogniser=known
            )
        return self._addresses[key]

    def _file_address(self, index: int) -> str:
        panel = self._storyboard.panels[index]
        network = panel_network(self._storyboard, panel, self._upscaler)
        return content_address(
            self._storyboard,
            panel,
            self._models,
            recogniser=self._recogniser,
            upscaler=network.sha256 if network is not None else "",
        )

    def _references(self, panel: Panel) -> Iterable[str]:
        """Of every picture that has a part in the panel, so that it can be forgotten with it."""
        return dict.fromkeys(picture.sha256 for picture in drawn_from(self._storyboard, panel))


def pixels_of(record: Record) -> Pixels:
    """RGB uint8 (H, W, 3) of a kept panel."""
    with Image.open(io.BytesIO(record.png)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)
