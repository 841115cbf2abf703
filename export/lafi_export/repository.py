"""Turns a diffusers folder into a folder for `lafi serve`.

    OUT/models/<model>/config.pbtxt and 1/model.py    what Triton Server loads
    OUT/artifacts/lafi.json, *.onnx, tokenizer/, scheduler/, parity.json, parity.md
    OUT/artifacts/weights/<part>.safetensors          float32, used by the ONNX files
    OUT/artifacts/recogniser/                         student.onnx, recogniser.json and its
                                                      text tower, if one is given
    OUT/artifacts/control/<name>/                     a control network or adapter, its weights
                                                      and parity
    OUT/artifacts/picture_prompts/                    an adapter's image encoder, likewise
    OUT/artifacts/upscaler/x4/                        a network that enlarges panels, if one is
                                                      beside the checkpoint or was there before
    OUT/state/                                        enrolments; created by the first one
    OUT/artifacts/variants/<name>/                    the same for a variant, without shared files

The folder appears whole or not at all.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, cast

from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.onnx.graph import Precision, RuntimeName
from lafi.engine.onnx.runtime_choice import runtimes_of
from lafi.engine.torch.control_fit import with_torch_controls
from lafi.engine.torch.picture_prompts import with_torch_pictures
from lafi.model.artifacts import ARTIFACTS, DENOISER, MODELS, file_folder
from lafi.model.checkpoint import read_model_info
from lafi.model.classifier_files import checked_classifier
from lafi.model.families.registry import text_stack_of
from lafi.model.graph_changes import GraphChange
from lafi.model.info import MODEL_INFO_FILE, VARIANTS, ModelInfo, TextPrecision
from lafi.model.picture_prompt_info import AdapterFiles
from lafi.ports.engines import Engines
from lafi.ports.picture_encoder import PictureEncoder
from lafi.wire.model_spec import (
    ModelSpec,
    identity_specs,
    served_models,
    text_encoder_spec,
    vae_decoder_spec,
    vae_encoder_spec,
)
from lafi_export.artifacts import ExportedModel, export_model, export_variant
from lafi_export.beside import ChooseGraph, export_beside, read_beside, with_runtime
from lafi_export.checkpoint_variant import Variant, plan_variant
from lafi_export.control.repository import TorchControl, compare_controls, write_controls
from lafi_export.decoder_choice import with_decoder_precision
from lafi_export.ending import put_in_place, uninterrupted
from lafi_export.graph_choice import choose_graph
from lafi_export.parity import Expected, compare_engines, compare_pictures
from lafi_export.parity_cases import SIZES, Sizes
from lafi_export.parity_report import (
    TOLERANCES,
    EngineParity,
    ParityError,
    ParityReport,
    PixelParity,
)
from lafi_export.picture_prompts.repository import compare_picture_encoder, write_picture_encoder
from lafi_export.recogniser_files import (
    add_recogniser,
    check_recogniser,
    find_recogniser,
    keep_state,
    write_adapter,
    write_identity_models,
)
from lafi_export.safety_classifier import keep_classifier, write_safety_model
from lafi_export.upscaler.repository import (
    ChosenNetwork,
    add_upscalers,
    choose_upscalers,
    write_upscaler_model,
)

LARGE: Final = 2**30
"""Bytes of a denoiser's float32 weights; larger ones get fewer comparisons."""
LARGE_SIZES: Final[Sizes] = ((2, 2, 2),)

EngineLoader = Callable[[Path, RuntimeName, Precision, int], Engines]
"""(artifacts, runtime, precision, threads) -> engines, as `load_onnx_engines`."""


class ExportError(ValueError):
    """The output folder cannot be written."""


