"""`helm test`: draws a small storyboard and sends it again; it must then be found in the store.

python draw_twice.py HOST:PORT [--ca FILE] [--certificate FILE --private-key FILE]
                               [--key-file FILE]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import grpc

from lafi.board.storyboard import Panel, Storyboard
from lafi_client.client import StoryboardClient

BOARD = Storyboard(
    title="helm test",
    panels=(Panel(prompt="a child at the beach"), Panel(prompt="a child in a forest")),
)


def main(arguments: list[str] | None = None) -> int:
    """0; 1 if a panel of the second round was drawn anew. What the client raises ends it too."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--ca", type=Path)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--private-key", type=Path)
    parser.add_argument("--key-file", type=Path)
    asked = parser.parse_args(arguments)
    with StoryboardClient(asked.url, timeout=3600.0, credentials=_credentials(asked)) as client:
        for number in (1, 2):
            began = time.monotonic()
            panels = client.draw_all(BOARD)
            seconds = time.monotonic() - began
            kept = [panel.kept for panel in panels]
            print(f"round {number}: {len(panels)} panels, {sum(kept)} found, {seconds:.1f} s")
    if not all(kept):
        print("error: the second round drew panels anew: is there a store?", file=sys.stderr)
        return 1
    return 0


def _credentials(asked: argparse.Namespace) -> grpc.ChannelCredentials | None:
    if asked.ca is None:
        if asked.key_file is not None:
            raise SystemExit("--key-file: allowed with --ca only; a key is not sent in the clear")
        return None
    files = (asked.ca, asked.private_key, asked.certificate)
    tls = grpc.ssl_channel_credentials(*(file.read_bytes() if file else None for file in files))
    if asked.key_file is None:
        return tls
    key = asked.key_file.read_text(encoding="ascii").strip()
    return grpc.composite_channel_credentials(tls, grpc.access_token_call_credentials(key))


if __name__ == "__main__":
    sys.exit(main())
