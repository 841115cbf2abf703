"""Who judges drawn panels: options of the commands that draw, and the critic that they name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lafi.board.critique import MAX_VERSIONS
from lafi.board.error import StoryboardError, problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from lafi.board.storyboard import Storyboard
    from lafi_client.critiquing import Critique
    from lafi_story.llm.options import LlmOptions

IDENTITY: Final = "identity"
LLM: Final = "llm"
READER: Final = ".safetensors"
_ANSWERS: Final = "critique"

CriticName = Annotated[
    str,
    typer.Option(
        "--critic",
        help="Judge the panels and draw those with faults again: identity (the server's "
        "recogniser), FILE.safetensors (the bundled model's reader, with actions and scenes), or "
        "llm (a model that sees, at --llm: the pictures are sent there).",
        show_default=False,
    ),
]
Candidates = Annotated[
    int,
    typer.Option(
        min=1,
        max=MAX_VERSIONS,
        help="With --critic: draw each panel so often, with different seeds; its choice stays. "
        "--recipe fast draws them at few steps where it is served.",
    ),
]
Changes = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=MAX_VERSIONS - 1,
        help="With --critic: how often a panel with faults is drawn again at most.",
        show_default="1; 0 beside --candidates",
    ),
]


Llm = tuple[str, str, Path | None, Path | None, float, str]
"""--llm, --llm-model, --record, --replay, --llm-timeout, --llm-price."""
_NO_LLM: Final[Llm] = ("", "", None, None, 300.0, "")


@dataclass(frozen=True, slots=True)
class Judges:
    """name "": nobody judges."""

    name: str = ""
    candidates: int = 1
    changes: int = 1
    llm: LlmOptions | None = None

    @contextmanager
    def critique(
        self, out: Path, allowed: Callable[[Storyboard], None] = lambda board: None
    ) -> Iterator[Critique | None]:
        """Who judges, if anybody. What a language model took is said at the end.

        out: the folder of the drawing, which keeps a language model's answers. allowed: raises
        StoryboardError for a storyboard that no suggestion may give. Raises StoryboardError;
        ModuleNotFoundError without the package that the critic needs.
        """
        if not self.name:
            yield None
            return
        from lafi_client.critiquing import Critique
        from lafi_client.identity_critic import IdentityCritic

        if self.name == IDENTITY:
            yield Critique(IdentityCritic(), self.candidates, self.changes)
        elif self.llm is None:
            from lafi_tiny.stages.critic import ReaderCritic

            yield Critique(ReaderCritic(Path(self.name)), self.candidates, self.changes)
        else:
            from lafi_story.llm.critic import LlmCritic

            (answers := out / _ANSWERS).mkdir(parents=True, exist_ok=True)
            with self.llm.asker(answers) as asker:
                try:
                    yield Critique(LlmCritic(asker, allowed), self.candidates, self.changes)
                finally:
                    typer.echo(asker.usage.line(self.llm.prices()), err=True)


def critic_options(
    name: str,
    candidates: int,
    changes: int | None,
    llm: Llm = _NO_LLM,
    *,
    plans: bool = False,
) -> Judges:
    """What the options say. plans: --llm has other work too.

    Raises StoryboardError for what does not go together.
    """
    if not name:
        for option, given, usual in (("--candidates", candidates, 1), ("--changes", changes, None)):
            if given != usual:
                raise StoryboardError([problem(option, given, "only with --critic")])
    elif name not in (IDENTITY, LLM) and not name.endswith(READER):
        allowed = f"{IDENTITY}, {LLM}, or a file that ends in {READER}"
        raise StoryboardError([problem("--critic", name, allowed)])
    if changes is None:
        changes = 1 if candidates == 1 else 0
    judges = Judges(name, candidates, changes)
    if name != LLM and (plans or llm == _NO_LLM):
        return judges
    from lafi_story.llm.options import LlmOptions

    asked = LlmOptions(*llm)
    if name == LLM and not asked.wanted:
        raise StoryboardError([problem("--critic", name, "with --llm URL or --replay FILE")])
    if name != LLM and asked.wanted:
        option = "--llm" if asked.url else "--replay"
        got = asked.url or str(asked.replay)
        raise StoryboardError([problem(option, got, "only with --critic llm")])
    return replace(judges, llm=asked)
