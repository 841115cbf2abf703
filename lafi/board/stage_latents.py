"""`StageLatents`: what an earlier drawing of a panel left after one of its stages."""

from typing import Annotated

from pydantic import Field

from lafi.board.checked_model import CheckedModel
from lafi.board.limits import MAX_REFERENCE_BYTES, MAX_STAGES, Allowed


class StageLatents(CheckedModel):
    """Latents with which a panel goes on at a later stage, so that the ones before cost nothing.

    They come from the event `latents` of an earlier drawing. Those of other settings are refused.
    """

    stage: Annotated[
        int,
        Field(strict=True, ge=2, le=MAX_STAGES),
        Allowed(f"a whole number, 2 to {MAX_STAGES}"),
    ]
    """The first stage that is drawn, counted from 1."""
    data: Annotated[
        bytes,
        Field(strict=True, min_length=8, max_length=MAX_REFERENCE_BYTES, repr=False),
        Allowed(f"8 bytes to {MAX_REFERENCE_BYTES // 2**20} MiB of safetensors"),
    ]
