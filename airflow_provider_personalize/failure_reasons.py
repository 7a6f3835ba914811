"""The service's failure reasons that are known, and what to do about each.

Wordings from Amazon Personalize's documented error messages and from public issue threads; the service may reword them
at any time, so only a few telling words of each are looked for.
"""

from __future__ import annotations

import re

_PATTERNS = {
    r"insufficient privileges|access ?denied|not authorized|forbidden|bucket policy": (
        "Both must allow it: the service role (role_arn) and the bucket's own policy, for the principal "
        "personalize.amazonaws.com: s3:GetObject and s3:ListBucket on the input, s3:PutObject on the output. With KMS "
        "keys also kms:Decrypt and kms:GenerateDataKey."
    ),
    r"assume.{0,20}role|trust (?:policy|relationship)": (
        "The service role must trust the principal personalize.amazonaws.com (sts:AssumeRole in its trust policy)."
    ),
    r"\bkms\b|encrypt": (
        "The service role and the key's policy must allow kms:Decrypt for the input and kms:GenerateDataKey for the "
        "output; pass the keys as input_kms_key_arn and output_kms_key_arn."
    ),
    r"invalid s3 input path|invalid data location|no ?such ?(?:key|bucket)": (
        "Look whether the input exists, in the same region, and whether the role may list it. A path is a prefix: "
        "'s3://b/in' also takes 's3://b/in-old/'."
    ),
    r"invalid s3 output path": (
        "The output must be a folder, end in '/', lie in an existing bucket of the same region, and not be the input."
    ),
    r"fewer than \d+ (?:users|interactions|items)": (
        "The dataset is too small for training, perhaps only after filtering by event type or value: import more "
        "interactions, or look at event_type and the solution's configuration."
    ),
    r"did not find any attribute to train on": (
        "The recipe needs an Items dataset with a categorical column whose values are neither all equal nor all "
        "different."
    ),
    r"event_type column": "Write event types that are neither empty nor reserved words into the interactions.",
    r"(?:malformed|invalid|not valid|parse).{0,20}json": (
        "The input must be JSON Lines: one object a line with the keys that the solution's recipe reads, UTF-8, no "
        "blank line and no list around them. See docs/row-formats.md."
    ),
}
_HINTS = tuple((re.compile(pattern, re.IGNORECASE), text) for pattern, text in _PATTERNS.items())


def hint(reason: str | None) -> str | None:
    """What to do about a failure reason; None when it is not known here."""
    return next((text for pattern, text in _HINTS if reason and pattern.search(reason)), None)
