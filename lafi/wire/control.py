"""What is asked about storyboards that a server has accepted, and its answers.

The model `storyboard` takes a command as JSON in STORYBOARD. `attach` is answered with a
storyboard's events, the others with one answer. The front also offers those as a model of its own,
`storyboard_control`, for plain calls. Imports neither torch nor a server.
"""

from typing import Annotated, Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field

from lafi.board.checked_model import CheckedModel
from lafi.board.error import StoryboardError, problem
from lafi.board.file import decode_utf8, parse_json
from lafi.board.limits import MAX_PANELS
from lafi.wire.events import Count, EventModel, Index, Seconds, Text
from lafi.wire.model_spec import (
    ACTION,
    ANY,
    REFERENCES,
    STORYBOARD,
    ModelSpec,
    TensorSpec,
    bytes_tensor,
)

CONTROL: Final = "storyboard_control"
ID, PANELS, ANSWER = "ID", "PANELS", "ANSWER"
MAX_COMMAND_BYTES: Final = 4096
Action = Literal["attach", "cancel", "queue", "acknowledge"]
Tensors = dict[str, npt.NDArray[Any]]


class Command(CheckedModel):
    """One command. id: of an accepted storyboard; only `queue` needs none.

    panels: those that the client holds, by their number in the storyboard with that id, which
    `attach` does not send again and `acknowledge` lets go.
    """

    action: Action
    id: Annotated[str, Field(pattern="^([0-9a-f]{32})?$")] = ""
    panels: Annotated[tuple[Index, ...], Field(max_length=MAX_PANELS)] = ()


class QueueEntry(EventModel):
    """A storyboard in flight. `id` is the beginning of it only, since the whole id gives access."""

    place: Count
    """In order of arrival, from 1."""
    id: Text
    state: Literal["waiting", "drawing"]
    """Whether a step of it was taken."""
    panels: Index
    sent: Index
    """Panels that are finished."""
    seconds: Seconds
    """Since it was accepted."""
    expected_seconds: Seconds | None = None
    """Until it is done; null before anything was drawn by this server."""
    detach: bool = False


class Queue(EventModel):
    """The answer to `queue`."""

    kind: Literal["queue"] = "queue"
    storyboards: tuple[QueueEntry, ...] = ()


class Cancelled(EventModel):
    """The answer to `cancel`: it is drawn no further and nothing of it is kept for its client."""

    kind: Literal["cancelled"] = "cancelled"
    id: Text


class Acknowledged(EventModel):
    """The answer to `acknowledge`. `left`: panels that are not acknowledged yet."""

    kind: Literal["acknowledged"] = "acknowledged"
    id: Text
    left: Index


Answer = Queue | Cancelled | Acknowledged


def control_spec() -> ModelSpec:
    """ACTION, ID BYTES (1), PANELS INT64 (n) -> ANSWER BYTES (1), JSON."""
    return ModelSpec(
        name=CONTROL,
        inputs=(
            TensorSpec(ACTION, "BYTES", (1,)),
            TensorSpec(ID, "BYTES", (1,), optional=True),
            TensorSpec(PANELS, "INT64", (ANY,), optional=True),
        ),
        outputs=(TensorSpec(ANSWER, "BYTES", (1,)),),
    )


def command_to_tensors(command: Command) -> Tensors:
    """STORYBOARD (1,) and REFERENCES (1,), as the model `storyboard` takes a command."""
    text = command.model_dump_json(exclude_defaults=True)
    return {STORYBOARD: bytes_tensor(text.encode()), REFERENCES: bytes_tensor(b"")}


def command_from_tensors(storyboard: npt.NDArray[Any]) -> Command | None:
    """The command in STORYBOARD; None for anything else. Raises StoryboardError for a bad one."""
    (raw,) = storyboard.reshape(-1)[:1].tolist() or [b""]
    if not isinstance(raw, bytes) or len(raw) > MAX_COMMAND_BYTES:
        return None
    try:
        document = parse_json(decode_utf8(raw, STORYBOARD))
    except StoryboardError:
        return None
    if not isinstance(document, dict) or "action" not in document:
        return None
    return _checked(document)


def command_from_control(tensors: Tensors) -> Command:
    """The command in ACTION, ID and PANELS. Raises StoryboardError."""
    given = {
        name.lower(): bytes(tensors[name].reshape(-1)[0]).decode("utf-8", "replace")
        for name in (ACTION, ID)
        if name in tensors
    }
    panels = tensors.get(PANELS, np.zeros(0, np.int64)).reshape(-1).tolist()
    return _checked({**given, "panels": panels})


def command_to_control(command: Command) -> Tensors:
    """ACTION, and ID and PANELS where they are given."""
    tensors: Tensors = {ACTION: bytes_tensor(command.action.encode())}
    if command.id:
        tensors[ID] = bytes_tensor(command.id.encode())
    if command.panels:
        tensors[PANELS] = np.array(command.panels, dtype=np.int64)
    return tensors


def _checked(document: dict[str, Any]) -> Command:
    if document["action"] not in get_args(Action):
        raise StoryboardError([problem("action", document["action"], ", ".join(get_args(Action)))])
    command = Command.model_validate(document)
    if command.action != "queue" and not command.id:
        raise StoryboardError([problem("id", command.id, "32 digits, of an accepted one")])
    return command
