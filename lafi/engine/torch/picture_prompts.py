"""An IP-Adapter's file, read by diffusers' own converters, and its pictures as tokens.

A file has two groups of tensors: `image_proj`, which makes tokens of what an image encoder saw, and
`ip_adapter`, keys and values of the cross-attention layers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import ImageProjection, IPAdapterPlusImageProjection
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from lafi.engine.torch.control_fit import without_weights
from lafi.engine.torch.device import bring, current, give_back, place
from lafi.model.artifacts import file_sha256
from lafi.model.checkpoint import CheckpointError, files_sha256, weight_files
from lafi.model.info import ModelInfo
from lafi.model.picture_prompt_info import (
    PICTURE_PROMPTS,
    AdapterFiles,
    PicturePromptInfo,
    picture_ports,
)

PROJECTION: Final = "image_proj"
LAYERS: Final = "ip_adapter"
_NAMED: Final = 5
_VISION: Final = "clip_vision_model"


class AdapterLayers(nn.Module):
    """Keys and values of pictures, for every cross-attention layer in diffusers' order."""

    def __init__(self, names: list[str], to_k: list[nn.Module], to_v: list[nn.Module]) -> None:
        """names: of the layers, such as `mid_block.attentions.0.transformer_blocks.0.attn2`."""
        super().__init__()
        self.names = names
        self.to_k = nn.ModuleList(to_k)
        self.to_v = nn.ModuleList(to_v)

    def of(self, name: str) -> tuple[nn.Module, nn.Module]:
        """to_k and to_v of a layer. Raises ValueError for an unknown one."""
        index = self.names.index(name)
        return self.to_k[index], self.to_v[index]


class Adapter(NamedTuple):
    """layers: go into the UNet; projection: what follows the image encoder."""

    layers: AdapterLayers
    projection: nn.Module


class ProjectedEncoder(nn.Module):
    """pictures (B, 3, S, S), shown (B,) -> tokens (B, K, D).

    shown: 1 for a picture, 0 for none. No picture is what diffusers' `encode_image` makes of it:
    an embedding of zeros where the adapter reads that, else the hidden states of a grey picture.
    """

    def __init__(self, image_encoder: nn.Module, projection: nn.Module) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.projection = projection
        self.embedded = isinstance(projection, ImageProjection)

    def forward(self, pictures: Tensor, shown: Tensor) -> Tensor:
        if self.embedded:
            seen = self.image_encoder(pictures).image_embeds * shown[:, None]
        else:
            given = pictures * shown[:, None, None, None]
            seen = self.image_encoder(given, output_hidden_states=True).hidden_states[-2]
        tokens: Tensor = self.projection(seen)
        return tokens


class TorchPictureEncoder:
    """`lafi.ports.picture_encoder.PictureEncoder`."""

    def __init__(self, module: ProjectedEncoder, side: int) -> None:
        """module: on the device that it runs on. side: of its pictures, in pixels."""
        self._module = module
        self._side = side
        self._like = next(module.parameters())

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """As the protocol."""
        return self._tokens(pictures, 1.0)

    @torch.no_grad()
    def nothing(self) -> Tensor:
        """As the protocol."""
        return self._tokens(torch.zeros(1, 3, self._side, self._side), 0.0)

    def _tokens(self, pictures: Tensor, shown: float) -> Tensor:
        device, dtype = self._like.device, self._like.dtype
        with current(device):
            flags = torch.full((len(pictures),), shown, device=device, dtype=dtype)
            return give_back(self._module(bring(pictures, device, dtype), flags), pictures)


