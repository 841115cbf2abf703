"""What SD3 and FLUX predict with references: a plain concatenation, from rows or from the bank."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import FluxPipeline, FluxTransformer2DModel, SD3Transformer2DModel
from diffusers.models.embeddings import apply_rotary_emb
from joint_checkpoints import VARIANTS, joint_checkpoint
from torch import Tensor

from lafi.engine.torch.engines import TorchDenoiser, TorchReferenceReader
from lafi.model.checkpoint import read_model_info
from lafi.model.info import ModelInfo
from lafi.ports.bank_entry import stack_bank
from lafi.ports.engines import DenoiserBatch
from lafi_export.parity_cases import bank_cases, random_batch

ROWS, HIGH, WIDE = 4, 2, 3
"""Of a batch, and of a picture's tokens."""
PATCH = 2


@dataclass(frozen=True)
class Made:
    """One checkpoint: its facts, and its transformer as diffusers loads it."""

    name: str
    info: ModelInfo
    stock: Any


@pytest.fixture(scope="module", params=VARIANTS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder: Path = tmp_path_factory.mktemp(request.param)
    chosen = joint_checkpoint(request.param, folder)
    kinds = {"sd3": SD3Transformer2DModel, "flux": FluxTransformer2DModel}
    stock = kinds[chosen.name].from_pretrained(folder / "transformer")
    # Short texts say as much here, and take less time.
    info = read_model_info(folder).model_copy(update={"text_length": 6})
    return Made(request.param, info, stock.eval().requires_grad_(False))


def prepared(made: Made, info: ModelInfo | None = None) -> tuple[TorchDenoiser, Any]:
    module = copy.deepcopy(made.stock)
    return TorchDenoiser(module, info or made.info), module


def batch_of(info: ModelInfo, seed: int = 0) -> DenoiserBatch:
    """Random rows that read nothing; a guidance in every row that may have one."""
    generator = torch.Generator().manual_seed(seed)
    batch = random_batch(info, generator, (ROWS, 2, HIGH, WIDE), routed=True)
    told = {"guidance": torch.full((ROWS,), 4.0)} if "guidance" in batch.ports else {}
    return batch.changed(routes=torch.full_like(batch["routes"], -1), **told)


def routed(batch: DenoiserBatch) -> DenoiserBatch:
    """Row 0 reads rows 2 and 3, row 1 reads row 3, in every site but the second."""
    routes = batch["routes"].clone()
    routes[:, 0] = torch.tensor([2, 3], dtype=torch.int32)
    routes[:, 1, 0] = 3
    routes[1] = -1
    return batch.changed(routes=routes)


@torch.no_grad()
def plainly(stock: Any, batch: DenoiserBatch) -> Tensor:
    """A call of diffusers' module as its pipeline makes it."""
    latents, guidance = batch["latents"], batch.ports.get("guidance")
    told = {
        "encoder_hidden_states": batch["text"],
        "pooled_projections": batch["pooled"],
        "return_dict": False,
    }
    if isinstance(stock, SD3Transformer2DModel):
        sd3: Tensor = stock(hidden_states=latents, timestep=batch["timesteps"], **told)[0]
        return sd3
    rows, channels, high, wide = latents.shape
    packed = FluxPipeline._pack_latents(latents, rows, channels, high, wide)
    out = stock(
        hidden_states=packed,
        timestep=batch["timesteps"] / 1000,
        guidance=guidance,
        txt_ids=torch.zeros(batch["text"].shape[1], 3),
        img_ids=FluxPipeline._prepare_latent_image_ids(
            rows, high // 2, wide // 2, "cpu", torch.float32
        ),
        **told,
    )[0]
    flux: Tensor = FluxPipeline._unpack_latents(out, 8 * high, 8 * wide, 8)
    return flux


def test_without_routes_it_is_diffusers_module(made: Made) -> None:
    denoiser, _ = prepared(made)
    batch = batch_of(made.info)
    torch.testing.assert_close(denoiser(batch), plainly(made.stock, batch), atol=2e-5, rtol=0)


class Concatenated:
    """Attention row by row: a picture's queries read the references' picture tokens as well.

    Two of them make a processor of SD3 or FLUX, with projections as diffusers writes them.
    """

    def __init__(self, batch: DenoiserBatch, site: int) -> None:
        self.batch, self.routes = batch, batch["routes"][site].tolist()

    def read(self, q: Tensor, k: Tensor, v: Tensor, before: int) -> Tensor:
        """q, k, v (B, heads, N, d); before: tokens before the picture's."""
        count = HIGH * WIDE
        picture = slice(before, before + count)
        rows = []
        for row in range(len(q)):
            keys, values = [k[row]], [v[row]]
            offsets = [torch.zeros(q.shape[2], k.shape[2])]
            for slot, source in enumerate(self.routes[row]):
                if source < 0:
                    continue
                keys.append(k[source][:, picture])
                values.append(v[source][:, picture])
                logs = torch.full((q.shape[2], count), -math.inf)
                weights = self.tokens("region", row, slot)[:, None] * self.tokens("mask", source)
                logs[picture] = weights.log() + self.batch["bias"][row, slot]
                offsets.append(logs)
            rows.append(
                F.scaled_dot_product_attention(
                    q[row],
                    torch.cat(keys, dim=1),
                    torch.cat(values, dim=1),
                    torch.cat(offsets, dim=1),
                )
            )
        return torch.stack(rows).transpose(1, 2).flatten(2)

    def tokens(self, port: str, *place: int) -> Tensor:
        return F.avg_pool2d(self.batch[port][place][None], PATCH).flatten()


class ConcatenatedSd3(Concatenated):
    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Any = None,
        attention_mask: Any = None,
    ) -> Any:
        def split(x: Tensor, norm: Any) -> Tensor:
            heads = x.view(len(x), -1, attn.heads, x.shape[-1] // attn.heads).transpose(1, 2)
            return heads if norm is None else norm(heads)

        q = split(attn.to_q(hidden_states), attn.norm_q)
        k = split(attn.to_k(hidden_states), attn.norm_k)
        v = split(attn.to_v(hidden_states), None)
        if encoder_hidden_states is None:
            return attn.to_out[0](self.read(q, k, v, 0))
        text = encoder_hidden_states
        q = torch.cat([q, split(attn.add_q_proj(text), attn.norm_added_q)], dim=2)
        k = torch.cat([k, split(attn.add_k_proj(text), attn.norm_added_k)], dim=2)
        v = torch.cat([v, split(attn.add_v_proj(text), None)], dim=2)
        read = self.read(q, k, v, 0)
        count = hidden_states.shape[1]
        words = read[:, count:]
        return (
            attn.to_out[0](read[:, :count]),
            words if attn.context_pre_only else attn.to_add_out(words),
        )


class ConcatenatedFlux(Concatenated):
    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Any = None,
        attention_mask: Any = None,
        image_rotary_emb: Any = None,
    ) -> Any:
        def split(x: Tensor, norm: Any) -> Tensor:
            heads = x.unflatten(-1, (-1, attn.head_dim))
            return heads if norm is None else norm(heads)

        q = split(attn.to_q(hidden_states), attn.norm_q)
        k = split(attn.to_k(hidden_states), attn.norm_k)
        v = split(attn.to_v(hidden_states), None)
        text = encoder_hidden_states
        if text is not None:
            q = torch.cat([split(attn.add_q_proj(text), attn.norm_added_q), q], dim=1)
            k = torch.cat([split(attn.add_k_proj(text), attn.norm_added_k), k], dim=1)
            v = torch.cat([split(attn.add_v_proj(text), None), v], dim=1)
        q = apply_rotary_emb(q, image_rotary_emb, sequence_dim=1)
        k = apply_rotary_emb(k, image_rotary_emb, sequence_dim=1)
        before = q.shape[1] - HIGH * WIDE
        read = self.read(*(x.transpose(1, 2) for x in (q, k, v)), before)
        if text is None:
            return read
        return attn.to_out[0](read[:, before:]), attn.to_add_out(read[:, :before])


