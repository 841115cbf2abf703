"""Laws of learnt words: drawn as the stock pipeline draws them, or refused by name."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from brought_slow import one_in
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from brought_files import Brought, variant_of
from brought_words import REFUSED, RIGHT, keyed, vectors
from drawn_twice import distance, drawn_by_stock, drawn_by_us, stock_pipeline
from lafi.model.text_stacks.clip_reader import ClipReader
from lafi_export.checkpoint_variant import Variant, plan_variant, write_variant
from lafi_export.learnt_words import TextualInversionError, read_word
from lafi_export.lora_file import LoraError
from lafi_export.variant_option import VariantOptionError

PIXELS = 2
TABLE = "text_model.embeddings.token_embedding.weight"


@pytest.fixture(scope="session")
def with_room(
    small_checkpoints: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Small checkpoints with a row for each token, and CLIP's published `eos_token_id`."""

    @cache
    def made(name: str) -> Path:
        folder = tmp_path_factory.mktemp("words") / name
        shutil.copytree(small_checkpoints(name), folder)
        for part in folder.glob("text_encoder*"):
            tokens = len(
                CLIPTokenizer.from_pretrained(
                    folder / part.name.replace("text_encoder", "tokenizer")
                )
            )
            (file,) = part.glob("*.safetensors")
            tensors = load_file(file)
            tensors[TABLE] = tensors[TABLE][:tokens].contiguous()
            save_file(tensors, file, metadata={"format": "pt"})
            config = json.loads((part / "config.json").read_text())
            config |= {"vocab_size": tokens, "eos_token_id": 2}
            (part / "config.json").write_text(json.dumps(config))
        return folder

    return made


def by_stock(folder: Path, variant: Variant) -> Any:
    """The stock pipeline with the file loaded; SDXL's as diffusers' guide says."""
    pipeline = stock_pipeline(folder)
    ((path, given),) = variant.words
    if hasattr(pipeline, "text_encoder_2"):
        tensors = load_file(path)
        for key, part in (("0", ""), ("1", "_2")):
            found = tensors.get(
                f"text_encoders_{key}", tensors.get("clip_l" if not part else "clip_g")
            )
            encoder = getattr(pipeline, f"text_encoder{part}")
            tokenizer = getattr(pipeline, f"tokenizer{part}")
            pipeline.load_textual_inversion(
                found, token=given, text_encoder=encoder, tokenizer=tokenizer
            )
            # What published configs have wrong: with it, the text would end at the learnt word.
            inner = getattr(encoder, "text_model", encoder)
            inner.eos_token_id = tokenizer.eos_token_id
    else:
        content: Any = str(path)
        if path.suffix == ".pt":
            import torch

            content = torch.load(path, weights_only=True)
        pipeline.load_textual_inversion(content, token=given or None)
    return pipeline


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize(("brought", "word", "prompt"), one_in(3, RIGHT))
def test_a_word_is_drawn_as_the_stock_pipeline_draws_it(
    brought: Brought,
    word: str,
    prompt: str,
    with_room: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    folder = with_room(brought.model)
    variant = variant_of(brought.build(tmp_path))
    theirs = drawn_by_stock(by_stock(folder, variant), prompt)
    plan = plan_variant(folder, variant)
    assert plan.tokens[0] == word
    write_variant(folder, plan, tmp_path / "variant")
    assert distance(drawn_by_us(tmp_path / "variant", prompt), theirs) <= PIXELS


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize("brought", REFUSED, ids=str)
def test_what_is_no_word_of_this_checkpoint_is_refused(
    brought: Brought, with_room: Callable[[str], Path], tmp_path: Path
) -> None:
    option = brought.build(tmp_path)
    errors = (TextualInversionError, VariantOptionError, LoraError)
    with pytest.raises(errors, match=brought.error) as refused:
        plan_variant(with_room(brought.model), variant_of(option))
    assert str(tmp_path) in str(refused.value)


def test_words_are_found_whole(with_room: Callable[[str], Path], tmp_path: Path) -> None:
    folder = with_room("sd15")
    option = keyed("sks", vectors(2))(tmp_path)
    write_variant(folder, plan_variant(folder, variant_of(option)), tmp_path / "variant")
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path / "variant" / "tokenizer")

    def found(text: str) -> int:
        tokens = tokenizer.convert_ids_to_tokens(
            ClipReader([tokenizer], 40).token_ids([text])[0].tolist()
        )
        return tokens.count("sks") + tokens.count("sks_1")

    assert [found(text) for text in ("sks", "a sks, dog", "(sks:1.2)", "SKS")] == [2, 2, 2, 2]
    assert [found(text) for text in ("tasks on desks", "asks", "sks_9", "sksy")] == [0, 0, 0, 0]


def test_a_word_needs_a_row_for_each_token(
    small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    option = keyed("<mia>", vectors(1))(tmp_path)
    with pytest.raises(TextualInversionError, match="table of 640 rows, allowed 514"):
        plan_variant(small_checkpoints("sd15"), variant_of(option))


def test_a_file_names_its_word(tmp_path: Path) -> None:
    path = Path(keyed("<mia>", vectors(2))(tmp_path))
    assert read_word(path).word == "<mia>"
    assert read_word(path, "<eva>").vectors["text_encoder"].shape == (2, 64)
