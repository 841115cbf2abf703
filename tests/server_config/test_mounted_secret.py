"""A Secret that the kubelet renews: it swaps one symlink, `..data`, and the files' paths stay."""

import os
from pathlib import Path

from lafi.front.keys import Key, KeyFile, KeyRing, hash_of, write_keys


class Mounted:
    """A folder as the kubelet makes it: FILE -> ..data/FILE, ..data -> a folder named by time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._times = 0

    def renew(self, *names: str) -> None:
        """The Secret's key `keys` has these now; the folder of before is removed, as there."""
        self._times += 1
        data = self.folder / f"..2026_11_30_09_00_{self._times:02}.1"
        data.mkdir()
        keys = (Key(name=name, sha256=hash_of(name), rights=("draw",)) for name in names)
        write_keys(data / "keys", KeyFile(keys=tuple(keys)))
        # The kubelet's files have the time of their writing; equal times must not hide a change.
        os.utime(data / "keys", (1_000_000_000, 1_000_000_000))
        before = self.folder.joinpath("..data").resolve() if self._times > 1 else None
        (self.folder / "..data_tmp").symlink_to(data.name)
        (self.folder / "..data_tmp").rename(self.folder / "..data")
        if before is None:
            (self.folder / "keys").symlink_to("..data/keys")
        else:
            (before / "keys").unlink()
            before.rmdir()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += 2.0
        return self.now


def test_keys_are_read_again_after_the_kubelets_swap(tmp_path: Path) -> None:
    mounted = Mounted(tmp_path)
    mounted.renew("mia")
    ring = KeyRing(tmp_path / "keys", Clock())

    def known() -> set[str]:
        return {name for name in ("mia", "tom", "eva") if ring.find(name) is not None}

    assert known() == {"mia"}
    mounted.renew("mia", "tom")
    assert known() == {"mia", "tom"}
    mounted.renew("tom")
    assert known() == {"tom"}
    # As long and as old as the file before: only its inode tells.
    mounted.renew("eva")
    assert known() == {"eva"}
