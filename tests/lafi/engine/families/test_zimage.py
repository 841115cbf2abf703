"""Z-Image: the pixels of diffusers' own pipeline, and references read as a plain processor does."""

import copy
import io
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import ZImagePipeline, ZImageTransformer2DModel
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from lafi.board.error import StoryboardError
from lafi.board.injection import Injection
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import TorchDenoiser, TorchReferenceReader, load_torch_engines
from lafi.model.info import ModelInfo, ReferencePositions
from lafi.model.layers import injected_layers
from lafi.ports.bank_entry import stack_bank
from lafi.ports.engines import DenoiserBatch, Engines
from lafi.wire.events import Accepted, PanelImage
from lafi_export.modules import load_modules
from lafi_export.parity_cases import bank_cases, denoiser_cases
from lafi_export.random_checkpoint import random_checkpoint

STEPS, NEGATIVE = 3, "blurred"
PROMPTS = ("a child with a red hat runs over the hills, and it rains on the roofs of the town", "x")
POSITIONS: tuple[ReferencePositions, ...] = ("same", "shifted", "own")
SIZES = ((1, 2, 2), (3, 2, 3), (2, 4, 8))
"""The last has whole multiples of 32 tokens, so that nothing pads the picture."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zimage")
    random_checkpoint("zimage", folder, size="small")
    return folder


@pytest.fixture(scope="module")
def engines(folder: Path) -> Engines:
    return load_torch_engines(folder)


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Any:
    pipe = ZImagePipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def network(pipe: Any) -> ZImageTransformer2DModel:
    return copy.deepcopy(pipe.transformer).eval().requires_grad_(False)


@pytest.mark.parametrize("size", [(64, 64), (96, 48)])
@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_the_pixels_are_those_of_the_stock_pipeline(
    engines: Engines, pipe: Any, size: tuple[int, int], guidance: float
) -> None:
    """Guidance is one more than the pipeline's own number."""
    width, height = size
    board = Storyboard(
        width=width,
        height=height,
        negative_prompt=NEGATIVE if guidance > 1 else "",
        sampling={"steps": STEPS, "guidance": guidance},
        panels=[Panel(prompt=prompt, seed=seed) for seed, prompt in enumerate(PROMPTS)],
    )
    drawn = {e.panel: e.png for e in draw(board, engines) if isinstance(e, PanelImage)}
    for seed, prompt in enumerate(PROMPTS):
        theirs = pipe(
            prompt,
            negative_prompt=NEGATIVE,
            num_inference_steps=STEPS,
            guidance_scale=guidance - 1.0,
            width=width,
            height=height,
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        ours = np.asarray(Image.open(io.BytesIO(drawn[seed])), dtype=np.int16)
        assert np.abs(ours - np.asarray(theirs, dtype=np.int16)).max() <= 2


class Concatenating:
    """Attention that keeps a reference's picture tokens, or lets a picture's queries read them.

    place: rotates kept keys, (1, S, heads, d), to where the panel sees them.
    """

    def __init__(self, picture: int) -> None:
        self.picture = picture
        self.kept: tuple[Tensor, Tensor] | None = None
        self.write = False
        self.read: Any = None

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        freqs_cis: Tensor | None = None,
    ) -> Tensor:
        turn = freqs_cis
        assert turn is not None
        q, k, v = (
            linear(hidden_states).unflatten(-1, (attn.heads, -1))
            for linear in (attn.to_q, attn.to_k, attn.to_v)
        )
        q, k = attn.norm_q(q), attn.norm_k(k)
        if self.write:
            self.kept = (k[:, : self.picture], v[:, : self.picture])
        q, k = turned(q, turn), turned(k, turn)
        tokens = q.shape[1]
        offset = torch.zeros(tokens, tokens)
        if self.read is not None:
            assert self.kept is not None
            place, strength = self.read
            k = torch.cat([k, turned(self.kept[0], place)], dim=1)
            v = torch.cat([v, self.kept[1]], dim=1)
            seen = torch.full((tokens, self.picture), -math.inf)
            seen[: self.picture] = strength
            offset = torch.cat([offset, seen], dim=1)
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        read = F.scaled_dot_product_attention(q, k, v, offset)
        return attn.to_out[0](read.transpose(1, 2).flatten(2))


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """x (B, S, heads, d), turn (B, S, d / 2) complex."""
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turn[:, :, None]).flatten(3)


