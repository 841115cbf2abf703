"""Names of a storyboard's characters, from what the text calls them."""

from lafi.board.limits import character_name


def free_name(called: str, taken: set[str]) -> str:
    """A valid name that nobody has yet, with a number where needed; it is added to `taken`."""
    base = "".join(c for c in called if c.isalnum() or c in " _-").strip()
    base = base.removeprefix("the ").replace(" ", "_")[:40]
    try:
        plain = character_name(base)
    except ValueError:
        plain = "character"
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}{number}", number + 1
    taken.add(name)
    return name
