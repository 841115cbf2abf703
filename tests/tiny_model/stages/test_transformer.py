"""The transformer's stage: its networks, loss, resuming, the curve, and the packed pipeline."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ZImagePipeline
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import Qwen2Tokenizer
from typer.testing import CliRunner

from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.checkpoint import read_model_info
from lafi.wire.events import PanelImage
from lafi_export.parity_cases import denoiser_cases
from lafi_tiny.hand.attributes import is_held_out_identity, is_held_out_setting
from lafi_tiny.hand.picture import Picture
from lafi_tiny.stages import batches, bundled, curve, train_denoiser
from lafi_tiny.stages.batches import Batches
from lafi_tiny.stages.blueprint import BLUEPRINT, Blueprint, build_autoencoder
from lafi_tiny.stages.bundled import BUNDLED
from lafi_tiny.stages.commands import app
from lafi_tiny.stages.curve import read_curve
from lafi_tiny.stages.denoising_model import Namer, load_recipe
from lafi_tiny.stages.draw import draw_pictures
from lafi_tiny.stages.latent_store import LatentStore
from lafi_tiny.stages.pack_transformer import evaluate_transformer, pack_transformer
from lafi_tiny.stages.qwen_tokenizer import stage_qwen_tokenizer
from lafi_tiny.stages.reader import Reader
from lafi_tiny.stages.score import ScoreSizes
from lafi_tiny.stages.stage_folder import has_finished
from lafi_tiny.stages.text_to_flow import TRANSFORMER, TextToFlow, transformer_recipe
from lafi_tiny.stages.text_to_latent import DENOISER
from lafi_tiny.stages.train_denoiser import (
    DenoiserTraining,
    denoising_loss,
    plan_finish,
    read_finish,
)
from lafi_tiny.stages.train_transformer import train_transformer
from lafi_tiny.stages.transformer_blueprint import (
    TRANSFORMER_BLUEPRINT,
    TransformerBlueprint,
    build_qwen,
    build_transformer,
)
from lafi_tiny.training import save_half, save_state

SMALL = TransformerBlueprint(
    heads=2,
    axes=(8, 4, 4),
    layers=3,
    text_width=16,
    text_hidden=32,
    text_layers=2,
    text_heads=2,
    text_key_heads=1,
)
SHORT = DenoiserTraining(
    steps=4,
    decay_steps=2,
    batch=4,
    store=40,
    first_pictures=20,
    grow_every=1,
    watch_every=100,
    seeded_steps=True,
)
CAPTIONS = [
    "a child waving in the snow",
    "a girl with long red hair, wearing a green shirt, jumping on the beach at night, and a boy "
    "with short black hair and a yellow top running in the city, seen from the back, in the rain",
    "",
]


@pytest.fixture(scope="module")
def words(with_autoencoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The autoencoder's folder with a Qwen tokenizer; read only."""
    run = Path(shutil.copytree(with_autoencoder, tmp_path_factory.mktemp("words") / "run"))
    stage_qwen_tokenizer(run, captions=500)
    return run


@pytest.fixture
def folder(words: Path, tmp_path: Path) -> Path:
    """A folder with everything that the stage needs, but for the reader."""
    return Path(shutil.copytree(words, tmp_path / "run"))


