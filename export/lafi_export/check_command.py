"""`lafi check`: says what files are, whether they fit a repository, and what would be refused.

Reads headers and small files, exports and draws nothing.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text
from transformers import CLIPTokenizer

from lafi.board import image_file
from lafi.board.error import StoryboardError
from lafi.board.image_file import ImageFileError
from lafi.board.reference_image import CheckedFile
from lafi.board.storyboard import load_storyboard
from lafi.drawing.crossing import crossing_problems
from lafi.model.artifacts import ARTIFACTS, CONFIGS, tokenizer_folders
from lafi.model.check import check_against
from lafi.model.checkpoint import CheckpointError, check_checkpoint
from lafi.model.info import ModelInfoError, check_format, load_model_info, load_variant_infos
from lafi.model.tensor_file import TensorFileError
from lafi_export.bare_pipeline import bare_pipeline
from lafi_export.gguf_parts import is_gguf
from lafi_export.learnt_words import (
    LearntWord,
    TextualInversionError,
    are_learnt_words,
    check_takes_words,
    load_words,
    read_word,
)
from lafi_export.lora_adapters import load_loras
from lafi_export.lora_file import LoraError, is_lora_key, read_lora
from lafi_export.sentencepiece_tokenizers import with_whole_tokenizers
from lafi_export.tensor_file_kind import (
    gguf_line,
    model_lines,
    named_tensors,
    other_change,
    unknown,
)

_STORYBOARDS: Final = (".yaml", ".yml", ".json")
_TENSORS: Final = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin")
_STAND_IN: Final = "word"
"""For a file that does not name its word."""
_ERRORS: Final = (
    CheckpointError,
    ImageFileError,
    LoraError,
    ModelInfoError,
    StoryboardError,
    TensorFileError,
    TextualInversionError,
)


def check_command(
    files: list[Path], repository: Path | None = None, console: Console | None = None
) -> int:
    """Prints a line for each file, and a line for what would be refused. Returns 0, or 1 then.

    No file is read for a repository of another format number.
    """
    console = console or Console(highlight=False)
    code = 0
    if repository is not None:
        try:
            check_format(repository / ARTIFACTS)
        except ModelInfoError as error:
            console.print(Text(f"{repository}: refused: {error}", style="red"), soft_wrap=True)
            return 1
    for file in files:
        try:
            for line in _said(file, repository):
                console.print(Text(f"{file}: {line}"), soft_wrap=True)
        except _ERRORS as error:
            code = 1
            text = str(error).removeprefix(f"{file}: ")
            console.print(Text(f"{file}: refused: {text}", style="red"), soft_wrap=True)
    return code


def _said(file: Path, repository: Path | None) -> Iterator[str]:
    suffix = file.suffix.lower()
    if file.is_dir():
        yield from _folder(file)
        yield from _no_fit(repository)
    elif not file.exists():
        raise TensorFileError(f"{file}: no such file or folder")
    elif suffix in _STORYBOARDS:
        yield from _storyboard(file, repository)
    elif is_gguf(file):
        yield gguf_line(file)
        yield from _no_fit(repository)
    elif suffix in _TENSORS:
        yield from _tensors(file, repository)
    else:
        data = file.read_bytes()
        header = image_file.read_header(data)
        CheckedFile.of(data).image()
        yield f"a picture, {header.format}, {header.width} x {header.height} pixels"


def _folder(folder: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as work:
        family, parts = check_checkpoint(with_whole_tokenizers(folder, Path(work)))
    name = parts["index"].get("_class_name")
    lacking = family.text.describe(parts).get("absent_parts", ())
    without = f", without {' and '.join(lacking)}" if lacking else ""
    yield f"a checkpoint, {name} of the family {family.name}{without}"


def _storyboard(file: Path, repository: Path | None) -> Iterator[str]:
    board = load_storyboard(file)
    yield f"a storyboard of {len(board.panels)} panels"
    if repository is None:
        return
    artifacts = repository / ARTIFACTS
    models = {"": load_model_info(artifacts)}
    models |= {info.variant: info for info in load_variant_infos(artifacts)}
    samplings = [board.sampling, *map(board.effective_sampling, board.panels)]
    stages = (stage for sampling in samplings for stage in sampling.stages)
    named = [board.variant, *(stage.variant for stage in stages if stage.variant is not None)]
    for name in dict.fromkeys(named):
        if name not in models:
            known = ", ".join(sorted(filter(None, models))) or "none"
            raise StoryboardError([f"variant: got {name!r}, allowed {known}"])
        check_against(board, models[name])
    crossing = [
        line
        for index, panel in enumerate(board.panels)
        for line in crossing_problems(index, panel, board, models)
    ]
    if crossing:
        raise StoryboardError(crossing)
    yield f"fits {repository}"


def _tensors(file: Path, repository: Path | None) -> Iterator[str]:
    tensors, notes = named_tensors(file)
    if any(is_lora_key(key) for key in tensors):
        lora = read_lora(file)
        other = other_change(tensors)
        if other is not None and not [*lora.downs()] and lora.kind == "lora":
            raise LoraError(f"{file}: got {other}; allowed LoRA, DoRA, LoHa and LoKr")
        ranks = sorted({value.shape[0] for value in lora.downs()})
        yield f"a {_KINDS[lora.kind]}" + (f" of rank {', '.join(map(str, ranks))}" if ranks else "")
        yield from _fits(repository, lambda _, pipeline: load_loras(pipeline, [(file, 1.0)]))
    elif _may_be_word(tensors):
        nameless = _nameless(file)
        word = read_word(file, _STAND_IN if nameless else "")
        count = len(next(iter(word.vectors.values())))
        yield f"a learnt word{'' if nameless else f' {word.word}'} of {count} embeddings"
        yield from _fits(repository, lambda artifacts, pipeline: _fit(word, artifacts, pipeline))
    else:
        try:
            yield from model_lines(file, tensors, notes)
        except CheckpointError as error:
            if "in original names" in str(error):
                raise TensorFileError(unknown(tensors)) from error
            raise
        yield from _no_fit(repository)


def _may_be_word(names: Mapping[str, object]) -> bool:
    """One tensor that is named like no module's, or a learnt word's own names."""
    if any(name.startswith("string_to_param") for name in names):
        return True
    module = any(name.endswith((".weight", ".bias")) for name in names)
    return are_learnt_words(list(names)) and not module


def _no_fit(repository: Path | None) -> Iterator[str]:
    """Of what a repository is made of; whether its numbers fit is seen by an export alone."""
    if repository is not None:
        yield f"goes into no exported repository: `lafi export` makes one of it, not {repository}"


_KINDS: Final = {"lora": "LoRA", "loha": "LoHa", "lokr": "LoKr"}


def _nameless(file: Path) -> bool:
    try:
        read_word(file)
    except TextualInversionError as error:
        return "word: got ''" in str(error)
    return False


def _fits(repository: Path | None, load: Callable[[Path, Any], object]) -> Iterator[str]:
    """Loads the file into the repository's networks, without their weights."""
    if repository is None:
        return
    artifacts = repository / ARTIFACTS
    load(artifacts, bare_pipeline(artifacts / CONFIGS))
    yield f"fits {repository}"


def _fit(word: LearntWord, artifacts: Path, pipeline: Any) -> None:
    check_takes_words(pipeline, word.path)
    info = load_model_info(artifacts)
    encoders = {}
    for folder in tokenizer_folders(artifacts, info):
        encoders[folder.name.replace("tokenizer", "text_encoder")] = folder.name
        setattr(pipeline, folder.name, CLIPTokenizer.from_pretrained(folder))
    load_words(pipeline, [word], encoders, info.text_length)
