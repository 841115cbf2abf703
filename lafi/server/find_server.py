"""Chooses the Triton Server to run: the one asked for, else the image's, else the wheel's."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lafi.server.install_folder import read_install_folder
from lafi.server.triton_install import ServerUnavailableError, TritonInstall
from lafi.server.wheel import INSTALL_HINT, find_embedded_server

OPTION = "--triton-server"
VARIABLE = "LAFI_TRITON_SERVER"
WHEEL = "wheel"
"""What asks for the wheel's server where the image has one."""
IMAGE = Path("/opt/tritonserver")
"""Where NVIDIA's images have theirs."""


class BackendMissingError(ServerUnavailableError):
    """A served model needs a backend that the chosen server does not have."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server may be. there: whether something lies there, so that it must be usable.

    find: raises ServerUnavailableError.
    """

    name: str
    there: bool
    find: Callable[[], TritonInstall]


def places(asked: str | None = None) -> tuple[Place, ...]:
    """Where a server is looked for, first come first served; one place if one is asked for.

    asked: a folder or WHEEL; None: what VARIABLE says.
    """
    named = asked or os.environ.get(VARIABLE, "")
    if named:
        said = f"{OPTION} {named}" if asked else f"{VARIABLE}={named}"
        if named == WHEEL:
            return (Place(said, True, find_embedded_server),)
        return (Place(said, True, lambda: read_install_folder(Path(named))),)
    return (
        Place(str(IMAGE), IMAGE.is_dir(), lambda: read_install_folder(IMAGE)),
        Place("the wheel", True, find_embedded_server),
    )


def find_server(asked: str | None = None) -> TritonInstall:
    """The server to run. asked: as `places` takes it.

    What is asked for, or is there, must be usable: another one in its stead would be a surprise.
    Raises ServerUnavailableError, which says where it was looked for.
    """
    looked = places(asked)
    for number, place in enumerate(looked):
        if not place.there:
            continue
        try:
            return place.find()
        except ServerUnavailableError as error:
            before = [f"{earlier.name} is not there" for earlier in looked[:number]]
            said = "; ".join([*before, f"{place.name}: {error}"])
            after = f"; {OPTION} {WHEEL} takes the wheel's" if looked[number + 1 :] else ""
            raise ServerUnavailableError(f"no Triton Server: {said}{after}") from None
    raise ServerUnavailableError(f"no Triton Server; {INSTALL_HINT}")


def check_backends(repository: Path, models: Sequence[str], server: TritonInstall) -> None:
    """Raise BackendMissingError for a model whose backend the server lacks."""
    for model in models:
        text = (repository / "models" / model / "config.pbtxt").read_text(encoding="utf-8")
        found = re.search(r'^backend: *"([^"]*)"', text, re.MULTILINE)
        if found and found.group(1) not in server.backends:
            raise BackendMissingError(
                f"the model {model} needs the backend {found.group(1)}, and Triton Server {server} "
                f"has {', '.join(server.backends)}; name another with {OPTION} FOLDER or {VARIABLE}"
            )
