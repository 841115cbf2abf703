"""Tells storyboards from commands about them, and answers those.

Knows tensors, a service and a keeper, not Triton Server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import numpy.typing as npt

from lafi.board import image_file
from lafi.board.error import StoryboardError
from lafi.board.image_file import DecodePicture
from lafi.board.storyboard import Storyboard
from lafi.serving.failure import log_failure
from lafi.serving.job import Sender, SenderWithout
from lafi.serving.keeper import Keeper
from lafi.serving.service import StoryboardService, end
from lafi.wire.caller import Caller
from lafi.wire.contract import storyboard_from_tensors
from lafi.wire.control import (
    Acknowledged,
    Answer,
    Cancelled,
    Command,
    Queue,
    command_from_tensors,
)
from lafi.wire.model_spec import REFERENCES, STORYBOARD

_log = logging.getLogger(__name__)
Read = Callable[[str], npt.NDArray[Any]]


class UnknownIdError(LookupError):
    """No storyboard has this id, or not any more."""


class Asker(Sender, Protocol):
    """Who gets the answers, and by which key he came."""

    @property
    def caller(self) -> Caller | None:
        """He sees only storyboards of the same key; None: sees all."""


class Desk:
    """Where requests to the model `storyboard` arrive."""

    def __init__(
        self,
        service: StoryboardService,
        keeper: Keeper | None,
        decode_picture: DecodePicture = image_file.decode,
    ) -> None:
        """keeper: the service's own."""
        self._service = service
        self._keeper = keeper
        self._decode_picture = decode_picture

    def receive(self, read: Read, sender: Asker) -> None:
        """Take a request; returns at once. read: gives an input tensor by its name."""
        caller = sender.caller
        try:
            storyboard = read(STORYBOARD)
            command = command_from_tensors(storyboard)
            if command is None:
                tensors = (storyboard, read(REFERENCES))
                self._service.accept(lambda: self._storyboard(*tensors), sender, caller=caller)
            elif command.action == "attach":
                self._attach(command, sender, caller)
            else:
                sender.send(self._answer(command, caller))
                sender.finish()
        except StoryboardError as error:
            end(sender, "INVALID_ARGUMENT", str(error))
        except UnknownIdError as error:
            end(sender, "NOT_FOUND", str(error))
        except Exception as error:
            end(sender, "INTERNAL", log_failure(_log, error))

    def _storyboard(self, storyboard: npt.NDArray[Any], references: npt.NDArray[Any]) -> Storyboard:
        decode = self._decode_picture
        if self._keeper is None:
            return storyboard_from_tensors(storyboard, references, decode=decode)
        return storyboard_from_tensors(storyboard, references, self._keeper.picture, decode)

    def _attach(self, command: Command, sender: Sender, caller: Caller | None) -> None:
        keeper = self._keeper
        foreign = self._is_foreign(command, caller)
        if keeper is None or foreign or not keeper.has(command.id):
            raise _unknown(command, "it was never accepted here, is done and was acknowledged, ")
        sender = SenderWithout(sender, command.panels)
        self._service.accept(lambda: self._kept(keeper, command), sender, command.id, caller)

    def _kept(self, keeper: Keeper, command: Command) -> Storyboard:
        found = keeper.storyboard(command.id)
        if found is None:
            raise StoryboardError([f"id: {command.id} was forgotten this moment"])
        return found

    def _is_foreign(self, command: Command, caller: Caller | None) -> bool:
        """Whether another key sent it: then it is as if there were none."""
        return caller is not None and self._service.owner(command.id) != caller.name

    def _answer(self, command: Command, caller: Caller | None) -> Answer:
        if command.action == "queue":
            own = self._service.queue(caller.name if caller else None)
            return Queue(storyboards=tuple(own))
        foreign = self._is_foreign(command, caller)
        if command.action == "cancel":
            if foreign or not self._service.cancel(command.id):
                raise _unknown(command, "it is done, ")
            return Cancelled(id=command.id)
        in_flight = self._service.in_flight(command.id)
        left = None
        if self._keeper is not None and not foreign:
            left = self._keeper.acknowledge(command.id, command.panels, in_flight=in_flight)
        if left is None:
            raise _unknown(command, "all its panels were acknowledged, ")
        return Acknowledged(id=command.id, left=left)


def _unknown(command: Command, why: str) -> UnknownIdError:
    return UnknownIdError(f"id: no storyboard has {command.id}: {why}or was let go")