@pytest.mark.parametrize("positions", POSITIONS)
def test_injection_is_what_a_concatenating_processor_does(
    engines: Engines, network: ZImageTransformer2DModel, positions: ReferencePositions
) -> None:
    """A panel and its reference, of which the panel reads the layers 1 and 3."""
    info = engines.info.model_copy(update={"reference_positions": positions})
    strength, (high, wide), timesteps = 0.7, (8, 12), torch.tensor([700.0, 100.0])
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(2, info.latent_channels, high, wide, generator=generator)
    text = engines.text_encoder(torch.from_numpy(engines.prompts.token_ids(["a cat", "b"])))
    routes = torch.full((len(info.layers), 2, 1), -1, dtype=torch.int32)
    layers = (1, 3)
    routes[list(layers), 0] = 1
    batch = DenoiserBatch(
        {
            "latents": latents,
            "timesteps": timesteps,
            **text,
            "routes": routes,
            "bias": torch.full((2, 1), strength),
            "mask": torch.ones(2, high, wide),
            "region": torch.ones(2, 1, high, wide),
        }
    )
    wanted = concatenated(network, batch, info, layers, strength)
    ours = TorchDenoiser(copy.deepcopy(network), info)
    torch.testing.assert_close(ours(batch), wanted, atol=2e-4, rtol=0)
    deaf = ours(batch.changed(routes=torch.full_like(routes, -1)))
    assert (deaf[0] - wanted[0]).abs().max() > 1e-2
    torch.testing.assert_close(deaf[1], wanted[1], atol=2e-4, rtol=0)


