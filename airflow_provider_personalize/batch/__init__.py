"""The batch files of Amazon Personalize as values: a row in, a row out, and the two small languages inside them.

==========================  ==========================================================================================
``style``                   the two ways in which the service spaces its JSON
``rows``, ``reader``        input rows: what each recipe takes, lines -> checked rows, a stream -> blocks
``scores``, ``writer``      output rows: bytes as the service writes them
``output``                  output rows read back, in every shape that the service or its documents ever had
``filter_expression``       filter text -> tree
``filter_values``           the ``filterValues`` of a row -> values
``attribute_query``         ``itemAttributes`` text -> tree
==========================  ==========================================================================================

Nothing here knows Airflow, AWS clients, arrays or files: streams and bytes come in, values and bytes go out.
"""
