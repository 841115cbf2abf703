"""`make comic`: a real server draws two short stories, one English and one Chinese, as comics.

    python benchmarks/comic.py --repository out/repository --out out/comic

Starts Triton Server on free loopback ports and does what `lafi comic` does with each story of
`story/examples`, by rules and without a network. A second call draws what is missing.
"""

from pathlib import Path

import typer
from rich.console import Console

from lafi.app.comic import PAGES, PageForm, comic
from lafi.server.supervisor import Supervisor
from lafi_story.plan import Plan

STORIES = Path("story/examples")
TITLES = {"the_lost_ball": "The lost ball", "red_balloon_zh": "雪天的红气球"}
LARGER = 4
"""How many times the panels are enlarged; the model draws them small."""


def main(
    repository: Path = Path("out/repository"),
    out: Path = Path("out/comic"),
    only: str = "",
    startup_seconds: float = 300.0,
) -> None:
    """Draw every story, or the one of this name."""
    console = Console()
    console.print("starting Triton Server ...")
    with Supervisor(repository, startup_seconds=startup_seconds) as server:
        console.print(f"ready on {server.grpc_url}")
        for name, title in TITLES.items():
            if only not in ("", name):
                continue
            code = comic(
                str(STORIES / f"{name}.txt"),
                out / name,
                server.grpc_url,
                plan=Plan(title=title),
                form=PageForm(formats="png,pdf"),
                upscale=LARGER,
            )
            if code:
                raise typer.Exit(code)
            console.print(f"look at {out / name / PAGES}")


if __name__ == "__main__":
    typer.run(main)
