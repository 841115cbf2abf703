"""Reads facts of a tokenizer from its folder, without loading the tokenizer."""

import json
from pathlib import Path


def vocabulary_size(tokenizer: Path) -> int:
    """The number of token ids of a tokenizer, from the JSON files in its folder."""
    whole = tokenizer / "tokenizer.json"
    if whole.is_file():
        content = json.loads(whole.read_text(encoding="utf-8"))
        ids = [*content["model"]["vocab"].values(), *(t["id"] for t in content["added_tokens"])]
    else:
        vocabulary = json.loads((tokenizer / "vocab.json").read_text(encoding="utf-8"))
        ids = list(vocabulary.values())
    return int(max(ids)) + 1