def export_checkpoint(
    checkpoint: Path,
    out: Path,
    *,
    runtime: RuntimeName | None = None,
    precision: Precision = "f32",
    text_precision: TextPrecision = "f32",
    graph_changes: Sequence[GraphChange] | None = None,
    denoiser: bool = False,
    variants: Sequence[Variant] = (),
    beside: Mapping[str, Path] | None = None,
    controls: Mapping[str, Path] | None = None,
    picture_prompts: AdapterFiles | None = None,
    recogniser: Path | None = None,
    threads: int = 0,
    load_engines: EngineLoader = load_onnx_engines,
    finish: Callable[[Path], None] = lambda folder: None,
    tell: Callable[[str], None] = lambda step: None,
) -> ParityReport:
    """Write a model repository; returns the comparison of its engines with torch.

    checkpoint: a diffusers folder, weights in any precision; the export is fp32. out: a new folder,
    an empty one, or an earlier export, which is replaced, its enrolments and enlarging networks
    kept. runtime, precision: what the served models run with; no runtime: the family's usual one.
    text_precision: int8 stores the text encoders' large matrices, not with variants. graph_changes:
    as `choose_graph` takes them. denoiser: serve it as a model too. variants: merged and exported
    beside the model; beside: checkpoints of any family by name; controls: folders of control
    networks and adapters by name, not with `denoiser`; picture_prompts: an IP-Adapter and its image
    encoder; each with its own parity report. recogniser: a folder; None: the one beside the
    checkpoint, if there. threads: for comparing. finish: called with the complete folder.
    Raises, before anything is exported, CheckpointError for a folder without a needed part, and for
    networks that do not fit; ExportError for an `out` that holds something else, ArtifactsError for
    a precision that this machine lacks or a damaged `out`, LoraError and TextualInversionError;
    ParityError where a tolerance is exceeded. After an error, also of `finish`, `out` is unchanged.
    """
    _check_options(out, text_precision, variants, denoiser, controls or {}, picture_prompts)
    choose = partial(choose_graph, graph_changes, threads)
    compare = partial(_compare, threads=threads, load_engines=load_engines, choose=choose)
    others = read_beside(beside or {}, runtime, precision, text_precision, choose)
    info, runtime = with_runtime(read_model_info(checkpoint, precision=precision), runtime, choose)
    info = _with_inputs(info, checkpoint, text_precision, controls or {}, picture_prompts)
    recogniser = _planned(checkpoint, variants, recogniser)
    upscalers = choose_upscalers(checkpoint, out)
    with _replaced(out) as folder:
        (artifacts := folder / ARTIFACTS).mkdir()
        info, networks = write_controls(controls or {}, artifacts, info, tell)
        info, encoder = write_picture_encoder(picture_prompts, checkpoint, artifacts, info, tell)
        exported = export_model(checkpoint, artifacts, info, tell, picture_prompts)
        tell("comparing with torch")
        model, reference = with_decoder_precision(*exported, threads)
        report = compare(reference, artifacts, model.info)
        _compare_beside((networks, encoder), artifacts, model.info, (runtime, precision), threads)
        along = partial(export_beside, compare=compare, tell=tell, threads=threads)
        infos = [_with_variant(checkpoint, model, each, compare, tell) for each in variants]
        infos += [along(path, artifacts, each) for path, each in others]
        company = _with_company(recogniser, upscalers, out, artifacts, model.info, tell)
        _write_models(folder, company, infos, denoiser, tell)
        finish(folder)
        keep_state(out, folder)
    return report


def _with_inputs(
    info: ModelInfo,
    checkpoint: Path,
    text_precision: TextPrecision,
    controls: Mapping[str, Path],
    picture_prompts: AdapterFiles | None,
) -> ModelInfo:
    """The facts with what gives the denoiser further inputs, and how text is stored.

    Raises CheckpointError.
    """
    info = info.model_copy(update={"text_precision": text_precision})
    info = with_torch_controls(info, checkpoint, controls)
    return with_torch_pictures(info, checkpoint, picture_prompts)


