"""Plain data as YAML that reads back as the same data, whatever the text of a novel holds."""

from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Every text in double quotes, no anchors: nothing in it can be YAML of its own."""

    def ignore_aliases(self, data: Any) -> bool:
        """The same value twice is written twice."""
        return True


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')


def _mapping(dumper: _Dumper, data: dict[str, Any]) -> yaml.Node:
    """Keys are names of fields and words of vocabularies; those that are plain stay bare."""
    node: Any = dumper.represent_mapping("tag:yaml.org,2002:map", data.items())
    for key, _ in node.value:
        if key.value.isidentifier() and key.value.isascii() and key.value not in _RESERVED:
            key.style = None
    return node  # type: ignore[no-any-return]


_RESERVED = frozenset(("true", "false", "null", "True", "False", "Null", "TRUE", "FALSE", "NULL"))
_Dumper.add_representer(str, _text)
_Dumper.add_representer(dict, _mapping)


def to_yaml(data: dict[str, Any]) -> str:
    """Keys in their order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**30)
