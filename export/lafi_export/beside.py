"""`--beside NAME=CHECKPOINT`: another model in the same repository, of any family.

It has a folder like a variant's and shares no file. Knows the option and facts of models.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, cast

from lafi.board.limits import NAME_PATTERN
from lafi.engine.onnx.graph import Precision, RuntimeName, check_runtime
from lafi.engine.onnx.runtime_choice import choose_runtime
from lafi.model.checkpoint import read_model_info
from lafi.model.info import ModelInfo, TextPrecision, variant_folder
from lafi.ports.engines import Engines
from lafi_export.artifacts import export_model
from lafi_export.decoder_choice import with_decoder_precision
from lafi_export.graph_choice import GraphChoice
from lafi_export.prepared_checkpoint import prepared
from lafi_export.single_file import SingleFile

OPTION: Final = "--beside"


class BesideOptionError(ValueError):
    """The option names no model; the text names option, value and what is allowed."""


def parse_beside(options: Sequence[str], taken: Collection[str] = ()) -> dict[str, Path]:
    """Name -> checkpoint, in order. taken: names of variants.

    Raises BesideOptionError, also for a name that is used twice.
    """
    found: dict[str, Path] = {}
    for option in options:
        name, equals, where = option.partition("=")
        if not equals or not where:
            raise _refused(option, "NAME=CHECKPOINT")
        if not re.fullmatch(NAME_PATTERN, name):
            allowed = "a lower-case name of up to 32 letters, digits and _, such as paint"
            raise _refused(option, allowed)
        if name in taken or name in found:
            raise _refused(name, "each name once, variants' included")
        found[name] = Path(where)
    return found


@contextmanager
def prepared_beside(checkpoints: Mapping[str, Path], beside: Path) -> Iterator[dict[str, Path]]:
    """The folders of checkpoints by name, as `prepared`. beside: a folder on the disk to write to.

    Raises CheckpointError and TensorFileError.
    """
    with ExitStack() as several:
        yield {
            name: several.enter_context(prepared(SingleFile(checkpoint), beside))
            for name, checkpoint in checkpoints.items()
        }


def _refused(got: str, allowed: str) -> BesideOptionError:
    return BesideOptionError(f"{OPTION}: got {got!r}, allowed {allowed}")


ChooseGraph = Callable[[RuntimeName, Precision], GraphChoice]
"""Which changes of a graph a runtime makes in a precision."""


def with_runtime(
    info: ModelInfo, asked: RuntimeName | None, choose: ChooseGraph
) -> tuple[ModelInfo, RuntimeName]:
    """The facts with the runtime that serves the model, and the changes that it makes.

    Raises ArtifactsError for a wrong one.
    """
    runtime, precision = choose_runtime(info, asked), cast(Precision, info.precision)
    check_runtime(runtime, precision)
    changes = choose(runtime, precision).changes
    return info.model_copy(update={"engine": runtime, "graph_changes": changes}), runtime


def read_beside(
    checkpoints: Mapping[str, Path],
    runtime: RuntimeName | None,
    precision: Precision,
    text_precision: TextPrecision,
    choose: ChooseGraph,
) -> list[tuple[Path, ModelInfo]]:
    """Each checkpoint and its facts, under its name, before anything is exported.

    runtime: None: the usual one of each model's family. Raises CheckpointError, ArtifactsError.
    """
    found = []
    for name, checkpoint in checkpoints.items():
        info, _ = with_runtime(read_model_info(checkpoint, precision=precision), runtime, choose)
        own = {"variant": name, "text_precision": text_precision}
        found.append((checkpoint, info.model_copy(update=own)))
    return found


def export_beside(
    checkpoint: Path,
    artifacts: Path,
    info: ModelInfo,
    compare: Callable[[Engines, Path, ModelInfo], object],
    tell: Callable[[str], None],
    threads: int,
) -> ModelInfo:
    """Exports a model beside another and compares it with torch; its facts.

    artifacts: of the other. info: as `read_beside` gives it. threads: for comparing.
    """
    folder = variant_folder(artifacts, info.variant)
    folder.mkdir(parents=True)
    exported = export_model(checkpoint, folder, info, lambda step: tell(f"{info.variant}: {step}"))
    tell(f"{info.variant}: comparing with torch")
    made, reference = with_decoder_precision(*exported, threads)
    compare(reference, folder, made.info)
    return made.info
