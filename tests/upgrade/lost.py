"""What an upgrade would take away: what the old data has and the new data lacks.

Additions are allowed: another key of a mapping, another entry of a list. Mappings in a list are matched by their
`name`, or by their content where they have none; plain entries must keep their order.
"""

from typing import Any


def lost(old: Any, new: Any, where: str = "") -> list[str]:
    """One sentence for each thing of `old` that `new` lacks or says otherwise; plain data, as JSON has it."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            sentence
            for key, value in old.items()
            for sentence in (lost(value, new[key], f"{where}/{key}") if key in new else [f"{where}/{key} is gone"])
        ]
    if isinstance(old, list) and isinstance(new, list):
        return _lost_of_list(old, new, where)
    same = old == new and isinstance(old, bool) == isinstance(new, bool)
    return [] if same else [f"{where} was {old!r} and is {new!r}"]


def _lost_of_list(old: list[Any], new: list[Any], where: str) -> list[str]:
    sentences: list[str] = []
    behind = 0
    for item in old:
        if not isinstance(item, dict):
            if item in new[behind:]:
                behind = new.index(item, behind) + 1
            else:
                sentences.append(f"{where} lacks {item!r}, or has it out of order")
        elif "name" in item:
            found = [other for other in new if isinstance(other, dict) and other.get("name") == item["name"]]
            inside = f"{where}/{item['name']}"
            sentences += lost(item, found[0], inside) if found else [f"{inside} is gone"]
        elif all(lost(item, other) for other in new):
            sentences.append(f"{where} lacks {item!r}")
    return sentences