def _with_variant(
    checkpoint: Path,
    model: ExportedModel,
    variant: Variant,
    compare: Callable[[Engines, Path, ModelInfo], ParityReport],
    tell: Callable[[str], None],
) -> ModelInfo:
    """Exports a variant of a model and compares it; its facts."""
    # Planned again, so that memory holds the factors of one variant at a time.
    plan = plan_variant(checkpoint, variant)
    made, reference = export_variant(checkpoint, model, variant.name, plan, tell)
    tell(f"{variant.name}: comparing with torch")
    compare(reference, made.artifacts, made.info)
    return made.info


def _check_options(
    out: Path,
    text_precision: TextPrecision,
    variants: Sequence[Variant],
    denoiser: bool,
    controls: Mapping[str, Path],
    picture_prompts: AdapterFiles | None,
) -> None:
    """Raises ExportError for options that do not go together, and what `_check_out` raises."""
    _check_out(out)
    beside = [f"control networks ({', '.join(controls)})"] if controls else []
    beside += ["picture prompts"] if picture_prompts else []
    if text_precision != "f32" and variants:
        raise ExportError(
            f"text_precision: got {text_precision!r} with variants, allowed f32: a variant's text "
            "encoder may be another"
        )
    if denoiser and beside:
        raise ExportError(
            f"--denoiser: got it with {' and '.join(beside)}, allowed without: "
            "the served denoiser takes every input in every call"
        )


def _with_company(
    recogniser: Path | None,
    upscalers: Sequence[ChosenNetwork],
    before: Path,
    artifacts: Path,
    info: ModelInfo,
    tell: Callable[[str], None],
) -> ModelInfo:
    """Copies the networks that come along with a model; its facts with the recogniser's.

    before: the earlier export.
    """
    if recogniser is not None:
        tell("adding the recogniser")
        info = add_recogniser(recogniser, artifacts, info)
    for network in upscalers:
        tell(str(network))
    add_upscalers(upscalers, artifacts)
    keep_classifier(before / ARTIFACTS, artifacts)
    return info


def _planned(checkpoint: Path, variants: Sequence[Variant], given: Path | None) -> Path | None:
    """Checks what is exported along; the recogniser's folder, None for none."""
    for variant in variants:
        plan_variant(checkpoint, variant)
    found = find_recogniser(checkpoint, given)
    if found is not None:
        check_recogniser(found)
    return found


def _compare(
    reference: Engines,
    artifacts: Path,
    info: ModelInfo,
    threads: int,
    load_engines: EngineLoader,
    choose: ChooseGraph,
) -> ParityReport:
    """Every runtime of the family in f32, since any may serve the files, and the chosen precision.

    For a large model, only the chosen runtime on one size, without bank and pictures: comparing
    everything would take longer than the export and hold the weights once more for each graph.
    Saves the report beside the engines. Raises ParityError if an engine is wrong.
    """
    chosen = cast(tuple[RuntimeName, Precision], (info.engine, info.precision))
    kinds, sizes = _compared(artifacts, info, chosen)
    large = sizes == LARGE_SIZES
    expected = Expected(reference, min(text_stack_of(info).vocabularies(artifacts, info)), sizes)
    engines: list[EngineParity] = []
    pictures: list[PixelParity] = []
    for kind in kinds:
        candidate = load_engines(artifacts, *kind, threads)
        engines += compare_engines(expected, candidate, precision=kind[1], bank=not large)
        if kind == chosen and not large:
            # Text in 8 bits is judged by itself; all else must give torch's pixels.
            same_text = replace(candidate, text_encoder=reference.text_encoder)
            rounded = info.text_precision != "f32"
            pictures += compare_pictures(
                expected, same_text if rounded else candidate, precision=kind[1]
            )
            if rounded:
                pictures += compare_pictures(expected, candidate, precision=info.text_precision)
    report = ParityReport(
        model=f"{info.name}, variant {info.variant}" if info.variant else info.name,
        absent_parts=info.absent_parts,
        weights_sha256=info.weights_sha256,
        graph_changes=info.graph_changes,
        graph_ratios={**choose(*chosen).ratios},
        engines=tuple(engines),
        pictures=tuple(pictures),
        tolerances={
            precision: TOLERANCES[precision]
            for precision in (*(precision for _, precision in kinds), info.text_precision)
        },
    )
    try:
        report.check()
    except ParityError as error:
        raise ParityError(f"{info.variant}: {error}" if info.variant else str(error)) from error
    report.save(artifacts)
    return report


