"""Where the rows of a job's output go: blocks of columns (`batch.table`) -> a Parquet file, or a database."""
