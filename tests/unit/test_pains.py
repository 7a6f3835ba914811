"""Every test that docs/pains.md names exists, so that no complaint is said to be answered by nothing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PAINS = Path(__file__).parents[2] / "docs" / "pains.md"
NAMED = sorted(set(re.findall(r"`(tests/[^`\s]+)`", PAINS.read_text(encoding="utf-8"))))


def defined(body: list[ast.stmt], path: list[str]) -> bool:
    """Whether classes and functions are nested in a module's body as the path has them."""
    found = [node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
    inner = next((node for node in found if node.name == path[0]), None)
    return inner is not None and (len(path) == 1 or defined(inner.body, path[1:]))


@pytest.mark.parametrize("named", NAMED)
def test_a_test_that_is_named_exists(named: str, repository: Path) -> None:
    file, *path = named.split("::")
    assert defined(ast.parse((repository / file).read_text(encoding="utf-8")).body, path)


def test_every_complaint_names_a_test() -> None:
    rows = [line for line in PAINS.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    answered = [row for row in rows if not row.startswith("| Complaint ")]
    assert len(answered) > 40
    assert not [row for row in answered if "`tests/" not in row.rsplit("|", 2)[1]]
