"""Puts LoRA files into a pipeline by diffusers and peft, and makes sure that all of each arrived.

diffusers only warns of keys that it does not know or does not find. Here the adapter's weights are
compared with the file's afterwards, through the conversion that `lora_tracing` follows: whatever is
in one and not in the other is refused by name, so nothing depends on what is logged. The arithmetic
of a merge is peft's.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from lafi_export.bare_pipeline import bare_weight, denoiser_part, networks, quiet_libraries
from lafi_export.lora_file import LoraError, LoraFile, read_lora
from lafi_export.lora_tracing import ConvertedLora, TracedTensor, convert, fingerprint
from lafi_export.lycoris import load_lycoris
from lafi_export.tensor_reading import some

Strength = float | Mapping[str, Any]
"""A number, or one for each block and part as diffusers' `set_adapters` takes them.

`unet` stands for the denoiser, whatever its part is called.
"""
_TOLERANCE: Final = 1e-4
"""Relative, of scales: alphas may be stored in half precision."""
_ROUNDINGS: Final = 4
"""Of a factor's own dtype: converters multiply in it."""
_UNET: Final = "unet"
_BLOCKS: Final = ("down_blocks.", "mid_block.", "up_blocks.")


@dataclass(frozen=True, slots=True)
class AdaptedLayer:
    """A linear or convolutional layer with its adapters, each at its strength.

    layer: peft's. Adapters of another kind, such as LoKr beside LoRA, are a layer in this one.
    """

    layer: Any

    @property
    def _nested(self) -> list[Any]:
        """From the outermost, which is `layer`, to the one around the network's own."""
        found = [self.layer]
        while isinstance(found[-1].base_layer, BaseTunerLayer):
            found.append(found[-1].base_layer)
        return found

    def merged(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The layer's weight and bias, float32, with the adapters in them; peft's own merge.

        Raises LoraError where the sum is not finite.
        """
        base = self.layer.get_base_layer()
        before = base.weight
        # Both are changed in place by the merge.
        base.weight = nn.Parameter(weight.float().reshape(before.shape).clone())
        if bias is not None:
            base.bias = nn.Parameter(bias.float().clone())
        try:
            for layer in self._nested:
                layer.merge(safe_merge=True)
        except ValueError as error:
            raise LoraError(f"the merged weights are not finite ({error})") from error
        found = base.weight.data.reshape(weight.shape)
        found_bias = None if bias is None else base.bias.data
        for layer in self._nested:
            layer.merged_adapters.clear()
        base.weight = before
        if bias is not None:
            base.bias = bare_weight(tuple(bias.shape))
        return found, found_bias

    @property
    def is_dora(self) -> bool:
        """Whether an adapter is a DoRA."""
        return self._is_any("use_dora")

    @property
    def changes_bias(self) -> bool:
        """Whether an adapter changes the layer's bias too."""
        return self._is_any("lora_bias")

    def _is_any(self, setting: str) -> bool:
        return any(any(getattr(one, setting, {}).values()) for one in self._nested)


def load_loras(
    pipeline: Any, loras: Sequence[tuple[Path, Strength]]
) -> dict[str, dict[str, AdaptedLayer]]:
    """Part -> module -> layer that changes. pipeline: bare; the adapters stay in it.

    Raises LoraError for a file that diffusers and peft do not read whole, that does not fit, whose
    scales they would read otherwise than it says, and for several files if one is a DoRA (what it
    does depends on the others).
    """
    names = []
    for number, (path, _) in enumerate(loras):
        names.append(f"file{number}")
        _load(pipeline, read_lora(path), names[-1])
    layers = {part: dict(_layers(network)) for part, network in networks(pipeline).items()}
    for path, _ in loras if len(loras) > 1 else ():
        for inner in layers.values():
            if any(one.is_dora for one in inner.values()):
                raise LoraError(f"{path}: allowed: a DoRA alone, without other LoRA files")
    if any(strength != 1.0 for _, strength in loras) or len(loras) > 1:
        _set_strengths(pipeline, names, loras)
    return {part: found for part, found in layers.items() if found}


def _load(pipeline: Any, file: LoraFile, adapter: str) -> None:
    own = [weight for network in networks(pipeline).values() for weight in network.parameters()]
    try:
        with quiet_libraries():
            if file.kind == "lora":
                converted = _load_by_diffusers(pipeline, file, adapter)
            else:
                load_lycoris(networks(pipeline), file, adapter)
                converted = ConvertedLora.unchanged(file)
    except LoraError:
        raise
    except Exception as error:
        # What foreign keys make of these loaders is not foreseeable: KeyError, IndexError ...
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        text = some([line[:200] for line in lines]) or type(error).__name__
        raise LoraError(f"{file.path}: diffusers and peft cannot load it: {text}") from error
    _check_layers(pipeline, file, own)
    _check_biases(pipeline, file, adapter)
    traced = _check_whole(pipeline, file, converted, adapter)
    if file.kind == "lora" and file.settings is None:
        _check_scales(pipeline, file, traced, adapter)


def _load_by_diffusers(pipeline: Any, file: LoraFile, adapter: str) -> ConvertedLora:
    other = [key for key in file.tensors if "lora" not in key]
    if other:
        raise LoraError(f"{file.path}: beside LoRA factors: {some(other)}; allowed: none")
    known = {}
    if denoiser_part(pipeline) != _UNET:
        below = [f"{key}.alpha ({value:g})" for key, value in file.alphas.items() if value < 0]
        if below:
            # diffusers' converters would not return.
            raise LoraError(f"{file.path}: got {some(below)}, allowed alphas above 0")
    elif not hasattr(pipeline, "text_encoder_2"):
        # SDXL's loader knows the original repository's block names by itself, SD's by this config.
        known = {"unet_config": pipeline.unet.config}
    converted = convert(pipeline, file, **known)
    strange = [key for key in converted.tensors if "lora" not in key]
    if strange:
        kind = type(pipeline).__name__
        raise LoraError(f"{file.path}: got {some(strange)}; allowed: what diffusers' {kind} reads")
    flat = [*_without_matrix(pipeline, converted)]
    if flat:
        raise LoraError(
            f"{file.path}: got {some(flat)}, whose weights are no matrices; allowed: linear layers "
            "and convolutions"
        )
    # Only from a file does diffusers read the header.
    given = file.with_alphas if file.settings is None else str(file.path)
    pipeline.load_lora_weights(given, adapter_name=adapter, **known)
    return converted


def _without_matrix(pipeline: Any, converted: ConvertedLora) -> Iterator[str]:
    """Modules that the file changes and that are norms or the like, in the file's parts.

    diffusers' loaders of transformers would end in an IndexError.
    """
    known = {part: dict(network.named_modules()) for part, network in networks(pipeline).items()}
    for key in converted.tensors:
        part, _, rest = key.partition(".")
        name, found, _ = rest.partition(".lora_A.")
        weight = getattr(known.get(part, {}).get(name), "weight", None)
        if found and isinstance(weight, Tensor) and weight.ndim < 2:
            yield f"{part}.{name}"


def _layers(network: nn.Module) -> Iterator[tuple[str, AdaptedLayer]]:
    """Module -> its layer; those that are in another one are that one's."""
    for name, module in network.named_modules():
        if isinstance(module, BaseTunerLayer) and not name.endswith(".base_layer"):
            yield name, AdaptedLayer(module)


def _adapter_weights(pipeline: Any, adapter: str) -> Iterator[tuple[str, str, Any, Tensor]]:
    """Part, name, layer and value of every weight of an adapter."""
    for part, network in networks(pipeline).items():
        for module, layer in _layers(network):
            for name, value in layer.layer.named_parameters():
                if adapter in name.split("."):
                    yield part, f"{module}.{name}", layer.layer, value


def _check_layers(pipeline: Any, file: LoraFile, own: Sequence[Tensor]) -> None:
    """diffusers makes FLUX's layers wider for control LoRAs, which read a second picture."""
    kept = {id(weight) for weight in own}
    other = [
        f"{part}.{name}"
        for part, network in networks(pipeline).items()
        for name, layer in _layers(network)
        if id(layer.layer.get_base_layer().weight) not in kept
    ]
    if other:
        raise LoraError(f"{file.path}: is for other shapes of {some(other)}; allowed: its own")


def _check_biases(pipeline: Any, file: LoraFile, adapter: str) -> None:
    """peft cannot merge an adapter's bias into a layer without one, and says so only then."""
    bare = [
        f"{part}.{name}"
        for part, network in networks(pipeline).items()
        for name, layer in _layers(network)
        if getattr(layer.layer, "lora_bias", {}).get(adapter)
        and layer.layer.get_base_layer().bias is None
    ]
    if bare:
        raise LoraError(
            f"{file.path}: has biases (lora_B.bias) for {some(bare)}, layers without a bias; "
            "allowed: biases of layers that have one"
        )


def _check_whole(
    pipeline: Any, file: LoraFile, converted: ConvertedLora, adapter: str
) -> dict[str, TracedTensor]:
    """Every tensor of the file is in the adapter, and nothing else is. Gives where each is."""
    empty = []
    arrived: Counter[str] = Counter()
    names: dict[str, list[str]] = defaultdict(list)
    for part, name, _, value in _adapter_weights(pipeline, adapter):
        if value.is_meta:
            empty.append(f"{part}.{name}")
        else:
            mark = fingerprint(value)
            arrived[mark] += 1
            names[mark].append(f"{part}.{name}")
    traced = converted.traced(arrived)
    unused = [key for key, tensor in traced.items() if not tensor.whole]
    if unused:
        parts = ", ".join(networks(pipeline))
        raise LoraError(
            f"{file.path}: diffusers and peft find no place in this checkpoint for {some(unused)}; "
            f"allowed: keys of its {parts}, each module in one spelling"
        )
    # transformers fills what a file lacks with numbers of its own.
    empty += [name for mark, count in arrived.items() if count > 0 for name in names[mark]]
    if empty:
        named = [name.replace(f".{adapter}", "") for name in empty]
        raise LoraError(f"{file.path}: is not whole: it has nothing for {some(named)}")
    return traced


def _check_scales(
    pipeline: Any, file: LoraFile, traced: Mapping[str, TracedTensor], adapter: str
) -> None:
    """Each module is multiplied by alpha / rank as the file says it, by diffusers or by peft."""
    scaling: dict[str, set[float]] = defaultdict(set)
    for _, _, layer, value in _adapter_weights(pipeline, adapter):
        scaling[fingerprint(value)].add(layer.scaling[adapter])
    wrong = []
    for name, down, up in file.pairs():
        rank = file.tensors[down].shape[0]
        meant = file.alphas.get(name, float(rank)) / rank
        rounding = _ROUNDINGS * torch.finfo(file.tensors[down].dtype).eps
        allowed = max(_TOLERANCE, rounding) * abs(meant)
        ups = traced[up].places.values() if up in traced else ()
        for mark, factor in traced[down].places.items():
            read = [factor * other * peft for other in {*ups} or {1.0} for peft in scaling[mark]]
            # Layers whose factors are alike cannot be told apart.
            if all(abs(scale - meant) > allowed for scale in read):
                wrong.append(f"{name} (is {meant:g}, would be {read[0]:g})")
                break
    if wrong:
        raise LoraError(
            f"{file.path}: diffusers reads other scales than the file's alphas say: {some(wrong)}; "
            "allowed: alphas that differ only where diffusers tells them apart"
        )
    lost = [name for name in file.alphas if not _has_factor(file, name)]
    if lost:
        raise LoraError(f"{file.path}: alphas without a module: {some(lost)}")


def _has_factor(file: LoraFile, name: str) -> bool:
    return any(key.startswith(f"{name}.") for key in file.tensors)


def _set_strengths(
    pipeline: Any, names: Sequence[str], loras: Sequence[tuple[Path, Strength]]
) -> None:
    strengths = [
        _by_part(pipeline, path, name, one) for name, (path, one) in zip(names, loras, strict=True)
    ]
    try:
        with quiet_libraries():
            pipeline.set_adapters(list(names), adapter_weights=strengths)
    except Exception as error:
        paths = ", ".join(str(path) for path, _ in loras)
        denoiser = getattr(pipeline, denoiser_part(pipeline))
        outside = [name for name, _ in _layers(denoiser) if not name.startswith(_BLOCKS)]
        why = str(error)
        if outside:
            why = f"{some(outside)} are in no block, or a named block is not there ({why})"
        raise LoraError(
            f"{paths}: strength: diffusers cannot set it for single blocks: {why}; allowed: one "
            "number for each file, or blocks that the denoiser has"
        ) from error


def _by_part(pipeline: Any, path: Path, adapter: str, strength: Strength) -> Strength:
    """The strength as this pipeline's `set_adapters` takes it, which ignores what it lacks."""
    if isinstance(strength, int | float):
        return strength
    denoiser = denoiser_part(pipeline)
    found = {denoiser if part == _UNET else part: value for part, value in strength.items()}
    allowed = list(networks(pipeline))
    foreign = [part for part in found if part not in allowed]
    if foreign:
        raise LoraError(f"{path}: strength: got {some(foreign)}, allowed {', '.join(allowed)}")
    own = [*dict.fromkeys(part for part, *_ in _adapter_weights(pipeline, adapter))]
    unchanged = [part for part, value in found.items() if value != 1.0 and part not in own]
    if unchanged:
        raise LoraError(
            f"{path}: strength: got one for {some(unchanged)}, of which the file changes nothing; "
            f"allowed: strengths for its {some(own)}"
        )
    blocks = found.get(denoiser)
    if denoiser != _UNET and isinstance(blocks, Mapping):
        raise LoraError(
            f"{path}: strength: got {some(blocks)}, allowed: one number for the {denoiser}, whose "
            "blocks diffusers does not tell apart"
        )
    return found
