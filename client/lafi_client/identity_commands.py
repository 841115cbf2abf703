"""`lafi enrol`, `lafi identify` and `lafi forget` as functions that return the exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from lafi_client.access import Access
from lafi_client.errors import IdentityRefused, LafiError
from lafi_client.exit_codes import BAD_STORYBOARD, DRAWN, SERVER_UNAVAILABLE, fail
from lafi_client.identity import IdentityClient

DONE = DRAWN
REFUSED = BAD_STORYBOARD


def enrol(
    character: str,
    images: Sequence[Path],
    url: str,
    *,
    description: str = "",
    access: Access | None = None,
    console: Console | None = None,
) -> int:
    """Enrol a character by pictures and, optionally, a description.

    Returns 0; 2 if the name, a file or the description is not allowed; 3 if no server answers.
    """

    def request(client: IdentityClient) -> str:
        count = client.enrol(character, [path.read_bytes() for path in images], description)
        return f"{character}: {count} pictures known"

    return _report(request, url, access, console)


def identify(
    images: Sequence[Path],
    url: str,
    *,
    access: Access | None = None,
    console: Console | None = None,
) -> int:
    """Print the character in each picture and its score; exit codes as for `enrol`."""

    def request(client: IdentityClient) -> str:
        lines = []
        for path in images:
            found = client.identify(path.read_bytes())
            lines.append(f"{path}: {found.character or 'unknown'} {found.score:.3f}")
        return "\n".join(lines)

    return _report(request, url, access, console)


def forget(
    character: str, url: str, *, access: Access | None = None, console: Console | None = None
) -> int:
    """Remove a character; exit codes as for `enrol`."""
    return _report(
        lambda client: f"{character}: {client.forget(character)} pictures forgotten",
        *(url, access, console),
    )


def _report(
    request: Callable[[IdentityClient], str],
    url: str,
    access: Access | None,
    console: Console | None,
) -> int:
    console = console or Console()
    try:
        with IdentityClient(url, **(access or Access()).options(url)) as client:
            answer = request(client)
    except (IdentityRefused, ValueError, OSError) as error:
        return fail(console, REFUSED, f"error: {error}")
    except LafiError as error:
        return fail(console, SERVER_UNAVAILABLE, f"error: {error}")
    console.print(answer, markup=False, highlight=False, soft_wrap=True)
    return DONE
