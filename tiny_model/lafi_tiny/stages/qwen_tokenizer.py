"""A Qwen2 tokenizer whose vocabulary comes from the captions of the drawn data set."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer

from lafi_tiny.stages.tokenizer import CAPTIONS, VOCABULARY, some_captions

END, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TURN = (
    "{%- for message in messages %}"
    f"{TURN_START}{{{{ message.content | lower }}}}{TURN_END}"
    "{%- endfor %}"
)
"""A prompt as the pipeline's chat: its two marks, and no words of a role.

Captions have no capital letters, and Qwen's tokenizer keeps those of a prompt.
"""
QWEN_FOLDER = "qwen_tokenizer"


def build_qwen_tokenizer(
    captions: Iterable[str], vocabulary_size: int = VOCABULARY
) -> Qwen2Tokenizer:
    """Train byte-level BPE (as Qwen's) on captions; any text, also unseen, can be encoded."""
    tokens = [*sorted(ByteLevel.alphabet()), END, TURN_START, TURN_END]
    plain = Qwen2Tokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=[],
        additional_special_tokens=[TURN_START, TURN_END],
    )
    learnt: Qwen2Tokenizer = plain.train_new_from_iterator(
        captions, vocabulary_size, show_progress=False
    )
    learnt.chat_template = TURN
    return learnt


def stage_qwen_tokenizer(folder: Path, seed: int = 0, captions: int = CAPTIONS) -> Qwen2Tokenizer:
    """The tokenizer kept in `folder`, made of the same captions as CLIP's if it is missing."""
    kept = folder / QWEN_FOLDER
    if not kept.exists():
        build_qwen_tokenizer(some_captions(seed, captions)).save_pretrained(kept)
    tokenizer: Qwen2Tokenizer = Qwen2Tokenizer.from_pretrained(kept)
    return tokenizer