def _compare_beside(
    references: tuple[Mapping[str, TorchControl], PictureEncoder | None],
    artifacts: Path,
    info: ModelInfo,
    chosen: tuple[RuntimeName, Precision],
    threads: int,
) -> None:
    """Control networks and the image encoder, each with a report. Raises ParityError."""
    networks, encoder = references
    kinds, sizes = _compared(artifacts, info, chosen)
    compare_controls(networks, artifacts, info, kinds, sizes, threads)
    runtimes = [name for name, _ in kinds]
    compare_picture_encoder(encoder, artifacts, info, runtimes, threads)


def _compared(
    artifacts: Path, info: ModelInfo, chosen: tuple[RuntimeName, Precision]
) -> tuple[list[tuple[RuntimeName, Precision]], Sizes]:
    """Which runtimes and precisions are compared, and on which sizes: few of a large model."""
    if _denoiser_bytes(artifacts, info) > LARGE:
        return [chosen], LARGE_SIZES
    kinds: list[tuple[RuntimeName, Precision]] = [(runtime, "f32") for runtime in runtimes_of(info)]
    return kinds if chosen in kinds else [*kinds, chosen], SIZES


def _denoiser_bytes(artifacts: Path, info: ModelInfo) -> int:
    files = info.onnx_weights.get(DENOISER, ())
    folder = file_folder(artifacts, info, DENOISER)
    return sum((folder / file).stat().st_size for file in files)


def _write_models(
    folder: Path,
    model: ModelInfo,
    variants: Sequence[ModelInfo],
    denoiser: bool,
    tell: Callable[[str], None],
) -> None:
    tell("writing the model repository")
    # The name of a served model that belongs to one variant ends with the variant's name.
    of_files = (text_encoder_spec, vae_encoder_spec, vae_decoder_spec)
    owners = {spec(info).name: info for spec in of_files for info in (*variants, model)}
    identity = identity_specs(model)
    for spec in served_models(model, variants, with_denoiser=denoiser):
        if spec not in identity:
            _write_model(folder / MODELS / spec.name, spec, owners.get(spec.name, model))
    write_identity_models(folder / MODELS, f"../{ARTIFACTS}", model)
    write_upscaler_model(folder / MODELS, folder / ARTIFACTS, model.engine)
    write_safety_model(folder / MODELS, folder / ARTIFACTS)


def _write_model(folder: Path, spec: ModelSpec, info: ModelInfo) -> None:
    """The config and adapter of one served model; variants use the adapter of the model itself."""
    own = f"/{VARIANTS}/{info.variant}" if info.variant else ""
    parameters = {
        "artifacts": f"../{ARTIFACTS}{own}",
        "runtime": info.engine,
        "precision": info.precision,
    }
    adapter = spec.name.removesuffix(f"_{info.variant}") if info.variant else spec.name
    write_adapter(folder, spec, parameters, adapter)


def _check_out(out: Path) -> None:
    """Raises ExportError for other folders, ArtifactsError for a damaged classifier to be kept."""
    checked_classifier(out / ARTIFACTS)
    if out.is_dir() and (not any(out.iterdir()) or (out / ARTIFACTS / MODEL_INFO_FILE).is_file()):
        return
    if out.exists() or out.is_symlink():
        raise ExportError(
            f"{out}: holds something that `lafi export` did not write; "
            "allowed: a new folder, an empty one, or an earlier export"
        )


@contextmanager
def _replaced(out: Path) -> Iterator[Path]:
    """A new folder beside `out`, which replaces it unless an error is raised."""
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    work: Path | None = None
    try:
        with uninterrupted():
            work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        (new := work / "new").mkdir()
        yield new
        put_in_place(new, out, work / "old")
    finally:
        with uninterrupted():
            if work is not None:
                shutil.rmtree(work)
