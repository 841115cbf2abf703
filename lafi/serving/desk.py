"""Tells storyboards from commands about them, and answers those.

Knows tensors, a service and a keeper, not Triton Server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from lafi.board import image_file
from lafi.board.error import StoryboardError
from lafi.board.image_file import DecodePicture
from lafi.board.storyboard import Storyboard
from lafi.serving.failure import log_failure
from lafi.serving.job import Sender, SenderWithout
from lafi.serving.keeper import Keeper
from lafi.serving.service import StoryboardService, end
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

    def receive(self, read: Read, sender: Sender) -> None:
        """Take a request; returns at once. read: gives an input tensor by its name."""
        try:
            storyboard = read(STORYBOARD)
            command = command_from_tensors(storyboard)
            if command is None:
                tensors = (storyboard, read(REFERENCES))
                self._service.accept(lambda: self._storyboard(*tensors), sender)
            elif command.action == "attach":
                self._attach(command, sender)
            else:
                sender.send(self._answer(command))
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

    def _attach(self, command: Command, sender: Sender) -> None:
        keeper = self._keeper
        if keeper is None or not keeper.has(command.id):
            raise _unknown(command, "it was never accepted here, is done and was acknowledged, ")
        sender = SenderWithout(sender, command.panels)
        self._service.accept(lambda: self._kept(keeper, command), sender, known=command.id)

    def _kept(self, keeper: Keeper, command: Command) -> Storyboard:
        found = keeper.storyboard(command.id)
        if found is None:
            raise StoryboardError([f"id: {command.id} was forgotten this moment"])
        return found

    def _answer(self, command: Command) -> Answer:
        if command.action == "queue":
            return Queue(storyboards=tuple(self._service.queue()))
        if command.action == "cancel":
            if not self._service.cancel(command.id):
                raise _unknown(command, "it is done, ")
            return Cancelled(id=command.id)
        in_flight = self._service.in_flight(command.id)
        left = None
        if self._keeper is not None:
            left = self._keeper.acknowledge(command.id, command.panels, in_flight=in_flight)
        if left is None:
            raise _unknown(command, "all its panels were acknowledged, ")
        return Acknowledged(id=command.id, left=left)


def _unknown(command: Command, why: str) -> UnknownIdError:
    return UnknownIdError(f"id: no storyboard has {command.id}: {why}or was let go")
