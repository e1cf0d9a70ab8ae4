"""What the body of a step can find out about its attempt."""

from hashlib import blake2b
from typing import NamedTuple

from durable_async.logs import DurableLogger


class StepContext(NamedTuple):
    """The running attempt of a step. :func:`durable_async.current_step` returns it to the step's body.

    :ivar attempt: 1-based
    """

    execution_arn: str
    operation_id: str
    name: str | None
    parent_id: str | None
    attempt: int

    @property
    def idempotency_key(self) -> str:
        """64 hexadecimal digits that stay the same over all attempts, crashes and replays of this step, and differ
        between steps and executions: the value for an ``Idempotency-Key`` header."""
        return blake2b(f"{self.execution_arn}\n{self.operation_id}".encode(), digest_size=32).hexdigest()

    @property
    def logger(self) -> DurableLogger:
        """A logger that adds the execution, operation and attempt to its records. It is never silent: no body runs
        again on a replay."""
        return DurableLogger(self._log_fields, _never)

    def _log_fields(self) -> dict[str, object]:
        fields: dict[str, object] = {"executionArn": self.execution_arn, "operationId": self.operation_id}
        if self.parent_id is not None:
            fields["parentId"] = self.parent_id
        if self.name is not None:
            fields["operationName"] = self.name
        fields["attempt"] = self.attempt
        return fields


def _never() -> bool:
    return False
