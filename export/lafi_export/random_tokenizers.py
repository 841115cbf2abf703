"""Tokenizers for checkpoints with random weights: valid, small, and with no words learnt.

Knows tokenizers' classes, not networks.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from tokenizers.pre_tokenizers import ByteLevel
from transformers import BertTokenizer, CLIPTokenizer, Qwen2Tokenizer, T5Tokenizer

from lafi.model.architectures.architecture import Architecture
from lafi.model.architectures.parts import TEXT_LENGTH

T5_LENGTH: Final = 512
"""`model_max_length` of published T5 tokenizers."""
_START, _END = "<|startoftext|>", "<|endoftext|>"
_TURNS: Final = ("<|im_start|>", "<|im_end|>")


def random_tokenizer(chosen: Architecture, part: str) -> Any:
    """The tokenizer of a part's class; `save_pretrained` writes it."""
    return _MAKERS[chosen.classes[part][1]](chosen, part)


def _clip_of(chosen: Architecture, part: str) -> CLIPTokenizer:
    # Those of OpenCLIP's encoders (SD2.1, the second of SDXL and SD3) pad with their first token.
    encoder = chosen.configs[part.replace("tokenizer", "text_encoder")]
    return _clip("!" if encoder.get("hidden_act") == "gelu" else _END)


def _clip(pad: str) -> CLIPTokenizer:
    """CLIP's byte alphabet in CLIP's order, without its merges."""
    alphabet = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    alphabet += sorted(set(ByteLevel.alphabet()) - set(alphabet))
    tokens = [*alphabet, *(one + "</w>" for one in alphabet), _START, _END]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=[],
        model_max_length=TEXT_LENGTH,
        bos_token=_START,
        eos_token=_END,
        unk_token=_END,
        pad_token=pad,
    )


_CHAT: Final = (
    "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content"
    " + '<|im_end|>' + '\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
)
"""What a chat with Qwen3 looks like, without tools and thoughts."""


def _qwen(chosen: Architecture, part: str) -> Qwen2Tokenizer:
    """The byte alphabet, without merges, and the tokens that a chat is made of."""
    tokens = [*sorted(ByteLevel.alphabet()), _END, *_TURNS]
    return Qwen2Tokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=[],
        additional_special_tokens=[*_TURNS],
        chat_template=_CHAT,
    )


def _t5_of(chosen: Architecture, part: str) -> T5Tokenizer:
    """The letters of ASCII, a blank, and T5's special tokens; other letters are unknown."""
    letters = (chr(code) for code in range(ord("!"), ord("~") + 1))
    special = ("<pad>", "</s>", "<unk>")
    pieces = [*((token, 0.0) for token in special), ("\u2581", -2.0)]
    pieces += [(letter, -3.0) for letter in letters]
    return T5Tokenizer(vocab=pieces, model_max_length=T5_LENGTH)


def _bert_of(chosen: Architecture, part: str) -> BertTokenizer:
    """The letters of ASCII, at the beginning of a word and inside, and BERT's special tokens."""
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    tokens = [*special, *letters, *(f"##{letter}" for letter in letters)]
    return BertTokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, model_max_length=TEXT_LENGTH
    )


_MAKERS: Final[Mapping[str, Callable[[Architecture, str], Any]]] = {
    "CLIPTokenizer": _clip_of,
    "Qwen2Tokenizer": _qwen,
    "T5Tokenizer": _t5_of,
    "T5TokenizerFast": _t5_of,
    "BertTokenizer": _bert_of,
}
"""Class of a tokenizer -> what makes one for an architecture's part."""
