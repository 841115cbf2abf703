"""Who sends a request, as the front tells it to the model `storyboard`.

The front looks up the caller's key and writes this into a parameter that it takes from nobody
else. A request without it comes from the server itself, or to a server without keys.
"""

from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

CALLER: Final = "lafi_caller"
"""Request parameter that the front sets: `Caller` as JSON."""
Right = Literal["draw", "enrol", "forget", "priority", "metrics"]
RIGHTS: Final[tuple[Right, ...]] = get_args(Right)
KeyName = Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Caller(BaseModel):
    """A key's name and what it allows.

    megapixel_steps: most that its storyboards in flight may cost together (`lafi.board.cost`);
    None: no limit of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: KeyName
    rights: tuple[Right, ...] = ()
    megapixel_steps: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
