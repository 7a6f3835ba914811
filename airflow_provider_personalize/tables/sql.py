"""Blocks of columns -> a table in any database that an Airflow connection of common-sql leads to.

What a run wrote before is deleted and what it writes now inserted in one transaction: readers see the old rows until
they see the new ones, and a task that runs twice leaves one set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow_provider_personalize.batch.table import RUN_KEY, ColumnType, TableShape
from airflow_provider_personalize.exceptions import PersonalizeInputError

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

_TABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*){0,2}", re.ASCII)
# An id has at most 256 characters of at most 4 bytes, and some databases count bytes.
_TYPES = {
    ColumnType.TEXT: "VARCHAR(1024)",
    ColumnType.LONG_TEXT: "VARCHAR(4000)",
    ColumnType.INTEGER: "INTEGER",
    ColumnType.NUMBER: "DOUBLE PRECISION",
}
_ROWS_A_STATEMENT = 5000


class SqlTable:
    """One table. ``name`` may have a schema and a catalog before it.

    :raises PersonalizeInputError: when ``name`` is no plain name.
    """

    def __init__(self, hook: DbApiHook, name: str, shape: TableShape) -> None:
        if not _TABLE.fullmatch(name):
            raise PersonalizeInputError(
                f"table {name!r} is no name of a table: letters, digits and underscores, with dots between its parts."
            )
        self._hook = hook
        self._name = name
        self._columns = {self._quoted(column): kind for column, kind in shape.columns.items()}

    def create_if_absent(self) -> None:
        """Create the table with columns of portable types, unless it can be selected from."""
        if self._exists():
            return
        columns = ", ".join(f"{column} {_TYPES[kind]}" for column, kind in self._columns.items())
        try:
            self._hook.run(f"CREATE TABLE {self._name} ({columns})", autocommit=True)
        except Exception:
            # Another task may have created it meanwhile.
            if not self._exists():
                raise

    def replace_run(self, run_key: str, blocks: Iterable[list[list[Any]]]) -> None:
        """Delete the run's rows and insert ``blocks``, in one transaction."""
        mark = self._hook.placeholder
        insert = (
            f"INSERT INTO {self._name} ({', '.join(self._columns)}) VALUES ({', '.join([mark] * len(self._columns))})"
        )
        with closing(self._hook.get_conn()) as connection:
            if self._hook.supports_autocommit:
                self._hook.set_autocommit(connection, False)
            try:
                with closing(connection.cursor()) as cursor:
                    cursor.execute(f"DELETE FROM {self._name} WHERE {self._quoted(RUN_KEY)} = {mark}", (run_key,))
                    for block in blocks:
                        for start in range(0, len(block[0]), _ROWS_A_STATEMENT):
                            end = start + _ROWS_A_STATEMENT
                            cursor.executemany(insert, list(zip(*(column[start:end] for column in block), strict=True)))
                connection.commit()
            except BaseException:
                connection.rollback()
                raise

    def _exists(self) -> bool:
        # The standard has no way to ask; a select that must find nothing is one that every database knows.
        try:
            self._hook.get_first(f"SELECT 1 FROM {self._name} WHERE 1 = 0")
        except Exception:
            return False
        return True

    def _quoted(self, column: str) -> str:
        """``rank`` is a reserved word in some databases."""
        return str(self._hook.dialect.escape_word(column))
