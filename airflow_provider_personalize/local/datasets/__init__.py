"""Avro schemas and CSV files in, columnar interactions, items and users out.

``schema`` knows nothing of arrays: the control plane uses it. ``csv_import`` and ``dataset`` need polars.
"""
