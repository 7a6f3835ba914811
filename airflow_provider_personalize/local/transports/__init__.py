"""Ways to reach the wire: in-process boto3, in-process aiobotocore, HTTP."""
