"""Reads facts of a tokenizer from its folder, without loading the tokenizer."""

import json
from pathlib import Path
from typing import Any

from lafi.model.config_problems import Config


class TokenizerError(ValueError):
    """A tokenizer's folder is incomplete or damaged; the text names the file."""


def vocabulary_size(tokenizer: Path) -> int:
    """The number of token ids of a tokenizer, from the JSON files in its folder.

    Raises TokenizerError for a missing or damaged file.
    """
    whole = tokenizer / "tokenizer.json"
    try:
        if whole.is_file():
            content = _json(whole)
            words = content["model"]["vocab"]
            # T5's are a list of pieces with their scores, in the order of their ids.
            ids = [*range(len(words))] if isinstance(words, list) else [*words.values()]
            ids += [token["id"] for token in content.get("added_tokens", ())]
        else:
            whole = tokenizer / "vocab.json"
            if not (tokenizer / "merges.txt").is_file():
                raise TokenizerError(
                    f"{tokenizer}: has neither tokenizer.json nor vocab.json and merges.txt"
                )
            ids = list(_json(whole).values())
        return int(max(ids)) + 1
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, TokenizerError):
            raise
        raise TokenizerError(f"{whole}: is damaged or no tokenizer ({error})") from error


def missing_embeddings(encoder: str, config: Config, tokenizer: str, ids: int) -> list[str]:
    """An error line for an encoder without an embedding for each of its tokenizer's ids.

    encoder, tokenizer: names of their parts. config: the encoder's.
    """
    have = config["vocab_size"]
    if have >= ids:
        return []
    return [f"{encoder}.vocab_size: got {have}, allowed {ids} or more, the ids of {tokenizer}"]


def _json(path: Path) -> Any:
    if not path.is_file():
        raise TokenizerError(f"{path}: no such file")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TokenizerError(f"{path}: is damaged: {error}") from error
