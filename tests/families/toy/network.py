"""A small transformer whose text and picture tokens stand in one sequence."""

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from lafi_toy.family import PATCH
from torch import Tensor, nn

from lafi.engine.torch.attention import EXCLUDED, Collected, pooled_to_grid, to_tokens
from lafi.ports.engines import DenoiserBatch
from lafi_kernels.reference import attention

WAVES = 8


class JointBlock(nn.Module):
    """One attention over text and picture, and what it gives is added to both.

    site   its index among the model's, once routes may be an argument; before, attention is plain
    place  (group, place in it) of its keys and values in the bank
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.told = nn.Linear(width, 2 * width)
        self.text_qkv = nn.Linear(width, 3 * width)
        self.picture_qkv = nn.Linear(width, 3 * width)
        self.norm_q = nn.RMSNorm(width // heads, eps=1e-6)
        self.norm_k = nn.RMSNorm(width // heads, eps=1e-6)
        self.text_out = nn.Linear(width, width)
        self.picture_out = nn.Linear(width, width)
        self.site: int | None = None
        self.place = (0, 0)

    def forward(
        self,
        text: Tensor,
        picture: Tensor,
        told: Tensor,
        offsets: Tensor,
        columns: int,
        injection: DenoiserBatch | Collected | None,
    ) -> tuple[Tensor, Tensor]:
        """text (B, T, W), picture (B, S, W), told (B, W); columns: of the picture's grid.

        offsets: (B, T + S), added to the logits of each token.
        """
        shift, gate = self.told(told)[:, None].chunk(2, dim=-1)
        text_q, text_k, text_v = self._qkv(self.text_qkv(self.norm(text) + shift))
        q, k, v = self._qkv(self.picture_qkv(self.norm(picture) + shift))
        if isinstance(injection, Collected):
            assert self.site is not None
            injection[self.site] = (k, v)
        # A text token stands at position 0, where rotation changes nothing.
        joint = (
            torch.cat([text_q, rotated(q, self.heads, columns)], dim=1),
            torch.cat([text_k, rotated(k, self.heads, columns)], dim=1),
            torch.cat([text_v, v], dim=1),
        )
        if isinstance(injection, DenoiserBatch):
            read = self._routed(joint, offsets, text.shape[1], injection)
        else:
            read = self._plain(joint, offsets)
        text_read, picture_read = read[:, : text.shape[1]], read[:, text.shape[1] :]
        return (
            text + gate * self.text_out(text_read),
            picture + gate * self.picture_out(picture_read),
        )

    def _qkv(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = projected.chunk(3, dim=-1)
        q, k = (
            norm(x.unflatten(2, (self.heads, -1))).flatten(2)
            for norm, x in ((self.norm_q, q), (self.norm_k, k))
        )
        return q, k, v

    def _plain(self, joint: tuple[Tensor, Tensor, Tensor], offsets: Tensor) -> Tensor:
        q, k, v = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in joint)
        mask = offsets[:, None, None]
        return F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2)

    def _routed(
        self,
        joint: tuple[Tensor, Tensor, Tensor],
        offsets: Tensor,
        length: int,
        given: DenoiserBatch,
    ) -> Tensor:
        """length: text tokens, which are not read as a reference's and read no reference.

        The op adds nothing to the logits of a row's own tokens; one channel more a head does.
        """
        q, k, v = joint
        channels = q.shape[-1] // self.heads
        ones = torch.ones_like(offsets)
        q = self._wider(q * (1 + 1 / channels) ** 0.5, ones)
        k = self._wider(k, offsets * (1 + channels) ** 0.5)
        v = self._wider(v, 0 * ones)
        tokens = q.shape[1] - length
        mask = to_tokens(given["mask"], PATCH, tokens)
        region = to_tokens(given["region"], PATCH, tokens)
        bank_k, bank_v, bank_mask = k[:0], v[:0], F.pad(mask[:0], (length, 0))
        if given.bank is not None:
            group, place = self.place
            kept, bank_v = given.bank.keys[group][place], given.bank.values[group][place]
            # The bank keeps keys without positions; the entries' grid is known by their mask.
            bank_k = rotated(kept, self.heads, given.bank.mask.shape[-1] // PATCH)
            bank_mask = pooled_to_grid(given.bank.mask, PATCH)
            none = torch.zeros_like(bank_mask)
            bank_k, bank_v = self._wider(bank_k, none), self._wider(bank_v, none)
        routes = given["routes"][self.site]
        mask, region = (F.pad(x, (length, 0)) for x in (mask, region))
        read = attention(
            q, k, v, bank_k, bank_v, routes, given["bias"], mask, bank_mask, region, self.heads
        )
        return read.unflatten(-1, (self.heads, -1))[..., :-1].flatten(2)

    def _wider(self, x: Tensor, channel: Tensor) -> Tensor:
        """x (N, S, heads * d), channel (N, S) -> (N, S, heads * (d + 1))."""
        split = x.unflatten(-1, (self.heads, -1))
        last = channel.to(x.dtype)[..., None, None].expand(*split.shape[:-1], 1)
        return torch.cat([split, last], dim=-1).flatten(2)


class ToyTransformer(ModelMixin, ConfigMixin):
    """Predicts noise - picture, the velocity of a rectified flow (arXiv:2209.03003)."""

    @register_to_config
    def __init__(
        self,
        channels: int = 4,
        text_width: int = 12,
        width: int = 16,
        heads: int = 2,
        depth: int = 3,
    ) -> None:
        super().__init__()
        self.picture = nn.Conv2d(channels, width, PATCH, PATCH)
        self.text = nn.Linear(text_width, width)
        self.time = nn.Linear(2 * WAVES, width)
        self.guidance = nn.Linear(2 * WAVES, width)
        self.mood = nn.Linear(3, width)
        self.blocks = nn.ModuleList(JointBlock(width, heads) for _ in range(depth))
        self.out = nn.Linear(width, channels * PATCH * PATCH)

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        text: Tensor,
        text_mask: Tensor,
        guidance: Tensor,
        mood: Tensor,
        injection: DenoiserBatch | Collected | None = None,
    ) -> Tensor:
        """latents (B, C, h, w), timesteps and guidance (B,), text (B, T, D), mood (B, 3).

        text_mask: (B, T), 0 where a token does not count.
        """
        grid = self.picture(latents)
        rows, _, high, wide = grid.shape
        told = (
            self.time(waves(timesteps / 1000.0).to(latents.dtype))
            + self.guidance(waves(guidance).to(latents.dtype))
            + self.mood(mood)
        )
        told, words = F.silu(told), self.text(text)
        tokens = grid.flatten(2).transpose(1, 2)
        offsets = torch.where(text_mask > 0, 0.0, EXCLUDED).to(latents.dtype)
        offsets = F.pad(offsets, (0, tokens.shape[1]))
        for block in self.blocks:
            words, tokens = block(words, tokens, told, offsets, wide, injection)
        cells = self.out(tokens).reshape(rows, high, wide, latents.shape[1], PATCH, PATCH)
        return cells.permute(0, 3, 1, 4, 2, 5).reshape(rows, -1, high * PATCH, wide * PATCH)


def waves(numbers: Tensor) -> Tensor:
    """(B,) -> sines and cosines of it, (B, 2 * WAVES)."""
    angles = numbers[:, None] * torch.arange(1, WAVES + 1, device=numbers.device)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def rotated(x: Tensor, heads: int, columns: int) -> Tensor:
    """(N, S, heads * d) with rotary positions of a grid: half of d by row, half by column.

    The positions follow from the number of tokens, not from a second count of the grid's cells,
    which a trace would have to prove equal to it.
    """
    rows, tokens, width = x.shape
    index = torch.arange(tokens, device=x.device)
    speeds = 0.5 ** torch.arange(width // heads // 4, device=x.device)
    down = index // columns
    # Not `index % columns`, which torch's ONNX exporter cannot write for a size that varies.
    places = torch.stack([down, index - down * columns], dim=1).to(torch.float32)
    angles = (places[:, :, None] * speeds).flatten(1)[None, :, None]
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x.reshape(rows, tokens, heads, -1, 2).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).reshape(rows, tokens, width)
