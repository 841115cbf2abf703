"""The file of keys: what was written is read, what is broken changes nothing."""

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.front.keys import (
    Key,
    KeyFile,
    KeyFileError,
    KeyRing,
    hash_of,
    new_key,
    read_keys,
    write_keys,
)
from lafi.wire.caller import RIGHTS, Caller

NAMES = st.from_regex("[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
KEYS = st.lists(
    st.builds(
        Key,
        name=NAMES,
        rights=st.lists(st.sampled_from(RIGHTS), unique=True).map(tuple),
        megapixel_steps=st.none() | st.floats(1e-3, 1e9),
        sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    ),
    max_size=5,
    unique_by=(lambda key: key.name, lambda key: key.sha256),
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += 2.0
        return self.now


@given(KEYS)
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, keys: list[Key]
) -> None:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    write_keys(path, KeyFile(keys=tuple(keys)))
    assert read_keys(path).keys == tuple(keys)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["keys.json"]


def test_a_key_is_long_never_the_same_and_found_by_itself_alone(tmp_path: Path) -> None:
    made = [new_key() for _ in range(100)]
    assert len({*made}) == 100
    assert min(map(len, made)) > 40
    path = tmp_path / "keys.json"
    entry = Key(name="mia", sha256=hash_of(made[0]), rights=("draw",))
    write_keys(path, KeyFile(keys=(entry,)))
    assert made[0] not in path.read_text()
    ring = KeyRing(path)
    assert ring.find(made[0]) == Caller(name="mia", rights=("draw",))
    assert {ring.find(other) for other in (*made[1:], "", hash_of(made[0]))} == {None}


def ring_of(path: Path, *names: str) -> KeyRing:
    write(path, *names)
    return KeyRing(path, Clock())


def write(path: Path, *names: str) -> None:
    write_keys(path, KeyFile(keys=tuple(Key(name=n, sha256=hash_of(n)) for n in names)))


def known(ring: KeyRing) -> set[str]:
    return {name for name in ("mia", "tom") if ring.find(name) is not None}


def test_a_changed_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    ring = ring_of(path, "mia")
    assert known(ring) == {"mia"}
    write(path, "tom")
    assert known(ring) == {"tom"}


BROKEN = {
    "no JSON": "{",
    "another kind of file": "[]",
    "an unknown field": '{"keys": [], "more": 1}',
    "an unknown right": json.dumps(
        {"keys": [{"name": "mia", "sha256": "0" * 64, "rights": ["everything"]}]}
    ),
    "no hash": '{"keys": [{"name": "mia", "sha256": "secret"}]}',
    "a bad name": json.dumps({"keys": [{"name": "a b", "sha256": "0" * 64}]}),
    "no budget": json.dumps({"keys": [{"name": "a", "sha256": "0" * 64, "megapixel_steps": 0}]}),
    "a name twice": json.dumps(
        {"keys": [{"name": "mia", "sha256": "0" * 64}, {"name": "mia", "sha256": "1" * 64}]}
    ),
    "a hash twice": json.dumps(
        {"keys": [{"name": "mia", "sha256": "0" * 64}, {"name": "tom", "sha256": "0" * 64}]}
    ),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_keeps_the_old_keys_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    path = tmp_path / "keys.json"
    ring = ring_of(path, "mia")
    path.write_text(text)
    with caplog.at_level(logging.WARNING):
        assert known(ring) == {"mia"}
    (record,) = caplog.records
    assert str(path) in record.message
    assert "the keys from before stay in force" in record.message
    assert "secret" not in record.message, "nothing of the file is quoted"
    with pytest.raises(KeyFileError, match="is not valid"):
        KeyRing(path)
    write(path, "tom")
    assert known(ring) == {"tom"}, "once it is whole again, it counts"


def test_a_file_that_is_gone_keeps_the_old_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    ring = ring_of(path, "mia")
    path.unlink()
    assert known(ring) == {"mia"}
    with pytest.raises(KeyFileError, match="cannot be read: No such file"):
        KeyRing(path)