def read_adapter(path: Path, unet: UNet2DConditionModel) -> Adapter:
    """An adapter's file, for a UNet as diffusers makes it; its weights may lie on the meta device.

    path: safetensors. By diffusers' own converters, which leave out what they do not know: it is
    refused here by its name, as is what is missing. Raises CheckpointError.
    """
    groups = _groups(path)
    _check_projection(path, groups[PROJECTION])
    names = [
        name.removesuffix(".processor")
        for name in unet.attn_processors
        if not name.endswith("attn1.processor")
    ]
    _check_layers(path, groups[LAYERS], unet, names)
    converter: Any = unet
    try:
        projection = converter._convert_ip_adapter_image_proj_to_diffusers(
            dict(groups[PROJECTION]), low_cpu_mem_usage=False
        )
    except (KeyError, IndexError, RuntimeError) as error:
        why = " ".join(str(error).split())
        raise CheckpointError(f"{path}: {PROJECTION}: {why}") from error
    processors = converter._convert_ip_adapter_attn_to_diffusers([groups], low_cpu_mem_usage=False)
    pairs = [processors[f"{name}.processor"] for name in names]
    layers = AdapterLayers(
        names, [each.to_k_ip[0] for each in pairs], [each.to_v_ip[0] for each in pairs]
    )
    for part in (layers, projection):
        part.eval().requires_grad_(False)
    return Adapter(layers, projection)


def load_image_encoder(folder: Path, dtype: torch.dtype) -> nn.Module:
    """Raises CheckpointError for weights that are missing or left over, by their names."""
    model, report = CLIPVisionModelWithProjection.from_pretrained(
        folder, dtype=dtype, output_loading_info=True, local_files_only=True
    )
    wrong = sorted({*map(str, report["missing_keys"]), *map(str, report["unexpected_keys"])})
    wrong += [str(each) for each in report["mismatched_keys"]]
    if wrong:
        raise CheckpointError(
            f"{folder}: got {_some(wrong)} missing, left over or of another shape, allowed the "
            "weights of a CLIPVisionModelWithProjection"
        )
    module: nn.Module = model.eval().requires_grad_(False)
    return module


def with_torch_pictures(info: ModelInfo, checkpoint: Path, files: AdapterFiles | None) -> ModelInfo:
    """The facts of a checkpoint with picture prompts; as they were without files.

    Raises CheckpointError for files that are no adapter or image encoder, or that do not fit the
    model or each other; the text says what does not.
    """
    if files is None:
        return info
    if info.family != "unet":
        raise CheckpointError(
            f"{PICTURE_PROMPTS}: got {files.adapter} for {info.name} of the family {info.family}, "
            "allowed with the UNets of SD1.5, SD2.1 and SDXL"
        )
    unet = without_weights(UNet2DConditionModel, Path(checkpoint) / "unet")
    projection = read_adapter(files.adapter, unet).projection
    vision = _vision_config(files.image_encoder)
    tokens, text_width = _token_sizes(files, projection, vision)
    if text_width != info.text_width:
        raise CheckpointError(
            f"{files.adapter}: {PROJECTION}: got tokens of width {text_width}, allowed "
            f"{info.text_width}, the width of the text of {info.name}"
        )
    facts = PicturePromptInfo(
        side=vision.image_size,
        tokens=tokens,
        adapter_sha256=file_sha256(files.adapter),
        encoder_sha256=files_sha256(files.image_encoder, weight_files(files.image_encoder)),
    )
    ports = (*info.added_inputs, *picture_ports(tokens, text_width))
    return info.model_copy(update={"added_inputs": ports, "picture_prompts": facts})


def install_adapter(
    unet: Any, files: AdapterFiles, dtype: torch.dtype, device: torch.device
) -> TorchPictureEncoder:
    """Puts an adapter's layers into a UNet that is not prepared for injection yet.

    files: that `with_torch_pictures` allows. Gives what makes tokens of pictures.
    """
    adapter = read_adapter(files.adapter, unet)
    unet.add_module(PICTURE_PROMPTS, adapter.layers.to(device=device, dtype=dtype))
    encoder = load_image_encoder(files.image_encoder, dtype)
    module = ProjectedEncoder(encoder, adapter.projection.to(dtype))
    return TorchPictureEncoder(
        place(module, device), _vision_config(files.image_encoder).image_size
    )


