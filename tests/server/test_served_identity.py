"""Identity served by a real server: enrolled over gRPC, identified by many, panels with scores."""

import io
import json
import shutil
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from PIL import Image
from typer.testing import CliRunner

from lafi.app.cli import app
from lafi.board.reference_image import ReferenceImage
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.onnx.describer import load_describer
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.onnx.recogniser import load_recogniser
from lafi.identity.service import open_identity
from lafi.model.info import load_model_info
from lafi.model.recogniser_files import read_recogniser_info
from lafi.server.supervisor import Supervisor
from lafi.wire.events import PanelImage
from lafi.wire.model_spec import bytes_tensor
from lafi_client import IdentityClient, IdentityRefused, StoryboardClient
from lafi_export.recogniser_files import add_recogniser, write_identity_models

NAMES = ("mia", "tom", "ann")


def png(seed: int, size: tuple[int, int] = (32, 32)) -> bytes:
    """A picture of 16 coloured squares."""
    squares = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(squares).resize(size, Image.Resampling.NEAREST).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def identity_repository(
    repository: Path, describer_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The exported repository with a recogniser, as `lafi export --recogniser` makes it."""
    folder = tmp_path_factory.mktemp("identity") / "repository"
    shutil.copytree(repository, folder)
    artifacts = folder / "artifacts"
    info = add_recogniser(describer_folder, artifacts, load_model_info(artifacts))
    write_identity_models(folder / "models", "../artifacts", info)
    return folder


@pytest.fixture(scope="module")
def server(identity_repository: Path) -> Iterator[Supervisor]:
    with Supervisor(identity_repository, threads=1) as running:
        yield running


@pytest.fixture
def client(server: Supervisor) -> Iterator[IdentityClient]:
    with IdentityClient(server.grpc_url) as made:
        for name in (*NAMES, "zoe"):
            made.forget(name)
        yield made


def test_who_was_enrolled_is_identified_by_many_at_once(
    client: IdentityClient, server: Supervisor
) -> None:
    for seed, name in enumerate(NAMES):
        assert client.enrol(name, [png(seed), png(10 + seed)]) == 2
    asked = [seed for seed in (0, 1, 2, 10, 11, 12) for _ in range(5)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda seed: client.identify(png(seed)), asked))
    assert [each.character for each in found] == [NAMES[seed % 10] for seed in asked]
    assert min(each.score for each in found) == pytest.approx(1.0, abs=1e-5)
    with grpcclient.InferenceServerClient(server.grpc_url) as raw:
        (stats,) = raw.get_inference_statistics("identity").model_stats
    assert stats.inference_count >= len(asked) + 6
    assert stats.execution_count <= stats.inference_count


def test_enrolment_is_online(
    client: IdentityClient, identity_repository: Path, describer_folder: Path
) -> None:
    assert client.identify(png(20)).character == ""
    assert client.enrol("zoe", [png(20)]) == 1
    assert client.identify(png(20)).character == "zoe"
    assert client.enrol("zoe", [png(20)]) == 1
    assert client.enrol("zoe", [png(21, (64, 40))]) == 2
    assert client.identify(png(21, (64, 40))).character == "zoe"
    # A process beside the server reads the same file.
    beside = open_identity(load_recogniser(describer_folder), identity_repository / "state")
    assert beside.characters() == ("zoe",)
    embedding = client.identify(png(30)).embedding
    np.testing.assert_allclose(beside.recogniser([_pixels(png(30))])[0], embedding, atol=1e-5)
    assert client.forget("zoe") == 2
    assert client.identify(png(20)).character == ""


def test_words_about_a_character_count_in_its_score(
    client: IdentityClient, describer_folder: Path
) -> None:
    client.enrol("zoe", [png(20)], "a child with red hair")
    seen = load_recogniser(describer_folder, threads=1)([_pixels(png(20)), _pixels(png(22))])
    tower = load_describer(describer_folder, read_recogniser_info(describer_folder), threads=1)
    said = tower(["a child with red hair"])[0]
    expected = seen[1] @ seen[0] + 0.25 * (seen[1] - seen[0]) @ said
    assert client.identify(png(22)).score == pytest.approx(expected, abs=1e-4)
    with pytest.raises(IdentityRefused, match=r"description: got '\{zoe\}', allowed: at most"):
        client.enrol("zoe", [png(20)], "{zoe}")


def test_many_enrol_at_once_and_nothing_is_lost(client: IdentityClient) -> None:
    with ThreadPoolExecutor(6) as threads:
        counts = list(threads.map(lambda seed: client.enrol("tom", [png(seed)]), range(40, 52)))
    assert sorted(counts) == list(range(1, 13))


def test_a_bad_image_fails_its_own_request_only(client: IdentityClient) -> None:
    client.enrol("mia", [png(0)])
    images = [png(0), b"text", png(0), b"", png(0)[:70], png(0)] * 3

    def ask(image: bytes) -> str:
        try:
            return client.identify(image).character
        except IdentityRefused as error:
            return str(error)

    with ThreadPoolExecutor(9) as threads:
        answers = list(threads.map(ask, images))
    for image, answer in zip(images, answers, strict=True):
        if image == png(0):
            assert answer == "mia"
        else:
            assert answer.startswith("IMAGE: got ")
            assert "allowed:" in answer


@pytest.mark.parametrize(
    ("name", "images", "message"),
    [
        ("../mia", [png(0)], "character: got '../mia', allowed: a name of 1 to 64"),
        ("mia", [b"text"], "images[0]: got 4 bytes that are no image"),
        ("mia", [], "images: got 0, allowed: 1 to 16"),
    ],
)
def test_a_bad_enrolment_is_refused(
    client: IdentityClient, name: str, images: list[bytes], message: str
) -> None:
    with pytest.raises(IdentityRefused) as refused:
        client.enrol(name, images)
    assert str(refused.value).startswith(message)
    assert client.identify(png(0)).character == ""


def test_the_commands_do_the_same(server: Supervisor, tmp_path: Path) -> None:
    picture, text = tmp_path / "mia.png", tmp_path / "mia.txt"
    picture.write_bytes(png(60))
    text.write_bytes(b"text")
    runner = CliRunner(env={"LAFI_URL": server.grpc_url})
    said = {
        ("enrol", "mia", str(picture)): (0, "mia: 1 pictures known"),
        ("identify", str(picture)): (0, f"{picture}: mia 1.000"),
        ("enrol", "mia", str(picture), "--description", "red hair"): (0, "mia: 1 pictures known"),
        ("identify", str(text)): (2, "error: IMAGE: got 4 bytes that are no image"),
        ("enrol", "mia", str(tmp_path / "nobody.png")): (2, "No such file"),
        ("forget", "mia"): (0, "mia: 1 pictures forgotten"),
        ("forget", "mia", "--url", "127.0.0.1:1"): (3, "error: 127.0.0.1:1"),
    }
    for arguments, (code, text_said) in said.items():
        result = runner.invoke(app, arguments)
        assert (result.exit_code, text_said in result.output) == (code, True), result.output


def test_an_unknown_action_is_refused(server: Supervisor) -> None:
    inputs = []
    tensors = {"ACTION": b"drop", "CHARACTER": b"mia", "IMAGES": b""}
    for name, value in tensors.items():
        inputs.append(grpcclient.InferInput(name, [1], "BYTES"))
        inputs[-1].set_data_from_numpy(bytes_tensor(value))
    with (
        grpcclient.InferenceServerClient(server.grpc_url) as raw,
        pytest.raises(Exception, match="ACTION: got 'drop', allowed: enrol, forget"),
    ):
        raw.infer("identity_enrolment", inputs)


def test_panels_come_with_scores_and_low_ones_are_drawn_again(
    server: Supervisor, identity_repository: Path
) -> None:
    mia = Character(name="mia", prompt="a child", reference=ReferenceImage(data=png(0)))
    board = Storyboard(
        width=32,
        height=32,
        sampling={"steps": 3},
        characters=(mia, Character(name="ann", prompt="a child at night")),
        panels=(
            Panel(prompt="{mia} is running", retry_below=1.0, retries=2),
            Panel(prompt="{mia} and {ann}", regions={"mia": (0.0, 0.0, 0.5, 1.0)}),
            Panel(prompt="the beach"),
        ),
    )
    with StoryboardClient(server.grpc_url) as client:
        served = client.draw_all(board)
    artifacts = identity_repository / "artifacts"
    engines = load_onnx_engines(artifacts, load_model_info(artifacts).engine, threads=1)
    assert engines.recogniser is not None
    local = {e.panel: e for e in draw(board, engines) if isinstance(e, PanelImage)}
    assert [panel.attempts for panel in served] == [3, 1, 1]
    for panel in served:
        here = local[panel.panel]
        assert panel.scores.keys() == here.scores.keys()
        assert panel.scores == pytest.approx(here.scores, abs=2e-3)
        assert (panel.seed, panel.attempt) == (here.seed, here.attempt)
        assert panel.address == here.address
    assert [list(panel.scores) for panel in served] == [["mia"], ["mia", "ann"], []]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(server.metrics_url, timeout=10) as response:
        assert b"lafi_panel_retries_total" in response.read()


def test_a_critic_keeps_the_panel_that_is_most_like_its_character(
    server: Supervisor, tmp_path: Path
) -> None:
    (tmp_path / "mia.png").write_bytes(png(0))
    story, out = tmp_path / "story.yaml", tmp_path / "out"
    story.write_text(
        "{width: 32, height: 32, sampling: {steps: 2},\n"
        "characters: [{name: mia, prompt: a child, reference: mia.png}],\n"
        "panels: [{prompt: '{mia} running', retry_below: 1.0, retries: 0}, {prompt: a beach}]}\n"
    )
    arguments = ["draw", str(story), "-o", str(out), "--url", server.grpc_url]
    judged = ["--critic", "identity", "--candidates", "2", "--changes", "1"]
    result = CliRunner().invoke(app, [*arguments, *judged])
    assert result.exit_code == 0, result.output
    panels = json.loads((out / "critique.json").read_text())["panels"]
    versions, kept = panels["0"]["versions"], panels["0"]["kept"]
    assert [each["reasons"][:1] == ["candidate 2 of 2"] for each in versions] == [
        False,
        True,
        False,
    ]
    scores = [each["score"] for each in versions]
    assert (kept, len(set(scores))) == (scores.index(max(scores)), 3)
    assert (out / "panel_00.png").read_bytes() == (out / versions[kept]["file"]).read_bytes()
    assert len(panels["1"]["versions"]) == 1
    # Each is what the server draws for that seed, and scores so.
    with StoryboardClient(server.grpc_url) as client:
        mia = Character(name="mia", prompt="a child", reference=ReferenceImage(data=png(0)))
        again = client.draw_all(
            Storyboard(
                width=32,
                height=32,
                sampling={"steps": 2},
                characters=(mia,),
                panels=tuple(Panel(prompt="{mia} running", seed=one["seed"]) for one in versions),
            )
        )
    assert [panel.address for panel in again] == [one["address"] for one in versions]
    assert [panel.scores["mia"] for panel in again] == pytest.approx(scores, abs=2e-3)


def _pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))
