"""The service's limits. Sizes are bytes, counts are items, durations are seconds.

Source: the constraints of botocore's ``lambda`` model, and the quotas of the Lambda developer guide. The service does
not publish its limits for one checkpoint call; those two are what the official SDKs keep.
"""

from __future__ import annotations

PAYLOAD_BYTES = 1024 * 1024  # of one operation's result, state or input
ERROR_BYTES = 32 * 1024  # of one error object, as JSON
RESPONSE_BYTES = 6 * 1024 * 1024 - 50  # of a handler's answer; Lambda's limit less the envelope
CHECKPOINT_BYTES = 750 * 1024
CHECKPOINT_UPDATES = 250
STATE_PAGE_ITEMS = 1000
CONTEXT_RESULT_BYTES = 256 * 1024  # above it a context's children are replayed instead
NAME_LENGTH = 256  # printable ASCII
TENANT_CHARACTERS = "._:/=+-@ "  # besides letters and digits
TENANT_PATTERN = r"[a-zA-Z0-9._:/=+\-@ ]{1,256}"
REASON_LENGTH = 1024  # of a pause or a resume
DELAY_SECONDS = 31_622_400  # 366 days: the longest wait and the longest retry delay
CALLBACK_TIMEOUT_SECONDS = 99_999_999
SCHEMA_CHARACTERS = 16 * 1024  # of the schema of a callback's answer