@pytest.fixture(scope="module")
def trained(plan: Blueprint, words: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with random weights, as float16 keeps them; read only."""
    run = Path(shutil.copytree(words, tmp_path_factory.mktemp("trained") / "run"))
    torch.manual_seed(0)
    model = TextToFlow(plan, SMALL, stage_qwen_tokenizer(run))
    save_state(run / TRANSFORMER.best, {"step": 0, "average": halves(model)})
    return run


@pytest.fixture(scope="module")
def packed(plan: Blueprint, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model as a folder."""
    out = tmp_path_factory.mktemp("packed") / "zimage"
    pack_transformer(plan, SMALL, trained, out)
    return out


def halves(model: TextToFlow) -> dict[str, Tensor]:
    return {name: value.half() for name, value in model.state_dict().items()}


def model_of(plan: Blueprint, folder: Path) -> tuple[TextToFlow, Qwen2Tokenizer]:
    model, tokenizer = load_recipe(transformer_recipe(plan, SMALL), folder)
    assert isinstance(model, TextToFlow)
    return model, tokenizer


def test_the_shipped_one_is_at_most_40_million_bytes(words: Path) -> None:
    with torch.device("meta"):
        modules = (
            build_transformer(TRANSFORMER_BLUEPRINT, BLUEPRINT.latent_channels),
            build_qwen(TRANSFORMER_BLUEPRINT, stage_qwen_tokenizer(words)),
            build_autoencoder(BLUEPRINT),
        )
    parameters = sum(p.numel() for module in modules for p in module.parameters())
    assert 20e6 < 2 * parameters < 40e6


def test_the_loss_reaches_every_weight_that_is_read(
    plan: Blueprint, folder: Path, vae: AutoencoderKL
) -> None:
    tokenizer = stage_qwen_tokenizer(folder)
    model = TextToFlow(plan, SMALL, tokenizer)
    namer = Namer(model.middle)
    store = LatentStore(folder, vae, seed=0, side=128, most=20)
    store.grow()
    encode, rng = partial(model.token_ids, tokenizer), np.random.default_rng(0)
    shares = {"empty_captions": 0.1, "inpainted": 1.0}
    batch = Batches(store, encode, model.noise, rng, size=12, **shares).draw()
    assert set(batch.fresh.mean(dim=-1).flatten().tolist()) == {0.5, 1.0}
    assert (batch.given_timesteps <= batch.timesteps).all()
    loss, naming = denoising_loss(model, namer, batch, torch.device("cpu"))
    (loss + naming).backward()
    both = torch.nn.ModuleDict({"model": model, "namer": namer})
    unused = {name for name, p in both.named_parameters() if p.grad is None}
    # Z-Image reads what lies before the text encoder's last layer.
    idle = ("model.text_encoder.layers.1.", "model.text_encoder.norm.")
    assert unused == {name for name, _ in both.named_parameters() if name.startswith(idle)}


def test_a_prediction_depends_on_its_own_row_only(plan: Blueprint, trained: Path) -> None:
    """Rows with texts of other lengths, which are run together, come back in their order."""
    model, tokenizer = model_of(plan, trained)
    noisy, timesteps = torch.randn(3, 4, 16, 16), torch.tensor([900.0, 100.0, 500.0])
    text = model.read(model.token_ids(tokenizer, CAPTIONS))
    with torch.inference_mode():
        velocity, middle = model.predict(noisy, timesteps, text)
        assert middle.shape == (3, model.middle.channels, *[model.middle.side] * 2)
        for row, caption in enumerate(CAPTIONS):
            one = model.read(model.token_ids(tokenizer, [caption]))
            rows = noisy[row : row + 1], timesteps[row : row + 1]
            alone = model.predict(*rows, one)
            torch.testing.assert_close(velocity[row : row + 1], alone[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(middle[row : row + 1], alone[1], atol=1e-5, rtol=1e-4)


def test_what_is_trained_is_what_the_engine_draws_with(
    plan: Blueprint, trained: Path, packed: Path
) -> None:
    model, tokenizer = model_of(plan, trained)
    engines = load_torch_engines(packed)
    ids = model.token_ids(tokenizer, CAPTIONS)
    encoded = engines.text_encoder(ids)
    (_, batch), *_ = denoiser_cases(engines.info, sizes=((3, 8, 8),))
    latents, timesteps = torch.randn(3, 4, 16, 16), torch.tensor([950.0, 20.0, 400.0])
    routes = torch.full_like(batch["routes"], -1)
    rows = batch.changed(latents=latents, timesteps=timesteps, routes=routes, **encoded)
    with torch.inference_mode():
        text = model.read(ids)
        torch.testing.assert_close(text[0] * text[1][..., None], encoded["text"])
        trained_path = model.predict(latents, timesteps, text)[0]
    torch.testing.assert_close(engines.denoiser(rows), trained_path, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_pipeline_and_our_engines_draw_the_same_picture(packed: Path, guidance: float) -> None:
    """The engines' guidance is one more than the pipeline's number."""
    info = read_model_info(packed)
    assert (info.family, info.own_side, info.shift_factor) == ("zimage", 128, 0.0)
    pipe = ZImagePipeline.from_pretrained(packed)
    pipe.set_progress_bar_config(disable=True)
    theirs = pipe(
        CAPTIONS[0],
        num_inference_steps=3,
        guidance_scale=guidance - 1.0,
        width=128,
        height=128,
        generator=torch.Generator().manual_seed(5),
    ).images[0]
    board = Storyboard(
        sampling={"steps": 3, "guidance": guidance},
        panels=[Panel(prompt=CAPTIONS[0], seed=5)],
    )
    events = draw(board, load_torch_engines(packed))
    (drawn,) = [event.png for event in events if isinstance(event, PanelImage)]
    ours = np.asarray(Image.open(io.BytesIO(drawn)), dtype=np.int16)
    assert ours.shape == (128, 128, 3)
    assert np.abs(ours - np.asarray(theirs, dtype=np.int16)).max() <= 2


def test_figures_are_of_the_pictures_that_the_pipeline_draws(
    plan: Blueprint, trained: Path, packed: Path, vae: AutoencoderKL
) -> None:
    """But for bfloat16, in which figures are drawn."""
    model, tokenizer = model_of(plan, trained)
    images = draw_pictures(model, vae, tokenizer, CAPTIONS[:2], seed=5, steps=3, guidance=4.0)
    pipe = ZImagePipeline.from_pretrained(packed)
    pipe.set_progress_bar_config(disable=True)
    drawn = pipe(
        CAPTIONS[:2],
        num_inference_steps=3,
        guidance_scale=3.0,
        width=128,
        height=128,
        generator=[torch.Generator().manual_seed(5 + k) for k in range(2)],
        output_type="np",
    ).images
    wanted = torch.from_numpy(drawn).permute(0, 3, 1, 2) * 2 - 1
    apart = (wanted[0] - wanted[1]).abs().mean()
    assert (images - wanted).abs().mean() < 0.05 * apart


def test_a_packed_one_is_in_float16_and_nothing_is_left_over(
    plan: Blueprint, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "zimage"
    out.mkdir()
    (out / "left_over.bin").write_bytes(b"x")
    size = pack_transformer(plan, SMALL, trained, out)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert size == sum(path.stat().st_size for path in files)
    assert not (out / "left_over.bin").exists()
    weights = [load_file(path) for path in files if path.suffix == ".safetensors"]
    assert len(weights) == 3
    assert {v.dtype for part in weights for v in part.values()} == {torch.float16}


class Stopped(Exception):
    """The end of a process."""


def test_a_resumed_run_is_the_one_that_was_never_stopped(
    plan: Blueprint, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    train_transformer(plan, SMALL, SHORT, folder)
    rate_share = train_denoiser.rate_share

    def stop(step: int, *rest: Any) -> float:
        if step == 2:
            raise Stopped
        return rate_share(step, *rest)

    often = replace(SHORT, save_seconds=0.0)
    with monkeypatch.context() as context:
        context.setattr(train_denoiser, "rate_share", stop)
        with pytest.raises(Stopped):
            train_transformer(plan, SMALL, often, other)
    train_transformer(plan, SMALL, often, other)
    states = [torch.load(run / TRANSFORMER.state, weights_only=True) for run in (folder, other)]
    assert [state["step"] for state in states] == [4, 4]
    for part in ("both", "average"):
        for name, value in states[0][part].items():
            assert torch.equal(value, states[1][part][name]), name
    assert has_finished(folder, "transformer")


def noting(function: Callable[..., Any], answers: list[Any]) -> Callable[..., Any]:
    """The function, which also keeps what it answers."""

    def noted(*inputs: Any, **named: Any) -> Any:
        answers.append(function(*inputs, **named))
        return answers[-1]

    return noted


def test_figures_are_of_combinations_and_captions_that_training_never_sees(
    plan: Blueprint, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures: list[Picture] = []
    captions: list[str] = []
    asked: list[str] = []

    def blank(*inputs: Any, **_named: Any) -> Tensor:
        asked.extend(inputs[-1])
        return torch.zeros(len(inputs[-1]), 3, 128, 128)

    monkeypatch.setattr(batches, "picture_of", noting(batches.picture_of, pictures))
    monkeypatch.setattr(batches, "random_caption", noting(batches.random_caption, captions))
    monkeypatch.setattr(curve, "draw_pictures", blank)
    monkeypatch.setattr(curve, "WATCHED", ScoreSizes(panels=20, twins=10))
    save_half(Reader(), folder / "reader.safetensors")
    train_transformer(plan, SMALL, replace(SHORT, batch=16), folder)
    assert len(captions) == 4 * 16 < len(pictures)
    for picture in pictures:
        for index, figure in enumerate(picture.figures):
            scene = picture.scenes[index if len(picture.scenes) > 1 else 0]
            assert not is_held_out_identity(figure.identity)
            assert not is_held_out_setting(figure.action, scene)
    assert len(asked) == 4 * 20 + 2 * 10
    assert not {*captions} & {*asked}


@pytest.mark.slow
def test_it_draws_its_curve_keeps_the_best_and_falls_when_it_is_told(
    plan: Blueprint, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = ScoreSizes(panels=3, twins=2)
    monkeypatch.setattr(curve, "WATCHED", sizes)
    save_half(Reader(), folder / "reader.safetensors")
    train_transformer(plan, SMALL, replace(SHORT, steps=1), folder)
    (row,) = read_curve(folder, TRANSFORMER.curve)
    assert (row["step"], row["pictures"]) == (1, 4)
    assert (folder / TRANSFORMER.best).exists()
    assert plan_finish(folder, 3, TRANSFORMER) == {"start": 51, "steps": 3}
    assert read_finish(folder, TRANSFORMER) == {"start": 51, "steps": 3}
    figures = evaluate_transformer(plan, SMALL, folder, sizes)
    assert json.loads((folder / TRANSFORMER.figures).read_text()) == figures
    # Nothing of the denoiser's own.
    names = {path.name for path in folder.iterdir()}
    assert not names & {*asdict(DENOISER).values()}


def test_commands_take_the_models_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[tuple[str, Path, Path]] = []

    def noting_pack(name: str) -> Callable[[Path, Path], int]:
        def pack(folder: Path, out: Path) -> int:
            packed.append((name, folder, out))
            return 2**20

        return pack

    models = {name: replace(one, pack=noting_pack(name)) for name, one in BUNDLED.items()}
    monkeypatch.setattr(bundled, "BUNDLED", models)
    for model, out in (("transformer", "tiny_model/zimage"), ("denoiser", "tiny_model/weights")):
        run = CliRunner().invoke(app, ["pack", "--model", model, "--folder", str(tmp_path)])
        assert (run.exit_code, run.output) == (0, f"{out}: 1.0 MiB\n")
        assert packed[-1] == (model, tmp_path, Path(out))
    for command in ("pack", "evaluate", "finish-denoiser"):
        refused = CliRunner().invoke(app, [command, "--model", "unet"])
        assert refused.exit_code == 2
        said = " ".join(refused.output.split())
        assert "model: got 'unet', allowed: denoiser, transformer" in said
