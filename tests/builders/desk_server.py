"""A desk with a journal and a store behind it, and clients that keep what they are sent."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt

from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.shelf import Place, Places
from lafi.serving.admission import Admission
from lafi.serving.desk import Desk
from lafi.serving.job import Status
from lafi.serving.keeper import Keeper
from lafi.serving.service import StoryboardService
from lafi.store.claims import Claims
from lafi.store.journal import JOURNAL_FILE, Journal
from lafi.store.panels import PanelStore, open_store
from lafi.store.pictures import PictureStore
from lafi.store.record import Facts, Record
from lafi.wire.caller import Caller
from lafi.wire.contract import storyboard_to_tensors
from lafi.wire.control import Answer, Command, command_to_tensors
from lafi.wire.events import Accepted, Event, Finished, PanelImage, Progress

PANEL_BYTES = 3 * 64 * 64


class Client:
    """Keeps what it is sent."""

    def __init__(self, caller: Caller | None = None) -> None:
        self.caller = caller
        self.sent: list[Any] = []
        self.gone = False
        self.done = threading.Event()

    def send(self, event: Event | Answer) -> None:
        self.sent.append(event)

    def refuse(self, status: Status, message: str) -> None:
        self.sent.append(f"{status}: {message}")

    def finish(self) -> None:
        assert not self.done.is_set(), "the final flag was sent twice"
        self.done.set()

    def is_cancelled(self) -> bool:
        return self.gone

    def answer(self) -> list[Any]:
        assert self.done.wait(10), f"the final flag never came: {self.sent}"
        return self.sent

    def panels(self) -> list[int]:
        return [event.panel for event in self.sent if isinstance(event, PanelImage)]

    @property
    def id(self) -> str:
        self.until(lambda client: any(isinstance(event, Accepted) for event in client.sent))
        (identifier,) = [event.id for event in self.sent if isinstance(event, Accepted)]
        return str(identifier)

    def until(self, is_so: Callable[["Client"], bool]) -> None:
        deadline = time.monotonic() + 10
        while not is_so(self):
            assert time.monotonic() < deadline, f"it never came: {self.sent}"
            time.sleep(0.002)


def address(board: Storyboard, index: int) -> str:
    return f"{board.panels[index].seed:064x}"


def places(board: Storyboard) -> Places:
    numbers = range(len(board.panels))
    return Places(tuple((Place(address(board, n), PANEL_BYTES),) for n in numbers), ())


class Server:
    """A desk and all behind it, with a drawer that a test holds up before each panel."""

    def __init__(self, folder: Path, *, open_gate: bool = True, **options: Any) -> None:
        most = options.pop("max_bytes", 2**20)
        self.panels: PanelStore = open_store(str(folder / "panels"), folder, max_bytes=most)
        self.journal = Journal(folder / "journal" / JOURNAL_FILE, retention=1000.0)
        self.pictures = PictureStore(folder / "pictures", retention=1000.0)
        self.keeper = Keeper(self.journal, self.panels, places, self.pictures)
        self.drawn: list[str] = []
        self.gate = threading.Semaphore(10**6 if open_gate else 0)
        self.failing: Exception | None = None
        self._claims = Claims()
        self.service = StoryboardService(
            self._draw,
            Admission(options.pop("limit", 2)),
            keeper=self.keeper,
            pod=options.pop("pod", None),
            poll_seconds=0.0,
        )
        self.desk = Desk(self.service, self.keeper)

    def receive(self, tensors: dict[str, npt.NDArray[Any]], client: Client) -> Client:
        self.desk.receive(tensors.__getitem__, client)
        return client

    def draw(self, board: Storyboard, caller: Caller | None = None) -> Client:
        return self.receive(storyboard_to_tensors(board), Client(caller))

    def ask(
        self,
        action: Any,
        identifier: str = "",
        panels: tuple[int, ...] = (),
        caller: Caller | None = None,
    ) -> Client:
        command = Command(action=action, id=identifier, panels=panels)
        return self.receive(command_to_tensors(command), Client(caller))

    def end(self) -> None:
        self.service.close()
        self.keeper.close()

    def _draw(self, board: Storyboard, stopped: Callable[[], bool]) -> Iterator[Event]:
        return self._events(board, stopped)

    def _events(self, board: Storyboard, stopped: Callable[[], bool]) -> Iterator[Event]:
        yield Accepted(panels=len(board.panels), portraits=0)
        for index in range(len(board.panels)):
            owner, where = object(), address(board, index)
            while not self._claims.claim([where], owner):
                if stopped():
                    return
                time.sleep(0.002)
            kept = self.panels.get(where) is not None
            while not kept and not self.gate.acquire(timeout=0.002):
                if stopped():
                    self._claims.release([where], owner)
                    return
            if self.failing is not None:
                self._claims.release([where], owner)
                raise self.failing
            if not kept:
                yield Progress(panel=index, step=1, steps=1)
                self.drawn.append(where)
                self.panels.put(Record(Facts(address=where, seed=1), b"png"))
            self._claims.release([where], owner)
            yield PanelImage(
                panel=index, png=b"png", seed=1, prompt="", address=where, seconds=0.0, kept=kept
            )
        yield Finished(panels=len(board.panels), seconds=0.0)


def board(*seeds: int, detach: bool = False) -> Storyboard:
    panels = tuple(Panel(prompt="a house", seed=seed) for seed in seeds)
    return Storyboard(panels=panels, detach=detach)
