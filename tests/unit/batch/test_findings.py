"""Many messages as a short list."""

from __future__ import annotations

import pytest

from airflow_provider_personalize.batch.findings import MOST_KINDS, OTHER, Findings, gist


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('Line 3: "itemList"[4] is empty', 'Line 90: "itemList"[17] is empty'),
        ('Line 3: unknown key "user"; rows look like {}', 'Line 3: unknown key "uid"; rows look like {}'),
        ('item "i-1" was not trained on', 'item "i-2" was not trained on'),
    ],
)
def test_messages_that_differ_in_places_and_values_say_the_same(one: str, other: str) -> None:
    assert gist(one) == gist(other)


def test_messages_about_different_members_do_not() -> None:
    assert gist('key "userId" is missing') != gist('key "itemId" is missing')


def test_the_commonest_comes_first_with_its_first_places() -> None:
    findings = Findings()
    findings.add("a", "rare")
    for line in range(1, 6):
        findings.add("b", f"Line {line}: often")
    assert [(each.gist, each.count) for each in findings] == [("often", 5), ("rare", 1)]
    assert next(iter(findings)).examples == ["b: Line 1: often", "b: Line 2: often", "b: Line 3: often"]


def test_the_list_is_bounded_whatever_is_said() -> None:
    findings = Findings()
    for number in range(1000):
        findings.add("a", chr(0x4E00 + number) * 1000)
    kinds = list(findings)
    assert len(kinds) == MOST_KINDS + 1
    assert (kinds[-1].gist, kinds[-1].count) == (OTHER, 1000 - MOST_KINDS)
    assert max(len(example) for kind in kinds for example in kind.examples) <= 200
