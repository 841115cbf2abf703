"""Command-line options of `lafi export`, as types for typer."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

Checkpoint = Annotated[
    Path | None,
    typer.Argument(
        help="A diffusers pipeline folder, or one .safetensors or .ckpt file of SD1.5, SD2.1 or "
        "SDXL; none where each part has its own file.",
        show_default=False,
    ),
]
PartFile = Annotated[
    Path | None,
    typer.Option(
        help="A file of this part, in place of the checkpoint's; of a folder's denoiser or text "
        "encoder a .gguf file."
    ),
]
GgufFile = Annotated[
    Path | None,
    typer.Option(help="A .gguf file of this part, in place of the folder's."),
]
ConfigFolder = Annotated[
    Path | None,
    typer.Option(help="A diffusers folder with the configs of a file, if not as published."),
]
TokenizerFolder = Annotated[
    Path | None,
    typer.Option(help="A folder with the tokenizer of a file.", show_default="CLIP's, shipped"),
]
Prediction = Annotated[
    str | None,
    typer.Option(help="What a denoiser predicts whose file does not say: epsilon or v_prediction."),
]
Variants = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=FILE[:STRENGTH][,...]",
        help="A variant of the model: LoRA files, merged with a strength (1 if left out), and "
        "textual inversions (FILE:WORD where the file does not name its word); may be given "
        "again.",
    ),
]
VariantTriggers = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=TEXT",
        help="Text in front of every prompt that the variant draws, with a comma; may be given "
        "again.",
    ),
]
ModelsBeside = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=CHECKPOINT",
        help="Another model in the same repository, of any family: a storyboard, or one of its "
        "stages, chooses it by `variant: NAME`; may be given again.",
    ),
]
ChosenRuntime = Annotated[
    Literal["openvino", "onnxruntime"] | None,
    typer.Option(
        help="What runs the engines on the CPU.", show_default="openvino, for FLUX onnxruntime"
    ),
]
TextPrecision = Annotated[
    Literal["f32", "int8"],
    typer.Option(
        help="int8 stores the text encoders' large matrices in 8 bits, a quarter of the size; the "
        "parity report states the error. Not with --variant."
    ),
]
GraphChanges = Annotated[
    str,
    typer.Option(
        "--graph-changes",
        help="What OpenVINO is given otherwise than the denoiser's file has it: measured (what is "
        "faster here), none, or of channel_convolutions, split_gates, whole_vectors, with commas.",
    ),
]
ServedDenoiser = Annotated[
    bool, typer.Option("--denoiser", help="Also serve the denoiser, for standard tools.")
]
Controls = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=FOLDER",
        help="A control network (ControlNet) or adapter (T2I-Adapter) for this model: a diffusers "
        "folder, or one .safetensors file; panels name it in `control`; may be given again.",
    ),
]
Precision = Annotated[
    Literal["f32", "bf16"],
    typer.Option(help="f32 repeats torch's pixels; bf16 is faster where the CPU has it."),
]
PictureAdapter = Annotated[
    Path | None,
    typer.Option(
        "--picture-prompts",
        metavar="FILE",
        help="An IP-Adapter for this model (.safetensors or .bin): panels may have pictures beside "
        "words, in `picture_prompts`. With --image-encoder.",
    ),
]
ImageEncoder = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="The folder of the image encoder that the IP-Adapter was trained with (CLIP).",
    ),
]
Recogniser = Annotated[
    Path | None,
    typer.Option(
        help="A folder with student.onnx and recogniser.json: panels get scores, characters "
        "can be enrolled.",
        show_default="recogniser beside the checkpoint, if there",
    ),
]


class Capability(StrEnum):
    """Kinds of GPU, those of `lafi.model.engine_metadata.RTX_CAPABILITIES`."""

    SM75 = "SM75"
    SM80 = "SM80"
    SM86 = "SM86"
    SM89 = "SM89"
    SM120 = "SM120"
    SM121 = "SM121"


ExportTarget = Annotated[
    Literal["cpu", "tensorrt", "tensorrt-rtx"],
    typer.Option(
        help="tensorrt builds engines for this machine's NVIDIA GPU, tensorrt-rtx for GPUs "
        "elsewhere."
    ),
]
Capabilities = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SM[,SM...]",
        help="With tensorrt-rtx: kinds of GPU that the engines are for, of SM75, SM80, SM86, SM89, "
        "SM120 and SM121; may be given again.",
        show_default="SM86 (RTX 30, A10), SM89 (RTX 40, L40S), SM120 (RTX 50)",
    ),
]
DEFAULT_CAPABILITIES = (Capability.SM86, Capability.SM89, Capability.SM120)


def chosen_capabilities(given: Sequence[str] | None) -> tuple[str, ...]:
    """Names of what `Capabilities` was given, each once, in their order; the default without any.

    Raises typer.BadParameter for one that TensorRT-RTX does not build for.
    """
    names = [name for one in given or DEFAULT_CAPABILITIES for name in one.split(",")]
    for name in names:
        if name not in set(Capability):
            allowed = ", ".join(Capability)
            raise typer.BadParameter(f"--capability: got {name!r}, allowed {allowed}")
    return tuple(dict.fromkeys(map(str, names)))


Sides = Annotated[
    tuple[int, int, int],
    typer.Option(help="With tensorrt: smallest, usual and largest side, pixels.", min=1),
]

Rows = Annotated[
    int,
    typer.Option(
        help="With tensorrt: rows of one denoiser call at most; fewer take less memory.",
        min=6,
        max=20,
    ),
]

_EVERYWHERE = frozenset({"checkpoint", "source", "out", "target", "recogniser"})
_PLANS = _EVERYWHERE | {"sides", "rows"}
_ALLOWED: Mapping[str, frozenset[str]] = {
    "tensorrt": _PLANS,
    "tensorrt-rtx": _PLANS | {"capability"},
}
"""Parameters that a target heeds; the CPU heeds all that no other target has for itself."""


def check_allowed(context: typer.Context, target: str) -> None:
    """Raises typer.BadParameter for an option that was given and that this target does not heed."""
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE" or name in _EVERYWHERE:
            continue
        heeding = [t for t, names in _ALLOWED.items() if name in names] or ["cpu"]
        if target not in heeding:
            raise typer.BadParameter(
                f"{parameter.opts[0]}: allowed with --target {' or '.join(heeding)}, not {target}"
            )
