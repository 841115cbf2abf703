"""LoHa and LoKr files (LyCORIS, arXiv:2309.14859), loaded by peft.

diffusers' pipelines take neither, but peft has both as adapters of its own. Module names are
translated by diffusers, as for a LoRA of the same spelling.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.utils.peft_utils import _create_lokr_config
from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft
from peft import LoHaConfig, PeftConfig, inject_adapter_in_model, set_peft_model_state_dict
from torch import Tensor, nn

from lafi_export.lora_file import LoraError, LoraFile
from lafi_export.tensor_reading import some

_FACTORS: Final = {
    "loha": ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
    "lokr": ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"),
}
_PEFT_TEXT: Final = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
_KOHYA: Final = "lora_"
_DOWN: Final = ".lora_down.weight"


def load_lycoris(parts: Mapping[str, nn.Module], file: LoraFile, adapter: str) -> None:
    """Puts the file into the networks. Raises LoraError for keys of another kind beside these."""
    other = [key for key in file.tensors if key.rpartition(".")[2] not in _FACTORS[file.kind]]
    if other:
        raise LoraError(f"{file.path}: beside {file.kind} factors: {some(other)}; allowed: none")
    stems = list(dict.fromkeys(key.rpartition(".")[0] for key in file.tensors))
    bare = [f"{name}.alpha" for name in file.alphas if name not in stems]
    if bare:
        raise LoraError(
            f"{file.path}: {some(bare)} without factors; allowed: an alpha beside its factors"
        )
    places = _places(stems, parts)
    unknown = [stem for stem in stems if stem not in places]
    if unknown:
        raise LoraError(f"{file.path}: no such module: {some(unknown)}")
    for part, network in parts.items():
        modules = {places[stem][1]: stem for stem in stems if places[stem][0] == part}
        if not modules:
            continue
        state = {
            f"{module}.{key.rpartition('.')[2]}": value
            for module, stem in modules.items()
            for key, value in file.tensors.items()
            if key.rpartition(".")[0] == stem
        }
        alphas = {module: file.alphas.get(stem) for module, stem in modules.items()}
        config = _loha(state, alphas) if file.kind == "loha" else _lokr(state, alphas)
        inject_adapter_in_model(config, network, adapter_name=adapter)
        set_peft_model_state_dict(network, state, adapter)


def _loha(state: Mapping[str, Tensor], alphas: Mapping[str, float | None]) -> PeftConfig:
    # With a factor for the kernel the others are (r, side), else (side, r) and (r, side).
    ranks = {module: state[f"{module}.hada_w1_b"].shape[0] for module in alphas}
    return LoHaConfig(
        **_patterns(ranks, {m: float(ranks[m]) if a is None else a for m, a in alphas.items()}),
        target_modules=list(alphas),
        use_effective_conv2d=any(key.endswith("hada_t1") for key in state),
    )


def _lokr(state: Mapping[str, Tensor], alphas: Mapping[str, float | None]) -> PeftConfig:
    config: PeftConfig = _create_lokr_config(dict(state), None)
    ranks = {module: config.rank_pattern.get(module, config.r) for module in alphas}
    scaled = {}
    for module, alpha in alphas.items():
        # Where both factors are whole, LyCORIS takes no alpha.
        whole = f"{module}.lokr_w1" in state and f"{module}.lokr_w2" in state
        scaled[module] = float(ranks[module]) if whole or alpha is None else alpha
    for field, value in _patterns(ranks, scaled).items():
        setattr(config, field, value)
    return config


def _patterns(ranks: Mapping[str, int], alphas: Mapping[str, float]) -> dict[str, Any]:
    """The usual rank and alpha, and those of the modules that differ."""
    rank = Counter(ranks.values()).most_common()[0][0]
    alpha = Counter(alphas.values()).most_common()[0][0]
    return {
        "r": rank,
        "alpha": alpha,
        "rank_pattern": {module: one for module, one in ranks.items() if one != rank},
        "alpha_pattern": {module: one for module, one in alphas.items() if one != alpha},
    }


def _places(stems: Sequence[str], parts: Mapping[str, nn.Module]) -> dict[str, tuple[str, str]]:
    """Name in the file -> part and module of the checkpoint; unknown ones are left out."""
    named = {part: {name for name, _ in network.named_modules()} for part, network in parts.items()}
    places = {}
    for stem, spelled in _by_diffusers(stems, parts).items():
        part, _, module = spelled.partition(".")
        for name in (module, module.removeprefix("text_model.")):
            if name in named.get(part, ()):
                places[stem] = (part, name)
    return places


def _by_diffusers(stems: Sequence[str], parts: Mapping[str, nn.Module]) -> dict[str, str]:
    """diffusers' name for each, found by having it translate a LoRA of the same modules."""
    kohya = [stem for stem in stems if stem.startswith(_KOHYA)]
    found = {stem: stem for stem in stems if stem not in kohya}
    number = {stem: torch.tensor([index]) for index, stem in enumerate(kohya)}
    keys = {f"{stem}{_DOWN}": value for stem, value in number.items()}
    keys |= {f"{stem}.lora_up.weight": torch.tensor([-1]) for stem in kohya}
    if not kohya:
        return found
    # The translation is the same for SD; only SDXL's class has it for both text encoders.
    translated, _ = StableDiffusionXLPipeline.lora_state_dict(
        keys, unet_config=getattr(parts.get("unet"), "config", None)
    )
    for key, value in convert_unet_state_dict_to_peft(translated).items():
        if value.item() >= 0:
            module = key.partition(".lora")[0]
            head, _, last = module.rpartition(".")
            if ".self_attn." in module:
                module = f"{head}.{_PEFT_TEXT.get(last, last)}"
            found[kohya[int(value.item())]] = module
    return found
