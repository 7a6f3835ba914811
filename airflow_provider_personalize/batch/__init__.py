"""The batch files of Amazon Personalize as values: a row in, a row out, and the two small languages inside them.

==========================  ==========================================================================================
``style``                   the two ways in which the service spaces its JSON
``recipes``                 what a recipe means for batch files: its rows, its kind of job, the quotas
``rows``, ``reader``        input rows: what each recipe takes, lines -> checked rows, a stream -> blocks
``scores``, ``writer``      output rows: bytes as the service writes them
``output``                  output rows read back, in every shape that the service or its documents ever had
``validation``              the input of a job, checked before it runs: files -> a report
``summary``                 the output of a job against its input: files -> counts
``digests``, ``findings``   what both count with: equal values, and messages that say the same
``filter_expression``       filter text -> tree
``filter_values``           the ``filterValues`` of a row -> values
``placeholders``            what a filter asks of them
``attribute_query``         ``itemAttributes`` text -> tree
==========================  ==========================================================================================

Nothing here knows Airflow, AWS clients, arrays or files: streams and bytes come in, values and bytes go out.
"""
