"""`make demo`: a real server draws a storyboard, and the effect of injection is measured.

    python benchmarks/demo.py --repository out/repository --out out/demo

Starts Triton Server on free loopback ports, draws an example storyboard over gRPC (panels,
contact sheet, report), then draws the same panels with injection `none`, `all` and `decoder`
(also with the reference at a fixed low noise) and measures with the reader how much of the
reference's identity each of them kept. Panels are shown four times as large as the model draws
them, through the served model `upscaler`; the reader sees them as they were drawn.
"""

import io
from pathlib import Path

import numpy as np
import tritonclient.grpc as grpcclient
import typer
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from rich.console import Console

from lafi.board.injection import Injection
from lafi.board.reference_image import ReferenceImage
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.server.exposure import OPEN_PARTS
from lafi.server.supervisor import Supervisor
from lafi_client import StoryboardClient
from lafi_client.commands import draw
from lafi_tiny.attributes import ACTIONS, BACKGROUNDS, TIMES, Identity, Scene
from lafi_tiny.caption import plain_caption
from lafi_tiny.reader import Reader, load_reader
from lafi_tiny.reference_sheet import reference_png
from lafi_tiny.scores import Scores, Wanted, score
from lafi_tiny.training import from_pixels

STORY = Path("client/examples/day_with_mia.yaml")
READER = Path("tiny_model/reader.safetensors")
MIA = Identity("pale", "red", "long", "blue", "striped", "brown", "glasses", "slim")
INJECTIONS: dict[str, Injection] = {
    "none": Injection(layers="none"),
    "all": Injection.as_published(layers="all"),
    "decoder": Injection.as_published(),
    "decoder, noise 0.1": Injection.as_published(reference_noise=0.1),
    "decoder, noise 0.1, strength 1": Injection(
        layers="decoder", reference_noise=0.1, strength=1.0
    ),
}
CELL, LABEL = 260, 370
LARGER = 4
"""How many times the strip's panels are enlarged before they are fitted into cells."""
CLEARLY = 0.05
"""A gain in identity match that is significant for a strip of this length."""


def wanted_panels() -> list[Wanted]:
    """Every action once, in different scenes."""
    return [
        Wanted(MIA, action, Scene(BACKGROUNDS[i % 6], TIMES[i % 3]))
        for i, action in enumerate(ACTIONS)
    ]


def strip_storyboard(wanted: list[Wanted], injection: Injection) -> Storyboard:
    """The same prompts and seeds for every injection; the prompts do not describe her looks."""
    mia = Character(name="mia", prompt="a child", reference=ReferenceImage(data=reference_png(MIA)))
    panels = tuple(
        Panel(prompt=plain_caption(w.action, w.scene, who="{mia}"), seed=100 + i)
        for i, w in enumerate(wanted)
    )
    return Storyboard(
        title="The same panels", characters=(mia,), panels=panels, injection=injection
    )


def draw_strip(
    client: StoryboardClient, reader: Reader, url: str
) -> dict[str, tuple[list[NDArray[np.uint8]], Scores]]:
    """Panels, enlarged, and scores of what was drawn, for each injection."""
    wanted = wanted_panels()
    rows = {}
    for name, injection in INJECTIONS.items():
        board = strip_storyboard(wanted, injection)
        panels = [_pixels(panel.png) for panel in client.draw_all(board)]
        readings = reader.read(from_pixels(np.stack(panels)))
        rows[name] = ([*enlarged(url, np.stack(panels))], score(readings, wanted))
    return rows


def enlarged(url: str, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB (B, H, W, 3), LARGER times as large, by the served model `upscaler`."""
    factors = np.full((len(pictures), 1), LARGER, np.int32)
    inputs = [
        grpcclient.InferInput("IMAGE", list(pictures.shape), "UINT8"),
        grpcclient.InferInput("FACTOR", [len(pictures), 1], "INT32"),
    ]
    inputs[0].set_data_from_numpy(pictures)
    inputs[1].set_data_from_numpy(factors)
    with grpcclient.InferenceServerClient(url) as client:
        made: NDArray[np.uint8] = client.infer("upscaler", inputs).as_numpy("ENLARGED")
    return made


def save_strip(
    rows: dict[str, tuple[list[NDArray[np.uint8]], Scores]], verdict: str, path: Path
) -> None:
    """One row per injection, with its scores, the reference on the left."""
    columns = len(next(iter(rows.values()))[0])
    sheet = Image.new(
        "RGB",
        (LABEL + columns * CELL, len(rows) * CELL + 20 + 22 * (verdict.count("\n") + 1)),
        "white",
    )
    pen = ImageDraw.Draw(sheet)
    reference = Image.fromarray(_pixels(reference_png(MIA)))
    for row, (name, (panels, scores)) in enumerate(rows.items()):
        sheet.paste(reference.resize((88, 88), Image.Resampling.NEAREST), (6, row * CELL + 36))
        text = f"injection: {name}\n\nidentity {scores.identity:.2f}\naction   {scores.action:.2f}"
        pen.text((104, row * CELL + 46), text, fill="black", font_size=15)
        for column, panel in enumerate(panels):
            picture = Image.fromarray(panel).resize((CELL - 4,) * 2, Image.Resampling.LANCZOS)
            sheet.paste(picture, (LABEL + column * CELL, row * CELL + 2))
    pen.text((8, len(rows) * CELL + 10), verdict, fill="black", font_size=15)
    sheet.save(path)


def judge(name: str, none: Scores, injected: Scores) -> str:
    """A sentence that says whether this injection helped."""
    figures = (
        f"identity match {none.identity:.2f} -> {injected.identity:.2f}, "
        f"action {none.action:.2f} -> {injected.action:.2f}"
    )
    helped = injected.identity - none.identity >= CLEARLY
    return f"Injection ({name}) {'helped' if helped else 'did NOT clearly help'}: {figures}."


def _pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def main(
    repository: Path = Path("out/repository"), out: Path = Path("out/demo"), story: Path = STORY
) -> None:
    """Draw the demo through a real server."""
    console = Console()
    console.print("starting Triton Server ...")
    with Supervisor(repository, exposure=OPEN_PARTS) as server:
        console.print(f"ready on {server.grpc_url}")
        code = draw(story, out, url=server.grpc_url, overwrite=True)
        if code:
            raise typer.Exit(code)
        with StoryboardClient(server.grpc_url) as client:
            rows = draw_strip(client, load_reader(READER), server.grpc_url)
    injected = [name for name in rows if name.startswith("decoder")]
    verdict = "\n".join(judge(name, rows["none"][1], rows[name][1]) for name in injected)
    save_strip(rows, verdict, out / "strip.png")
    console.print(verdict, style="bold")
    console.print(f"look at {out}/contact_sheet.png, {out}/report.html and {out}/strip.png")


if __name__ == "__main__":
    typer.run(main)