def _groups(path: Path) -> dict[str, dict[str, Tensor]]:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: got no safetensors file: {error}") from error
    groups: dict[str, dict[str, Tensor]] = {PROJECTION: {}, LAYERS: {}}
    unknown = []
    for name, tensor in tensors.items():
        group, _, rest = name.partition(".")
        if group in groups and rest:
            groups[group][rest] = tensor
        else:
            unknown.append(name)
    empty = [name for name, found in groups.items() if not found]
    if empty:
        raise CheckpointError(
            f"{path}: has no tensors of {' and '.join(empty)}, allowed an IP-Adapter with both"
        )
    if unknown:
        raise CheckpointError(
            f"{path}: got {_some(unknown)}, allowed tensors of {PROJECTION} and {LAYERS}"
        )
    return groups


def _check_projection(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raises CheckpointError for an adapter that reads faces' embeddings: no encoder gives them."""
    plain = "proj.weight" in tensors or "proj.3.weight" in tensors
    faces = "norm.weight" in tensors or any(name.startswith("perceiver_") for name in tensors)
    if faces and not plain:
        raise CheckpointError(
            f"{path}: got an adapter of faces (FaceID), allowed a plain, plus or full IP-Adapter"
        )


def _check_layers(
    path: Path, tensors: Mapping[str, Tensor], unet: UNet2DConditionModel, names: Sequence[str]
) -> None:
    """Whether there is exactly what diffusers reads, in the shapes of this UNet."""
    shapes: dict[str, tuple[int, int]] = {}
    for number, name in enumerate(names):
        text: Any = unet.get_submodule(name)
        shape = (text.to_k.out_features, text.to_k.in_features)
        shapes |= {f"{2 * number + 1}.to_{part}_ip.weight": shape for part in ("k", "v")}
    missing = [name for name in shapes if name not in tensors]
    unknown = [name for name in tensors if name not in shapes]
    for names_, what in ((missing, "misses"), (unknown, "has besides")):
        if names_:
            raise CheckpointError(
                f"{path}: {LAYERS}: {what} {_some(names_)}, allowed keys and values of this UNet's "
                f"{len(names)} cross-attention layers"
            )
    for name, shape in shapes.items():
        if tuple(tensors[name].shape) != shape:
            got = list(tensors[name].shape)
            raise CheckpointError(
                f"{path}: {LAYERS}.{name}: got shape {got}, allowed {list(shape)}, as this UNet "
                "has it"
            )


def _vision_config(folder: Path) -> Any:
    """Of an image encoder. Raises CheckpointError for a folder of something else."""
    try:
        config = CLIPVisionConfig.get_config_dict(folder, local_files_only=True)[0]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: has no config of an image encoder: {error}") from error
    if config.get("model_type") != _VISION:
        raise CheckpointError(
            f"{folder}: model_type: got {config.get('model_type')!r}, allowed {_VISION!r}: a "
            "CLIPVisionModelWithProjection"
        )
    return CLIPVisionConfig.from_dict(config)


def _token_sizes(files: AdapterFiles, projection: Any, vision: Any) -> tuple[int, int]:
    """Tokens of a picture, and their width. Raises CheckpointError for another image encoder."""
    embedded = isinstance(projection, ImageProjection)
    if embedded:
        field, wanted = "projection_dim", projection.image_embeds.in_features
    elif isinstance(projection, IPAdapterPlusImageProjection):
        field, wanted = "hidden_size", projection.proj_in.in_features
    else:
        field, wanted = "hidden_size", projection.ff.net[0].proj.in_features
    width = getattr(vision, field)
    if width != wanted:
        raise CheckpointError(
            f"{files.image_encoder}: {field}: got {width}, allowed {wanted}, which {files.adapter} "
            "reads"
        )
    patches = (vision.image_size // vision.patch_size) ** 2 + 1
    with torch.no_grad():
        made = projection(torch.zeros((1, width) if embedded else (1, patches, width)))
    return int(made.shape[1]), int(made.shape[2])


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
