"""Any bytes as an input file give one output row per line that is not blank, whatever the recipe answers with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.jobs.conftest import Group

THEMES = {
    "batchInferenceJobMode": "THEME_GENERATION",
    "themeGenerationConfig": {"fieldsForThemeGeneration": {"itemName": "TITLE"}},
}
# By recipe and what else its job takes: a row that it answers, and rows of its format that are odd.
KINDS: dict[str, tuple[str, dict[str, Any], bytes, list[bytes]]] = {
    "user": ("aws-user-personalization", {}, b'{"userId": "u1"}', [b'{"userId": "\\ud83d"}', b'{"userId": null}']),
    "ranking": (
        "aws-personalized-ranking",
        {},
        b'{"userId": "u1", "itemList": ["i1", "i1", "unheard"]}',
        [b'{"userId": "u1", "itemList": []}', b'{"userId": "u1", "itemList": ["", 1]}'],
    ),
    "item": ("aws-sims", {}, b'{"itemId": "i1"}', [b'{"itemId": "a\\u0000b"}', b'{"itemId": "i1", "itemId": "i2"}']),
    "segment": ("aws-item-affinity", {}, b'{"itemId": "i1"}', [b'{"itemId": "unheard"}', b'{"itemId": 1e999}']),
    "attribute": (
        "aws-item-attribute-affinity",
        {},
        b'{"itemAttributes": "ITEMS.GENRES = \\"comedy\\""}',
        [b'{"itemAttributes": "ITEMS.NOPE = 1"}', b'{"itemAttributes": " "}', b'{"itemAttributes": 5}'],
    ),
    "themes": ("aws-similar-items", THEMES, b'{"itemId": "i1"}', [b'{"itemId": "unheard"}', b'{"itemId": []}']),
}
ODD = [
    b"[]",
    b"{}",
    b"null",
    b"NaN",
    b"\xff\xfe",
    b"\x00",
    b"\x0b",
    b" \t\r",
    b"",
    b"\xef\xbb\xbf{}",
    b"[" * 2000,
    b"\xc2\x85",
]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_every_line_has_its_row(group: Group, tmp_path_factory: pytest.TempPathFactory, kind: str, data: Any) -> None:
    recipe, more, good, odd = KINDS[kind]
    cut = st.integers(0, len(good)).map(lambda end: good[:end])
    line = st.just(good) | st.sampled_from([*odd, *ODD]) | cut | st.binary(max_size=30)
    lines = data.draw(st.lists(line, max_size=9))
    content = b"\n".join(lines)
    asked = [each for each in content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if each.strip()]
    folder = tmp_path_factory.getbasetemp() / f"any-{kind}"
    job, rows = group.run_bytes(recipe, content, folder, numResults=3, **more)
    if not asked:
        assert (job["status"], "holds no rows" in job["failureReason"]) == ("CREATE FAILED", True)
        return
    assert job["status"] == "ACTIVE", job
    assert len(rows) == len(asked)
    for each, row in zip(asked, rows, strict=True):
        assert "input" in row
        answered = row.get("output") is not None
        assert answered == (row.get("error") is None)
        if not answered:
            assert row["error"]["errorMessage"].startswith("Line ")
        if each == good:
            assert answered, row
