"""Triggers of variants and storyboards: diffusers' picture of the prompt that is written out."""

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import lafi_export.artifacts
from brought_files import saved
from drawn_twice import PROMPT, distance, drawn_by_engines, drawn_by_stock, stock_pipeline
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.content_address import content_address
from lafi.drawing.plan import notes, plan_panel
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.model.info import ModelInfo, load_model_info, variant_folder
from lafi.ports.engines import Engines
from lafi_export.command import export_command
from lafi_export.onnx_export import Graph
from lafi_export.part_weights import PartWeights
from lafi_export.single_file import SingleFile

pytestmark = pytest.mark.slow
INK, NIGHT = "a child at night", "on the beach"


@pytest.fixture(scope="module")
def lora(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of the first layer that changes pixels."""
    site = load_model_info(repository / "artifacts").layers[0]
    generator = torch.Generator().manual_seed(1)
    name = f"unet.{site.name}.to_v"
    tensors = {
        f"{name}.lora_A.weight": torch.randn(2, site.width, generator=generator),
        f"{name}.lora_B.weight": torch.randn(site.width, 2, generator=generator),
    }
    return saved(tmp_path_factory.mktemp("lora") / "ink.safetensors", tensors)


@pytest.fixture(scope="module")
def variant(
    checkpoint: Path, repository: Path, lora: Path, tmp_path_factory: pytest.TempPathFactory
) -> Engines:
    """The engines of a variant with a trigger, exported by the command; graphs are there before."""
    exported = repository / "artifacts"

    def copy(graph: Graph, path: Path, _: Sequence[PartWeights]) -> tuple[str, ...]:
        shutil.copy(exported / graph.file, path)
        return load_model_info(exported).onnx_weights[graph.file]

    out = tmp_path_factory.mktemp("triggers") / "out"
    console = Console(file=io.StringIO())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lafi_export.artifacts, "export_graph", copy)
        code = export_command(
            SingleFile(checkpoint),
            out,
            runtime="onnxruntime",
            variants=[f"ink={lora}"],
            triggers=[f"ink={INK}"],
            console=console,
        )
    assert code == 0
    return load_onnx_engines(variant_folder(out / "artifacts", "ink"), threads=1)


@pytest.fixture(scope="module")
def pipe(checkpoint: Path, lora: Path) -> Any:
    pipe = stock_pipeline(checkpoint)
    pipe.load_lora_weights(lora)
    return pipe


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("trigger", "written"),
    [
        ("", f"{INK}, {PROMPT}"),
        (NIGHT, f"{INK}, {NIGHT}, {PROMPT}"),
        (f" {NIGHT}, ", f"{INK}, {NIGHT}, {PROMPT}"),
    ],
)
def test_a_variant_and_a_storyboard_put_theirs_in_front(
    variant: Engines, pipe: Any, trigger: str, written: str
) -> None:
    assert variant.info.trigger == INK
    ours = drawn_by_engines(variant, variant="ink", trigger=trigger)
    assert distance(ours, drawn_by_stock(pipe, written)) <= 2
    assert distance(ours, drawn_by_stock(pipe, PROMPT)) > 2


def test_every_prompt_has_it_and_the_notes_name_the_variants(variant: Engines) -> None:
    models: dict[str, ModelInfo] = {"": variant.info.model_copy(update={"trigger": ""})}
    models["ink"] = variant.info
    board = Storyboard(
        trigger=NIGHT,
        characters=[Character(name="mia", prompt="a girl")],
        sampling={"stages": [{"size": 0.5, "variant": "ink"}, {"denoise": 0.5, "prompt": "wide"}]},
        panels=[Panel(prompt="{mia} runs")],
    )
    plans = [plan_panel(board, board.panels[0], models)]
    assert [stage.text for stage in plans[0]] == [f"{INK}, {NIGHT}, a girl runs", f"{NIGHT}, wide"]
    portrait = plan_panel(board, board.portrait_panel("mia"), models)
    assert portrait[0].text == f"{INK}, {NIGHT}, a girl"
    said = [line for line in notes(board, plans) if line.startswith("variant:")]
    assert said == [f"variant: ink puts '{INK},' in front of every prompt"]


def test_it_is_in_the_address_where_it_is_set(variant: Engines) -> None:
    models = {"": variant.info}
    board = Storyboard(panels=[Panel(prompt="a child")])
    addresses = [
        content_address(each, each.panels[0], models)
        for each in (
            board.model_copy(update={"trigger": trigger}) for trigger in ("", " ", "ink", "ink,")
        )
    ]
    assert addresses[0] == addresses[1] == content_address(board, board.panels[0], models)
    assert addresses[2] == addresses[3] != addresses[0]
