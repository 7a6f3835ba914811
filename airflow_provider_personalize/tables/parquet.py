"""Blocks of columns -> one Parquet file, a row group at a time. Needs pyarrow, the extra ``[parquet]``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

from airflow_provider_personalize._compat import AirflowOptionalProviderFeatureException
from airflow_provider_personalize.batch.table import ColumnType, TableShape

# Rows of a row group: what a writer holds, and what a reader can skip.
_GROUP_ROWS = 500_000


def write_parquet(stream: IO[bytes], shape: TableShape, blocks: Iterable[list[list[Any]]]) -> None:
    """Write the whole file; without blocks it has columns and no rows.

    :raises AirflowOptionalProviderFeatureException: when pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise AirflowOptionalProviderFeatureException(
            f"Writing Parquet needs pyarrow ({error}). Run: pip install 'airflow-provider-personalize[parquet]'"
        ) from error
    types = {
        ColumnType.TEXT: pa.string(),
        ColumnType.LONG_TEXT: pa.string(),
        ColumnType.INTEGER: pa.int32(),
        ColumnType.NUMBER: pa.float64(),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in shape.columns.items()])
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        held: list[Any] = []
        rows = 0
        for block in blocks:
            held.append(pa.record_batch(block, schema=schema))
            rows += len(block[0])
            if rows >= _GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(held, schema), row_group_size=rows)
                held, rows = [], 0
        if held:
            writer.write_table(pa.Table.from_batches(held, schema), row_group_size=rows)
