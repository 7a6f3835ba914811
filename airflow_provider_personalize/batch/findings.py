"""Many messages -> a short list of what they say, how often, and where it was seen first.

Two messages say the same when they differ only in line numbers, other numbers and quoted values. The list is bounded,
whatever is put in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MOST_KINDS = 20
OTHER = "other"
_EXAMPLES = 3
_EXAMPLE_CHARACTERS = 200

_LINE = re.compile(r"^Line \d+: ")
# Explanations follow a semicolon; what is wrong comes before.
_EXPLANATION = re.compile(r"; .*", re.DOTALL)
_VARIABLE = re.compile(r'"((?:[^"\\]|\\.)*)"|\d+')
_MEMBERS = frozenset({"userId", "itemId", "itemList", "itemAttributes", "filterValues", "output", "error"})


def gist(message: str) -> str:
    """What a message says of any row: ``Line 3: "itemList"[4] is empty; ...`` -> ``"itemList"[N] is empty``."""
    text = _EXPLANATION.sub("", _LINE.sub("", message, count=1))
    return shortened(_VARIABLE.sub(_without_value, text))


def _without_value(match: re.Match[str]) -> str:
    if match[1] is None:
        return "N"
    return match[0] if match[1] in _MEMBERS else '"..."'


@dataclass(slots=True)
class Finding:
    """One thing that messages said. ``examples``: the first messages with their places."""

    gist: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        return {"what": self.gist, "count": self.count, "examples": self.examples}


class Findings:
    """Messages by what they say, the commonest first."""

    def __init__(self) -> None:
        self._by_gist: dict[str, Finding] = {}

    def __iter__(self) -> Iterator[Finding]:
        return iter(sorted(self._by_gist.values(), key=lambda finding: (finding.gist == OTHER, -finding.count)))

    def add(self, place: str, message: str) -> None:
        """``place`` says where, for example ``users.json``; the message may name a line itself."""
        known = gist(message)
        if known not in self._by_gist and len(self._by_gist) >= MOST_KINDS:
            known = OTHER
        finding = self._by_gist.setdefault(known, Finding(known))
        finding.count += 1
        if len(finding.examples) < _EXAMPLES:
            finding.examples.append(shortened(f"{place}: {message}"))


def shortened(text: str) -> str:
    return text if len(text) <= _EXAMPLE_CHARACTERS else text[: _EXAMPLE_CHARACTERS - 3] + "..."
