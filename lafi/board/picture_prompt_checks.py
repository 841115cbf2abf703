"""Checks that need several fields of a picture prompt, or the storyboard's characters."""

from collections.abc import Iterator, Sequence

from lafi.board.error import Verbatim, closest, problem
from lafi.board.picture_prompt import PicturePrompt


def picture_prompt_problems(
    field: str, prompts: Sequence[PicturePrompt], names: Sequence[str]
) -> Iterator[str]:
    """A line for each without a picture or with two, with a window that no step can be in, or with
    an unknown character.

    names: of the storyboard's characters.
    """
    for place, prompt in enumerate(prompts):
        where = f"{field}[{place}]"
        if (prompt.image is None) == (prompt.character is None):
            yield problem(where, Verbatim("image and character, or neither"), "one of the two")
        if prompt.character is not None and prompt.character not in names:
            known = ", ".join(names) or "none, since there are no characters here"
            allowed = f"{known}{closest(prompt.character, names)}"
            yield problem(f"{where}.character", prompt.character, allowed)
        if prompt.end <= prompt.start:
            allowed = f"more than {prompt.start:g} (its start), at most 1"
            yield problem(f"{where}.end", prompt.end, allowed)
