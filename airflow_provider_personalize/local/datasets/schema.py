"""The Avro schema of a dataset, as ``CreateSchema`` takes it.

The rules are those of the developer guide ("Creating schema JSON files"): a flat record named after its dataset
type, with that type's required fields, reserved fields of fixed types, and metadata fields within limits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

FieldType = Literal["string", "int", "long", "float", "double", "boolean"]

_TYPES: tuple[FieldType, ...] = ("string", "int", "long", "float", "double", "boolean")
_NAME = re.compile(r"[A-Za-z_][A-Za-z\d_]{0,149}")
_FLAGS = ("categorical", "textual", "itemName")


class SchemaError(ValueError):
    """A schema that the service would refuse; the text names the field and the rule."""


@dataclass(frozen=True, slots=True)
class Field:
    """One column. ``categorical`` and ``textual`` say how training may read a string."""

    name: str
    type: FieldType
    nullable: bool = False
    categorical: bool = False
    textual: bool = False
    item_name: bool = False

    @property
    def numeric(self) -> bool:
        return self.type not in ("string", "boolean")


@dataclass(frozen=True, slots=True)
class DatasetSchema:
    """The columns of a dataset of one type (``Interactions``, ``Items``, ``Users``, ...)."""

    type_name: str
    fields: tuple[Field, ...]

    @property
    def dataset_type(self) -> str:
        """The type as responses and ARNs spell it: ``INTERACTIONS``."""
        return self.type_name.upper()

    @property
    def metadata(self) -> tuple[Field, ...]:
        """The fields that are neither the keys of a record nor reserved words of the service."""
        rules = _RULES[self.dataset_type]
        return tuple(f for f in self.fields if f.name not in rules.required and f.name not in rules.reserved)

    def find(self, name: str) -> Field | None:
        """The field of that name in any case, as filter expressions name columns."""
        return next((f for f in self.fields if f.name.upper() == name.upper()), None)


@dataclass(frozen=True, slots=True)
class _Rules:
    required: Mapping[str, tuple[str, ...]]
    reserved: Mapping[str, tuple[str, ...]]
    most_metadata: int
    needs_metadata: bool = True


_STRING, _LONG, _REAL = ("string",), ("long",), ("float", "double")
_RULES = {
    "INTERACTIONS": _Rules(
        required={"USER_ID": _STRING, "ITEM_ID": _STRING, "TIMESTAMP": _LONG},
        reserved={
            "EVENT_TYPE": _STRING,
            "EVENT_VALUE": _REAL,
            "IMPRESSION": _STRING,
            "RECOMMENDATION_ID": _STRING,
            "EVENT_ATTRIBUTION_SOURCE": _STRING,
        },
        most_metadata=5,
        needs_metadata=False,
    ),
    "ITEMS": _Rules(required={"ITEM_ID": _STRING}, reserved={"CREATION_TIMESTAMP": _LONG}, most_metadata=100),
    "USERS": _Rules(required={"USER_ID": _STRING}, reserved={}, most_metadata=25),
    "ACTIONS": _Rules(
        required={"ACTION_ID": _STRING},
        reserved={
            "CREATION_TIMESTAMP": _LONG,
            "VALUE": _LONG,
            "TYPE": _STRING,
            "EXPIRATION_TIMESTAMP": _LONG,
            "ACTION_EXPIRATION_TIMESTAMP": _LONG,
            "REPEAT_FREQUENCY": _LONG,
        },
        most_metadata=10,
    ),
    "ACTION_INTERACTIONS": _Rules(
        required={"USER_ID": _STRING, "ACTION_ID": _STRING, "EVENT_TYPE": _STRING, "TIMESTAMP": _LONG},
        reserved={"IMPRESSION": _STRING, "RECOMMENDATION_ID": _STRING},
        most_metadata=5,
        needs_metadata=False,
    ),
}


def parse_schema(text: str) -> DatasetSchema:
    """Read and check the JSON text of an Avro schema.

    Raises:
        SchemaError: the text is not JSON, or breaks a rule of the service; the message names the field.
    """
    try:
        record = orjson.loads(text)  # not json, which overflows the stack on deep nesting
    except orjson.JSONDecodeError as error:
        raise SchemaError(f"the schema is not JSON: {error}") from None
    if not isinstance(record, dict) or record.get("type") != "record":
        raise SchemaError('the schema must be a JSON object with "type": "record"')
    name = record.get("name")
    rules = _RULES.get(name.upper()) if isinstance(name, str) else None
    if rules is None:
        raise SchemaError(f'"name" is {name!r}; it must be Interactions, Items, Users, Actions or Action_Interactions')
    if record.get("version", "1.0") != "1.0":
        raise SchemaError(f'"version" is {record["version"]!r}; it must be "1.0"')
    entries = record.get("fields")
    if not isinstance(entries, list) or not entries:
        raise SchemaError('"fields" must be a list with at least one field')
    schema = DatasetSchema(str(name), tuple(_field(entry, position) for position, entry in enumerate(entries)))
    _check_names(schema)
    _check_keys(schema, rules)
    _check_metadata(schema, rules)
    return schema


def _field(entry: Any, position: int) -> Field:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise SchemaError(f'fields[{position}] must be an object with a "name"')
    name = entry["name"]
    if not _NAME.fullmatch(name):
        raise SchemaError(f"field {name!r}: a name holds letters, digits and underscores, and starts with no digit")
    for flag in _FLAGS:
        if not isinstance(entry.get(flag, False), bool):
            raise SchemaError(f'field {name}: "{flag}" must be true or false')
    kinds = entry.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    plain = [kind for kind in kinds if kind != "null"]
    if len(plain) != 1 or plain[0] not in _TYPES:
        raise SchemaError(
            f"field {name}: type is {json.dumps(entry.get('type'))}; it must be one of {', '.join(_TYPES)}, "
            'or a union of one of them with "null"'
        )
    categorical, textual, item_name = (entry.get(flag, False) for flag in _FLAGS)
    if (categorical or textual or item_name) and plain[0] != "string":
        raise SchemaError(f"field {name}: only a string can be categorical, textual or the item's name")
    if categorical and textual:
        raise SchemaError(f"field {name}: a field is categorical or textual, not both")
    return Field(name, plain[0], "null" in kinds, categorical, textual, item_name)


def _check_names(schema: DatasetSchema) -> None:
    # The service compares names without their underscores; filters resolve columns in any case.
    seen: dict[str, str] = {}
    for field in schema.fields:
        other = seen.setdefault(field.name.replace("_", "").upper(), field.name)
        if other is not field.name:
            raise SchemaError(f"field {field.name}: its name differs from {other} in case or underscores only")


def _check_keys(schema: DatasetSchema, rules: _Rules) -> None:
    fields = {field.name: field for field in schema.fields}
    for name, types in rules.required.items():
        field = fields.get(name)
        if field is None:
            raise SchemaError(f"field {name} is missing: {schema.type_name} requires {', '.join(rules.required)}")
        if field.type not in types or field.nullable:
            raise SchemaError(f"field {name}: it must be {types[0]} and not nullable")
        if field.categorical or field.textual:
            raise SchemaError(f"field {name}: a required field cannot be categorical or textual")
    for name, types in rules.reserved.items():
        if (field := fields.get(name)) is None:
            continue
        if field.type not in types:
            raise SchemaError(f"field {name}: {name} is a reserved name; its type must be {' or '.join(types)}")
        if name == "EVENT_TYPE" and (field.categorical or field.textual):
            raise SchemaError("field EVENT_TYPE: it cannot be categorical or textual")


def _check_metadata(schema: DatasetSchema, rules: _Rules) -> None:
    metadata = schema.metadata
    if rules.needs_metadata and len(schema.fields) <= len(rules.required):
        raise SchemaError(f"{schema.type_name} needs at least one metadata field beside {', '.join(rules.required)}")
    if len(metadata) > rules.most_metadata:
        raise SchemaError(
            f"{schema.type_name} has {len(metadata)} metadata fields; the service takes {rules.most_metadata}"
        )
    textual = [field.name for field in metadata if field.textual]
    if textual and schema.dataset_type != "ITEMS":
        raise SchemaError(f"field {textual[0]}: only Items can have a textual field")
    if len(textual) > 1:
        raise SchemaError(f"fields {', '.join(textual)}: Items can have one textual field")
    named = [field.name for field in schema.fields if field.item_name]
    if len(named) > 1:
        raise SchemaError(f"fields {', '.join(named)}: Items can have one field with itemName")
