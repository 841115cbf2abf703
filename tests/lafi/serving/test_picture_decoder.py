"""Pictures decoded in a limited process are what Pillow gives here, or are refused."""

import io
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lafi.board import image_file
from lafi.board.image_file import ImageFileError
from lafi.server.processes import children_of
from lafi.serving import decoder_child
from lafi.serving.picture_decoder import PictureDecoder


def file_of(mode: str, size: tuple[int, int], kind: str, **options: object) -> bytes:
    rng = np.random.default_rng(1)
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = rng.integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    image = Image.fromarray(pixels.squeeze(), mode=mode)
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def decoder() -> Iterator[PictureDecoder]:
    made = PictureDecoder()
    yield made
    made.close()


def children() -> set[int]:
    found = children_of(os.getpid()).items()
    return {pid for pid, command in found if decoder_child.__name__ in command}


def started(decoder: PictureDecoder, data: bytes) -> int:
    """The process of a new decoder, which has decoded a picture."""
    before = children()
    decoder.decode(data)
    (made,) = children() - before
    return made


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(["L", "LA", "RGB", "RGBA"]),
    width=st.integers(8, 90),
    height=st.integers(8, 90),
    kind=st.sampled_from(["PNG", "WEBP"]),
    cut=st.none() | st.integers(0, 200),
    flip=st.none() | st.integers(0, 10**6),
)
def test_whole_and_damaged_files_are_as_in_this_process(
    decoder: PictureDecoder,
    mode: str,
    width: int,
    height: int,
    kind: str,
    cut: int | None,
    flip: int | None,
) -> None:
    data = bytearray(file_of(mode, (width, height), kind))
    if flip is not None:
        data[flip % len(data)] ^= 0xFF
    if cut is not None:
        del data[cut:]
    try:
        expected = np.asarray(image_file.decode(bytes(data)))
    except ImageFileError as refused:
        with pytest.raises(ImageFileError) as here:
            decoder.decode(bytes(data))
        assert (here.value.got, here.value.allowed) == (refused.got, refused.allowed)
    else:
        np.testing.assert_array_equal(np.asarray(decoder.decode(bytes(data))), expected)


def test_the_largest_picture_fits_its_memory(decoder: PictureDecoder) -> None:
    data = file_of("RGB", (4096, 4096), "PNG", compress_level=0)
    assert len(data) > 2**25, "the check of bytes is somebody else's"
    assert decoder.decode(data).size == (4096, 4096)


def test_a_file_that_ends_its_decoder_is_refused_and_the_next_is_decoded() -> None:
    decoder, good = PictureDecoder(), file_of("RGB", (64, 64), "PNG")
    child = started(decoder, good)
    os.kill(child, signal.SIGSTOP)
    failed: list[str] = []

    def decode() -> None:
        with pytest.raises(ImageFileError) as refused:
            decoder.decode(good)
        failed.append(str(refused.value))

    waiting = threading.Thread(target=decode)
    waiting.start()
    time.sleep(0.1)
    os.kill(child, signal.SIGSEGV)
    os.kill(child, signal.SIGCONT)
    waiting.join(10)
    assert failed == [
        "got an image that could not be decoded (its decoder ended with signal 11), "
        "allowed: a whole image file"
    ]
    assert decoder.decode(good).size == (64, 64)
    decoder.close()


def test_one_that_takes_too_long_is_refused() -> None:
    decoder, good = PictureDecoder(seconds=20.0), file_of("RGB", (64, 64), "PNG")
    os.kill(started(decoder, good), signal.SIGSTOP)
    decoder._seconds = 0.1
    with pytest.raises(ImageFileError, match="it took too long"):
        decoder.decode(good)
    decoder.close()


def test_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import resource, sys\n"
        "from lafi.serving import decoder_child\n"
        "decoder_child.limit(resource.RLIMIT_AS, 2**28)\n"
        "decoder_child.answer(sys.stdin.buffer.read(), sys.stdout.buffer)\n"
    )
    done = subprocess.run(
        [os.sys.executable, "-c", code],
        input=file_of("RGB", (4096, 4096), "PNG"),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout[:1] == b"R"
    assert b"takes more memory" in done.stdout


def test_the_process_ends_with_its_owner() -> None:
    done = subprocess.run(
        [os.sys.executable, "-m", decoder_child.__name__], input=b"", timeout=60, check=True
    )
    assert done.returncode == 0
