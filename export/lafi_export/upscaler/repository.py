"""Puts networks into a model repository, and those that come with a model as well.

REPO/artifacts/upscaler/x4/   network.onnx, network.json, parity.json, parity.md, LICENSE
REPO/models/upscaler/         what Triton Server loads; it serves all networks
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lafi.model.artifacts import ARTIFACTS, MODELS, check_file, file_sha256
from lafi.model.info import MODEL_INFO_FILE, check_format, load_model_info
from lafi.model.upscaler_files import (
    INFO,
    NETWORK,
    UPSCALER,
    UpscalerNetwork,
    network_folder,
    read_upscaler_info,
)
from lafi.wire.model_spec import InstanceKind, upscaler_spec
from lafi_export.ending import put_in_place
from lafi_export.parity_report import PARITY_FILE, ParityReport
from lafi_export.recogniser_files import write_adapter
from lafi_export.upscaler.onnx_file import write_network
from lafi_export.upscaler.parity import compare_network
from lafi_export.upscaler.source import read_source

Tell = Callable[[str], None]


class UpscalerExportError(ValueError):
    """The folder is no repository that `lafi export` wrote."""


def export_upscaler(
    source: str,
    repository: Path,
    *,
    threads: int = 0,
    tell: Tell = lambda step: None,
) -> UpscalerNetwork:
    """Put the network of `source` into a repository, in the place of an earlier one of its factor.

    source: as `lafi_export.upscaler.source.read_source` takes it. repository: one that
    `lafi export` wrote. threads: for the comparison, 0 for all cores. tell: called
    with a line before each step. Until `serve_upscaler` the repository serves what it served.
    Raises UpscalerExportError, ModelInfoError, SourceError, and ParityError if a tolerance is
    exceeded. After an error the repository is as it was.
    """
    artifacts = Path(repository) / ARTIFACTS
    if not (artifacts / MODEL_INFO_FILE).is_file():
        raise UpscalerExportError(
            f"--out: got {repository}, allowed a repository: lafi export CHECKPOINT --out REPO"
        )
    check_format(artifacts)
    tell(f"reading {source}")
    found = read_source(source)
    with tempfile.TemporaryDirectory(prefix=".upscaler.", dir=artifacts) as work:
        folder = Path(work) / "new"
        folder.mkdir()
        tell(f"exporting {found.name}")
        write_network(found.network, folder / NETWORK)
        facts = UpscalerNetwork(
            name=found.name,
            factor=found.network.factor,
            reach=found.network.reach,
            sha256=file_sha256(folder / NETWORK),
            weights_sha256=found.sha256,
        )
        write_facts(folder, facts)
        tell("comparing with torch")
        report = compare_network(found.network, folder / NETWORK, facts, threads)
        report.check()
        report.save(folder)
        _replace(network_folder(artifacts / UPSCALER, facts.factor), folder, Path(work) / "old")
    return facts


def parity_of(repository: Path, factor: int) -> ParityReport:
    """The report of the network of that factor in a repository."""
    folder = network_folder(Path(repository) / ARTIFACTS / UPSCALER, factor)
    return ParityReport.model_validate_json((folder / PARITY_FILE).read_bytes())


def write_facts(folder: Path, facts: UpscalerNetwork) -> None:
    """`network.json` of a network's folder."""
    (folder / INFO).write_text(facts.model_dump_json(indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class ChosenNetwork:
    """A network that an export takes along, from another folder."""

    folder: Path
    facts: UpscalerNetwork

    def __str__(self) -> str:
        why = ", as in the earlier export" if self.facts.added else ""
        return f"upscaler: {self.facts.name}, {self.facts.factor} times{why}"


def choose_upscalers(checkpoint: Path, before: Path) -> tuple[ChosenNetwork, ...]:
    """The networks that an export of `checkpoint` has, one for each factor.

    Those in the folder `upscaler` beside the checkpoint, and those that `lafi export-upscaler` put
    into the earlier export `before`, which count more where both have one of the same factor.
    Raises ArtifactsError for a damaged or changed file.
    """
    beside = Path(checkpoint).absolute().parent / UPSCALER
    chosen: dict[int, ChosenNetwork] = {}
    for place, facts in _networks(beside):
        chosen[facts.factor] = ChosenNetwork(place, facts.model_copy(update={"added": False}))
    for place, facts in _networks(Path(before) / ARTIFACTS / UPSCALER):
        if facts.added:
            chosen[facts.factor] = ChosenNetwork(place, facts)
    return tuple(network for _, network in sorted(chosen.items()))


def add_upscalers(chosen: Sequence[ChosenNetwork], artifacts: Path) -> None:
    """Copy networks into an exported folder, without plans: those are built for one machine."""
    for network in chosen:
        target = network_folder(Path(artifacts) / UPSCALER, network.facts.factor)
        shutil.copytree(network.folder, target, ignore=shutil.ignore_patterns("*.plan*"))
        write_facts(target, network.facts)


def _networks(upscaler: Path) -> Iterator[tuple[Path, UpscalerNetwork]]:
    """The folder and the facts of each, its file checked."""
    info = read_upscaler_info(upscaler)
    for facts in info.networks if info is not None else ():
        folder = network_folder(upscaler, facts.factor)
        check_file(folder / NETWORK, facts.sha256)
        yield folder, facts


def write_upscaler_model(
    models: Path, artifacts: Path, runtime: str, kind: InstanceKind = "KIND_CPU"
) -> None:
    """The config and the adapter of `upscaler`, if the exported folder has networks.

    models: the folder of all served models; an earlier `upscaler` in it is replaced.
    """
    if read_upscaler_info(Path(artifacts) / UPSCALER) is None:
        return
    spec = upscaler_spec()
    shutil.rmtree(models / spec.name, ignore_errors=True)
    parameters = {"artifacts": f"../{ARTIFACTS}", "runtime": runtime}
    write_adapter(models / spec.name, spec, parameters, kind=kind)


def serve_upscaler(repository: Path) -> None:
    """Have a repository serve its networks on the CPU, on the runtime that it was exported for."""
    artifacts = Path(repository) / ARTIFACTS
    runtime = load_model_info(artifacts).engine
    write_upscaler_model(Path(repository) / MODELS, artifacts, runtime)


def _replace(target: Path, new: Path, old: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    put_in_place(new, target, old)
