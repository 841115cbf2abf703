"""The shipped vocabulary is CLIP's."""

from lafi_export.clip_tokenizer import FIRST_TOKEN, clip_tokenizer


def test_ids_are_those_of_openai() -> None:
    tokenizer = clip_tokenizer()
    assert len(tokenizer) == 49408
    # As published in CLIP's own notebook of examples.
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer.pad_token_id == 49407


def test_open_clip_pads_with_the_first_token() -> None:
    assert clip_tokenizer(FIRST_TOKEN).pad_token_id == 0
