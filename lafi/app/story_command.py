"""`lafi story`: the text of a novel to a storyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lafi.app.refused import said_why
from lafi.board.limits import MAX_PANELS

app = typer.Typer()

Novel = Annotated[
    str,
    typer.Argument(metavar="NOVEL", help="A text file, English or Chinese; - for standard input."),
]
MostPanels = Annotated[
    int, typer.Option(min=0, max=MAX_PANELS, help="The most panels; 0: as the text has, to 24.")
]
StoryTitle = Annotated[str, typer.Option(help="Default: the name of the file.")]
Encoding = Annotated[str, typer.Option(help="Such as gb18030; default: found out.")]
StoryVocabulary = Annotated[
    Path | None, typer.Option(help="Words of another model than the bundled one.")
]
Llm = Annotated[
    str,
    typer.Option(
        metavar="URL",
        help="Plan by a language model behind this OpenAI-compatible URL, such as "
        "http://127.0.0.1:11434/v1; the text is sent there. Its key: LAFI_LLM_KEY.",
    ),
]
LlmModel = Annotated[str, typer.Option(help="Its name; default: the only one that is there.")]
LlmTimeout = Annotated[float, typer.Option(help="Seconds for one answer.")]
LlmPrice = Annotated[
    str, typer.Option(metavar="READ,WRITTEN", help="Of a million tokens, to report the cost.")
]
Record = Annotated[
    Path | None, typer.Option(help="Keep the answers in this file; default: beside the steps.")
]
Replay = Annotated[Path | None, typer.Option(help="Plan by kept answers; nobody is asked.")]

Protected = Annotated[
    Path | None,
    typer.Option(help="Names (YAML: refuse, rename) that the text may not have, or has otherwise."),
]


RecurringPlaces = Annotated[
    bool | None,
    typer.Option(
        "--places/--no-places",
        help="Have a place that several panels show drawn once and read by all of them.",
        show_default="where the vocabulary's model draws empty scenes; the bundled one does not",
    ),
]


RecurringProps = Annotated[
    bool | None,
    typer.Option(
        "--props/--no-props",
        help="Have a thing that several panels show drawn once and read by all of them.",
        show_default="where the vocabulary's model draws it alone; the bundled one does not",
    ),
]

Poses = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Give each figure a pose for what it does, for the model's control network NAME, "
        "which sees skeletons; '': none.",
        show_default="as the vocabulary says; the bundled model has no such network",
    ),
]


@app.command()
def story(
    novel: Novel,
    out: Annotated[str, typer.Option(help="The storyboard's file; - for standard output.")],
    panels: MostPanels = 0,
    title: StoryTitle = "",
    encoding: Encoding = "",
    vocabulary: StoryVocabulary = None,
    steps: Annotated[
        Path | None, typer.Option(help="Folder of the steps, to edit; default: beside --out.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Even if --out was changed by hand.")
    ] = False,
    llm: Llm = "",
    llm_model: LlmModel = "",
    llm_timeout: LlmTimeout = 300.0,
    llm_price: LlmPrice = "",
    record: Record = None,
    replay: Replay = None,
    protected: Protected = None,
    places: RecurringPlaces = None,
    props: RecurringProps = None,
    poses: Poses = None,
) -> None:
    """Plan a storyboard from a story: by rules on this machine, or by a language model."""
    with said_why(1, "story"):
        from lafi_story.command import story as story_command
        from lafi_story.llm.options import LlmOptions
        from lafi_story.plan import Plan

        asked = LlmOptions(llm, llm_model, record, replay, llm_timeout, llm_price)
        plan = Plan(panels, title, encoding, vocabulary, asked, protected, places, props, poses)
        code = story_command(novel, out, plan, steps=steps, overwrite=overwrite)
    raise typer.Exit(code)
