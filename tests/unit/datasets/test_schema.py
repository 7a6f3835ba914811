"""Avro schemas: what CreateSchema takes, and what it says of the rest."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from airflow_provider_personalize.local.datasets.schema import Field, SchemaError, parse_schema


def field(name, type_="string", **flags):
    return {"name": name, "type": type_, **flags}


KEYS = [field("USER_ID"), field("ITEM_ID"), field("TIMESTAMP", "long")]
USER, ITEM = field("USER_ID"), field("ITEM_ID")


def schema(name, *fields, **members):
    return json.dumps({"type": "record", "name": name, "fields": list(fields), "version": "1.0"} | members)


def test_fields_carry_type_and_flags():
    parsed = parse_schema(
        schema(
            "Items",
            ITEM,
            field("GENRES", ["null", "string"], categorical=True),
            field("PLOT", textual=True),
            field("PRICE", "float"),
            field("TITLE", itemName=True),
        )
    )
    assert parsed.dataset_type == "ITEMS"
    assert parsed.fields == (
        Field("ITEM_ID", "string"),
        Field("GENRES", "string", nullable=True, categorical=True),
        Field("PLOT", "string", textual=True),
        Field("PRICE", "float"),
        Field("TITLE", "string", item_name=True),
    )
    assert [f.name for f in parsed.fields if f.numeric] == ["PRICE"]


def test_metadata_is_what_is_neither_key_nor_reserved():
    parsed = parse_schema(schema("Interactions", *KEYS, field("EVENT_TYPE"), field("DEVICE", categorical=True)))
    assert [f.name for f in parsed.metadata] == ["DEVICE"]


def test_columns_are_found_in_any_case():
    parsed = parse_schema(schema("Users", USER, field("Age", "int")))
    assert parsed.find("AGE") == Field("Age", "int")
    assert parsed.find("SIZE") is None


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("Interactions", KEYS),
        ("interactions", [*KEYS, field("EVENT_TYPE"), field("EVENT_VALUE", ["float", "null"])]),
        ("Items", [ITEM, field("CREATION_TIMESTAMP", "long")]),
        ("Users", [USER, field("MEMBER", "boolean")]),
        ("Actions", [field("ACTION_ID"), field("VALUE", ["long", "null"])]),
        ("Action_Interactions", [USER, field("ACTION_ID"), field("EVENT_TYPE"), field("TIMESTAMP", "long")]),
    ],
)
def test_every_dataset_type_has_a_schema(name, fields):
    assert len(parse_schema(schema(name, *fields)).fields) == len(fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", '"type": "record"'),
        (json.dumps({"type": "map", "name": "Items"}), '"type": "record"'),
        (schema("Movies", ITEM), "'Movies'.*Interactions, Items, Users"),
        (schema(None, ITEM), '"name" is None'),
        (schema("Items", ITEM, field("A"), version="2.0"), "version"),
        (schema("Items"), "at least one field"),
        (schema("Items", fields={}), "at least one field"),
        (schema("Items", "ITEM_ID"), r"fields\[0\]"),
        (schema("Items", ITEM, {"type": "string"}), r"fields\[1\]"),
        (schema("Items", ITEM, field("1ST")), "field '1ST'"),
        (schema("Items", ITEM, field("A-B")), "field 'A-B'"),
        (schema("Items", ITEM, field("A", "bytes")), 'field A: type is "bytes"'),
        (schema("Items", ITEM, field("A", "null")), "field A: type"),
        (schema("Items", ITEM, field("A", ["string", "int"])), "field A: type"),
        (schema("Items", ITEM, field("A", {"type": "array", "items": "string"})), "field A: type"),
        (schema("Items", ITEM, field("A", categorical="yes")), "field A.*true or false"),
        (schema("Items", ITEM, field("A", "int", categorical=True)), "field A: only a string"),
        (schema("Items", ITEM, field("A", categorical=True, textual=True)), "field A: .*not both"),
        (schema("Items", ITEM, field("A", textual=True), field("B", textual=True)), "A, B: .*one textual"),
        (
            schema("Items", ITEM, field("A", itemName=True), field("B", itemName=True)),
            "A, B: .*one field with itemName",
        ),
        (schema("Users", USER, field("A", textual=True)), "field A: only Items"),
        (schema("Items", ITEM, field("GENRES_1"), field("genres1")), "genres1: .*GENRES_1"),
        (schema("Items", ITEM), "at least one metadata field"),
        (schema("Items", field("A")), "ITEM_ID is missing"),
        (schema("Interactions", *KEYS[:2]), "TIMESTAMP is missing"),
        (schema("Interactions", *KEYS[:2], field("TIMESTAMP", "string")), "TIMESTAMP: it must be long"),
        (schema("Items", field("ITEM_ID", ["null", "string"]), field("A")), "ITEM_ID: .*not nullable"),
        (schema("Items", field("ITEM_ID", categorical=True), field("A")), "ITEM_ID: .*categorical"),
        (schema("Interactions", *KEYS, field("EVENT_VALUE", "string")), "EVENT_VALUE.*reserved.*float"),
        (schema("Interactions", *KEYS, field("EVENT_TYPE", categorical=True)), "EVENT_TYPE"),
        (schema("Items", ITEM, field("CREATION_TIMESTAMP", "string")), "CREATION_TIMESTAMP"),
        (schema("Interactions", *KEYS, *(field(f"F{i}") for i in range(6))), "6 metadata fields.* 5"),
        (schema("Users", USER, *(field(f"F{i}") for i in range(26))), "26 metadata fields.* 25"),
        (schema("Items", ITEM, *(field(f"F{i}") for i in range(101))), "101 metadata fields.* 100"),
    ],
)
def test_a_broken_rule_is_named_with_its_field(text, message):
    with pytest.raises(SchemaError, match=message):
        parse_schema(text)


def test_the_control_plane_checks_schemas_and_filters_without_numeric_libraries():
    code = (
        "import sys; from airflow_provider_personalize.local.filters import check_filter;"
        "from airflow_provider_personalize.local.datasets.schema import parse_schema;"
        "print([m for m in ('numpy', 'polars', 'scipy', 'lightfm') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
