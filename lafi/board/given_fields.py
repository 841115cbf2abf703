"""A storyboard as it was given: plain data without the fields that were left unset.

A client sends this, so that a server can fill what is unset.
"""

from typing import Any

from lafi.board.storyboard import Panel, Storyboard


def given_fields(storyboard: Storyboard) -> dict[str, Any]:
    """The fields that were set, as plain data.

    A short form of `sampling` is short again. Seeds of panels always count as set.
    """
    document = storyboard.model_dump(exclude_unset=True)
    owners: list[Storyboard | Panel] = [storyboard, *storyboard.panels]
    for plain, owner in zip([document, *document["panels"]], owners, strict=True):
        if owner.sampling is None or "sampling" not in plain:
            continue
        short = owner.sampling.short_form
        if short is not None:
            plain["sampling"] = short.model_dump(exclude_unset=True)
        elif "stages" in plain["sampling"]:
            plain["sampling"]["stages"] = [*plain["sampling"]["stages"]]
    return document