def concatenated(
    network: ZImageTransformer2DModel,
    batch: DenoiserBatch,
    info: ModelInfo,
    layers: tuple[int, ...],
    strength: float,
) -> Tensor:
    """Diffusers' own forward, first of the reference, then of the panel."""
    high, wide = (side // 2 for side in batch["latents"].shape[2:])
    processors = {}
    for index, site in enumerate(info.layers):
        processors[index] = Concatenating(high * wide)
        network.get_submodule(site.name).set_processor(processors[index])

    def predict(row: int) -> Tensor:
        counting = batch["text_mask"][row] > 0
        time = (1000.0 - batch["timesteps"][row : row + 1]) / 1000.0
        words = batch["text"][row][counting]
        given = [batch["latents"][row].unsqueeze(1)]
        return -network(given, time, [words], return_dict=False)[0][0].squeeze(1)

    for processor in processors.values():
        processor.write = True
    reference = predict(1)
    first, down, along = {"same": (0, 0, 0), "shifted": (0, 0, wide), "own": (1, 0, 0)}[
        info.reference_positions
    ]
    # A picture's own first coordinate is the padded text's length and one more.
    start = (33 + first, down, along)
    ids = network.create_coordinate_grid((1, high, wide), start).flatten(0, 2)
    place = network.rope_embedder(ids)[None]
    for index, processor in processors.items():
        processor.write = False
        processor.read = (place, strength) if index in layers else None
    return torch.stack([predict(0), reference])


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_reference_from_the_bank_is_the_same_as_a_row(
    engines: Engines, network: ZImageTransformer2DModel, positions: ReferencePositions
) -> None:
    info = engines.info.model_copy(update={"reference_positions": positions})
    denoiser, reader = TorchDenoiser(network, info), TorchReferenceReader(network, info)
    for name, case in bank_cases(info, SIZES):
        wanted = denoiser(case.rows)[: len(case.panels["latents"])]
        got = denoiser(replace(case.panels, bank=stack_bank(reader(case.references))))
        torch.testing.assert_close(got, wanted, atol=2e-4, rtol=0, msg=name)


def test_a_row_does_not_depend_on_who_reads_it_and_where(
    engines: Engines, network: ZImageTransformer2DModel
) -> None:
    (_, batch), *_ = ((n, b) for n, b in denoiser_cases(engines.info) if len(b["latents"]) == 3)
    routes = torch.full_like(batch["routes"], -1)
    alone, batch = batch.changed(routes=routes), batch.changed(routes=routes.clone())
    batch["routes"][:, 0] = 2
    for positions in POSITIONS:
        info = engines.info.model_copy(update={"reference_positions": positions})
        denoiser = TorchDenoiser(copy.deepcopy(network), info)
        read, unread = denoiser(batch), denoiser(alone)
        torch.testing.assert_close(read[1:], unread[1:], atol=2e-4, rtol=0)
        assert (read[0] - unread[0]).abs().max() > 1e-3


def test_texts_of_different_lengths_do_not_disturb_each_other(
    engines: Engines, network: ZImageTransformer2DModel
) -> None:
    """The short one is padded by a multiple of 32 that nobody reads."""
    denoiser = TorchDenoiser(network, engines.info)
    texts = ["short", "long " * 20]
    encoded = engines.text_encoder(torch.from_numpy(engines.prompts.token_ids(texts)))
    alone = engines.text_encoder(torch.from_numpy(engines.prompts.token_ids(texts[:1])))
    assert alone["text"].shape[1] == 32 < encoded["text"].shape[1]
    torch.testing.assert_close(encoded["text"][:1, :32], alone["text"])
    (_, batch), *_ = ((n, b) for n, b in denoiser_cases(engines.info) if len(b["latents"]) == 3)
    two = {name: tensor[:2] for name, tensor in batch.ports.items() if name != "routes"}
    routes = torch.full((len(engines.info.layers), 2, batch["bias"].shape[1]), -1).int()
    both = denoiser(DenoiserBatch({**two, "routes": routes, **encoded}))
    one = {name: tensor[:1] for name, tensor in two.items()}
    by_itself = denoiser(DenoiserBatch({**one, "routes": routes[:, :1], **alone}))
    torch.testing.assert_close(both[:1], by_itself, atol=2e-4, rtol=0)


def test_a_text_encoder_saved_with_its_head_is_the_same(
    folder: Path, engines: Engines, tmp_path: Path
) -> None:
    """As published: the class of a causal model, whose names begin with `model.`."""
    copied = Path(shutil.copytree(folder, tmp_path / "copied"))
    (weights,) = (copied / "text_encoder").glob("*.safetensors")
    named = {f"model.{name}": value.clone() for name, value in load_file(weights).items()}
    save_file(named, weights, metadata={"format": "pt"})
    index = copied / "model_index.json"
    index.write_text(index.read_text().replace("Qwen3Model", "Qwen3ForCausalLM"), "utf-8")
    config = copied / "text_encoder/config.json"
    config.write_text(config.read_text().replace("Qwen3Model", "Qwen3ForCausalLM"), "utf-8")
    ids = torch.from_numpy(engines.prompts.token_ids(["a cat"]))
    wanted = engines.text_encoder(ids)["text"]
    loaded = load_torch_engines(copied)
    torch.testing.assert_close(loaded.text_encoder(ids)["text"], wanted, rtol=0, atol=0)
    modules = load_modules(copied, loaded.info, tmp_path / "weights")
    exported = modules.engines(copied, loaded.info).text_encoder(ids)["text"]
    torch.testing.assert_close(exported, wanted, rtol=0, atol=1e-5)


def test_weighted_words_count_and_words_outside_their_region_are_told_of(engines: Engines) -> None:
    """Text and picture are one sequence, so that words cannot be kept to a region."""

    def events_of(prompt: str) -> list[Any]:
        board = Storyboard(
            width=32,
            height=32,
            sampling={"steps": 1, "guidance": 1.0},
            characters=[Character(name="mia", prompt="a girl")],
            panels=[Panel(prompt=prompt, seed=1, regions={"mia": (0.0, 0.0, 0.5, 1.0)})],
        )
        return list(draw(board, engines))

    plain, weighted = events_of("{mia} has a red hat"), events_of("{mia} has a (red:1.8) hat")
    pictures = [[e.png for e in each if isinstance(e, PanelImage)] for each in (plain, weighted)]
    assert pictures[0] != pictures[1]
    (accepted,) = (event for event in plain if isinstance(event, Accepted))
    said = "panels[0].regions.mia: the words of mia act everywhere with zimage"
    assert [note for note in accepted.notes if note.startswith(said)]


def test_placed_words_are_refused_before_any_work(engines: Engines) -> None:
    placed = {"words": "a red hat", "box": (0.0, 0.0, 0.5, 1.0)}
    board = Storyboard(
        width=32,
        height=32,
        sampling={"steps": 1, "guidance": 1.0},
        panels=[Panel(prompt="a girl and a red hat", objects=[placed])],
    )
    said = r"panels\[0\].objects: got 1 of them, allowed: none with zimage"
    with pytest.raises(StoryboardError, match=said):
        next(draw(board, engines))


def test_the_default_is_the_blocks_of_text_and_picture(engines: Engines) -> None:
    assert injected_layers(engines.info, Injection().layers) == (2, 3, 4)
    assert injected_layers(engines.info, "all") == (0, 1, 2, 3, 4)
