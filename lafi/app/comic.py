"""A story to the pages of a comic: plans, draws with a running server, lays out.

Each step keeps its files; a later call does what is missing or has changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from lafi.app.critic_options import Judges
from lafi.app.drawing_options import chosen_settings
from lafi.app.refused import refused
from lafi.board.error import StoryboardError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lafi.board.storyboard import Storyboard
    from lafi.origin.signing import Signing
    from lafi_client.access import Access
    from lafi_story.plan import Plan

STORY, STEPS, PANELS, PAGES = "story.yaml", "story.steps", "panels", "pages"


@dataclass(frozen=True, slots=True)
class PageForm:
    """What `lafi page` takes."""

    layout: str = "grid"
    order: str = "ltr"
    size: str = ""
    formats: str = "png"
    captions: str = "sentence"
    font: Path | None = None


_USUAL_FORM: Final = PageForm()
_NOBODY: Final = Judges()


def comic(
    novel: str,
    out: Path,
    server: str,
    *,
    plan: Plan | None = None,
    form: PageForm = _USUAL_FORM,
    upscale: int | None = None,
    access: Access | None = None,
    signing: Signing | None = None,
    judges: Judges = _NOBODY,
) -> int:
    """Write story.yaml, its steps, the panels and the pages of a novel into a folder.

    A story.yaml that was edited by hand is drawn as it is. Options are checked before any work.
    signing: who signs panels and pages; None: nobody. judges: who judges the panels; what they
    change is beside the panels, and story.yaml stays as it was planned.
    Returns 0, or the exit code of the step that failed: 1 for a text or an option that is refused,
    else as `lafi draw`.
    """
    from lafi_client.commands import draw
    from lafi_client.story_file import Overrides
    from lafi_story.pages.command import lay_out, style_of
    from lafi_story.plan import Plan

    plan = plan or Plan()
    try:
        style = style_of(form.layout, form.order, form.size, form.formats, form.captions, form.font)
        edited = _edited(out)
    except StoryboardError as error:
        return refused(error, 1).exit_code
    if not edited and (code := _planned(novel, out, plan)):
        return code
    settings = chosen_settings(None, upscale)
    board = out / STORY
    changed = Overrides(settings=settings)
    drawn = out / PANELS
    with judges.critique(drawn, _checked(plan.protected)) as critique:
        code = draw(
            board,
            drawn,
            server,
            overrides=changed,
            access=access,
            signing=signing,
            critique=critique,
        )
    if code:
        return code
    return lay_out(drawn, out / PAGES, style, story=board, signing=signing)


def _checked(protected: Path | None) -> Callable[[Storyboard], None]:
    """What no critic may suggest: names of others."""
    from lafi_story.protected import ProtectedNames, load_protected

    names = ProtectedNames() if protected is None else load_protected(protected)
    return names.check_board


def _edited(out: Path) -> bool:
    """Whether there is a storyboard that was changed by hand, and say so."""
    from lafi_story.command import was_edited

    if not was_edited(out / STORY, out / STEPS):
        return False
    typer.echo(f"{out / STORY} was edited: drawn as it is; delete it to plan it again", err=True)
    return True


def _planned(novel: str, out: Path, plan: Plan) -> int:
    from lafi_story.command import story

    return story(novel, str(out / STORY), plan, steps=out / STEPS)