PROCESSORS: Mapping[str, Callable[[DenoiserBatch, int], Any]] = {
    "sd3": ConcatenatedSd3,
    "flux": ConcatenatedFlux,
}


def test_with_routes_it_is_a_plain_concatenation(made: Made) -> None:
    batch = routed(batch_of(made.info))
    other = copy.deepcopy(made.stock)
    for index, site in enumerate(made.info.layers):
        other.get_submodule(site.name).set_processor(PROCESSORS[made.info.family](batch, index))
    denoiser, _ = prepared(made)
    got = denoiser(batch)
    torch.testing.assert_close(got, plainly(other, batch), atol=2e-5, rtol=0)
    unread = plainly(made.stock, batch)
    assert (got - unread)[:2].abs().amax(dim=(1, 2, 3)).min() > 1e-3


def test_a_row_that_is_read_does_not_depend_on_its_readers(made: Made) -> None:
    denoiser, _ = prepared(made)
    batch = batch_of(made.info)
    latents = batch["latents"].clone()
    latents[:2] += 1.0
    torch.testing.assert_close(
        denoiser(routed(batch))[2:],
        denoiser(routed(batch.changed(latents=latents)))[2:],
        atol=1e-6,
        rtol=0,
    )
    torch.testing.assert_close(denoiser(routed(batch))[2:], denoiser(batch)[2:], atol=2e-5, rtol=0)


@pytest.mark.parametrize("positions", ["same", "shifted", "own"])
def test_the_bank_and_a_row_give_the_same(made: Made, positions: str) -> None:
    info = made.info.model_copy(update={"reference_positions": positions})
    denoiser, module = prepared(made, info)
    reader = TorchReferenceReader(module, info)
    for name, case in bank_cases(info, ((1, 2, 3), (2, 3, 2))):
        wanted = denoiser(case.rows)[: len(case.panels["latents"])]
        got = denoiser(replace(case.panels, bank=stack_bank(reader(case.references))))
        torch.testing.assert_close(got, wanted, atol=2e-5, rtol=0, msg=name)


@pytest.mark.parametrize("positions", ["shifted", "own"])
def test_a_reference_that_stands_elsewhere_reads_itself_as_before(
    made: Made, positions: str
) -> None:
    batch = routed(batch_of(made.info))
    moved = made.info.model_copy(update={"reference_positions": positions})
    before, after = prepared(made)[0](batch), prepared(made, moved)[0](batch)
    torch.testing.assert_close(after[2:], before[2:], atol=2e-5, rtol=0)
    rotary = any(site.rotary for site in made.info.layers)
    assert ((after - before)[:2].abs().max() > 1e-4) == rotary
