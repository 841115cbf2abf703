"""Who is in a picture: networks that turn a picture of one figure into an embedding.

The teacher is EfficientNet-B0 (arXiv:1905.11946), the student MobileNetV2
(arXiv:1801.04381), both transformers' own classes with a linear layer on top. Knows
nothing about characters that were enrolled, and nothing about training.
"""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    EfficientNetConfig,
    EfficientNetModel,
    MobileNetV2Config,
    MobileNetV2Model,
)

from lafi_tiny.hand.attributes import IDENTITY_CHOICES, Identity
from lafi_tiny.hand.picture import Picture
from lafi_tiny.hand.visibility import visible_attributes, visible_looks
from lafi_tiny.training import load_half

Role = Literal["teacher", "student"]

SIDE = 96
"""Side in pixels of the pictures that a recogniser takes: three quarters of the model's own.

At half of it, eyes, glasses and hair styles are a few pixels wide; at all of it a call costs nearly
twice as much.
"""
EMBEDDING_WIDTH = 128
STUDENT_MULTIPLIER = 0.75
"""Width of the student's MobileNetV2 (its alpha)."""

TEACHER_BLOCKS = (1, 3, 5, 11)
STUDENT_BLOCKS = (0, 1, 4, 11)
"""Hidden states that the head pools, of which each is the last of its size."""

HIDDEN = -100
"""Index of an attribute that the picture cannot show."""


class _Float32Depthwise(nn.Conv2d):
    """A depthwise convolution that computes in float32 under autocast.

    In bfloat16 the CPU's backward pass of a strided one is up to 70 times slower, that of
    5 x 5 weights 5 times and that of maps of 2 x 2 pixels 9 times (torch 2.13, oneDNN).
    """

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float()).to(input.dtype)


class Recogniser(nn.Module):
    """RGB (B, 3, 96, 96) in [-1, 1] -> embeddings (B, 128) float32 of unit length.

    The head sees the mean and the maximum of several blocks' outputs, not of the last one
    alone. What tells characters apart is small and near the surface, a colour or a
    pattern, and so reaches the loss from the first step on.
    """

    def __init__(
        self, backbone: nn.Module, blocks: tuple[int, ...], width: int = EMBEDDING_WIDTH
    ) -> None:
        """`blocks`: which of the backbone's hidden states are pooled, besides its output."""
        super().__init__()
        self.backbone, self.blocks = backbone, blocks
        _keep_depthwise_in_float32(backbone)
        _initialise(backbone)
        backbone.eval()
        with torch.no_grad():
            features = self._pooled(torch.zeros(1, 3, SIDE, SIDE)).shape[1]
        # Centred, or all pictures' embeddings begin, and long remain, almost the same.
        self.head = nn.Sequential(
            nn.BatchNorm1d(features, affine=False),
            nn.Linear(features, width, bias=False),
            nn.BatchNorm1d(width, affine=False),
        )

    def _pooled(self, image: Tensor) -> Tensor:
        output = self.backbone(image, output_hidden_states=True)
        states = [*(output.hidden_states[i] for i in self.blocks), output.last_hidden_state]
        return torch.cat([pool for s in states for pool in (s.mean((2, 3)), s.amax((2, 3)))], 1)

    def forward(self, image: Tensor) -> Tensor:
        """One embedding per picture."""
        pooled = self._pooled(image).float()
        with torch.autocast(image.device.type, enabled=False):
            return F.normalize(self.head(pooled), dim=1)


def build_recogniser(role: Role) -> Recogniser:
    """A network with random weights."""
    return _build_teacher() if role == "teacher" else _build_student()


def _build_teacher() -> Recogniser:
    """EfficientNet-B0 without dropout: hardly a picture is seen twice."""
    config = EfficientNetConfig(
        image_size=SIDE,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        dropout_rate=0.0,
        drop_connect_rate=0.0,
        # torch's momentum is the weight of the new batch; the config's default of 0.99
        # is the other convention's and would keep the last batch alone.
        batch_norm_momentum=0.1,
    )
    return Recogniser(EfficientNetModel(config), TEACHER_BLOCKS)


def _build_student() -> Recogniser:
    config = MobileNetV2Config(
        image_size=SIDE, depth_multiplier=STUDENT_MULTIPLIER, tf_padding=False
    )
    backbone = MobileNetV2Model(config, add_pooling_layer=False)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    return Recogniser(backbone, STUDENT_BLOCKS)


def _initialise(backbone: nn.Module) -> None:
    """He's initialisation (arXiv:1502.01852) in place of transformers' fixed deviation of 0.02.

    That makes depthwise outputs so small that the batch norms' epsilon swallows them.
    """
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")


def _keep_depthwise_in_float32(backbone: nn.Module) -> None:
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            module.__class__ = _Float32Depthwise


class AttributePrototypes(nn.Module):
    """A direction in embedding space for every value of every identity attribute.

    A character's prototype is the sum of its attributes' directions. With additive
    logits, the softmax over all 291,600 characters is the product of nine small ones,
    one per attribute, so every picture trains against every character at once and a
    character never seen has a prototype too.
    """

    def __init__(self, width: int = EMBEDDING_WIDTH) -> None:
        super().__init__()
        # Only directions count, and short vectors turn faster.
        self.directions = nn.ParameterDict(
            {
                name: 0.05 * torch.randn(len(values), width)
                for name, values in IDENTITY_CHOICES.items()
            }
        )

    def cosines(self, embeddings: Tensor) -> dict[str, Tensor]:
        """Of (B, D) with every value's direction: (B, values) per attribute."""
        return {
            name: embeddings @ F.normalize(self.directions[name], dim=1).T
            for name in IDENTITY_CHOICES
        }

    def compose(self, labels: Tensor) -> Tensor:
        """Unit prototypes (B, D) of characters (B, 9); a hidden attribute adds nothing."""
        total = torch.zeros(len(labels), next(self.parameters()).shape[1], device=labels.device)
        for column, name in enumerate(IDENTITY_CHOICES):
            index = labels[:, column]
            unit = F.normalize(self.directions[name], dim=1)[index.clamp(min=0)]
            total = total + unit * (index != HIDDEN).unsqueeze(1)
        return F.normalize(total, dim=1)


def looks(identity: Identity) -> dict[str, str]:
    """What a whole figure shows from the front: no hair style under a cap, unless it hangs out.

    Characters with the same looks are the same to any recogniser.
    """
    return {name: getattr(identity, name) for name in visible_looks(identity, "front", "medium")}


def shows_everything(identity: Identity) -> bool:
    """Whether none of its attributes is always hidden."""
    return len(looks(identity)) == len(IDENTITY_CHOICES)


def labels_of(picture: Picture) -> list[int]:
    """Index of every attribute's value of its one figure; `HIDDEN` where it cannot be seen."""
    figure = picture.figures[0]
    seen = visible_attributes(picture, figure)
    return [
        values.index(getattr(figure.identity, name)) if name in seen else HIDDEN
        for name, values in IDENTITY_CHOICES.items()
    ]


def load_recogniser(role: Role, path: Path) -> Recogniser:
    """Read what the stage `recogniser` wrote; computes in float32."""
    return load_half(build_recogniser(role), path)
