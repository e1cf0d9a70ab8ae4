"""Operations and updates, in the shapes in which they cross the wire.

They are plain dicts, typed here and nowhere converted: a replay that visits ten operations of ten thousand pays for
ten. Timestamps are whole epoch milliseconds in an envelope and epoch seconds with a fraction in an API response
(``timestamps`` reads both). Members may be absent, and a reader must not fail on a type or status that it does not
know: the service model grows.

Source: the ``lambda`` service model of botocore (``Operation``, ``OperationUpdate``, ``ErrorObject``).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Required, TypedDict


class OperationType(StrEnum):
    EXECUTION = "EXECUTION"
    CONTEXT = "CONTEXT"
    STEP = "STEP"
    WAIT = "WAIT"
    CALLBACK = "CALLBACK"
    CHAINED_INVOKE = "CHAINED_INVOKE"


class OperationStatus(StrEnum):
    STARTED = "STARTED"
    PENDING = "PENDING"
    READY = "READY"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    STOPPED = "STOPPED"


TERMINAL: frozenset[str] = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT", "STOPPED"})


class Action(StrEnum):
    START = "START"
    SUCCEED = "SUCCEED"
    FAIL = "FAIL"
    RETRY = "RETRY"
    CANCEL = "CANCEL"


class SubType(StrEnum):
    STEP = "Step"
    WAIT = "Wait"
    CALLBACK = "Callback"
    CHAINED_INVOKE = "ChainedInvoke"
    RUN_IN_CHILD_CONTEXT = "RunInChildContext"
    WAIT_FOR_CALLBACK = "WaitForCallback"
    WAIT_FOR_CONDITION = "WaitForCondition"
    MAP = "Map"
    MAP_ITERATION = "MapIteration"
    PARALLEL = "Parallel"
    PARALLEL_BRANCH = "ParallelBranch"


class ErrorObject(TypedDict, total=False):
    ErrorType: str
    ErrorMessage: str
    ErrorData: str
    StackTrace: list[str]


class ExecutionDetails(TypedDict, total=False):
    InputPayload: str


class ContextDetails(TypedDict, total=False):
    ReplayChildren: bool
    Result: str
    Error: ErrorObject


class StepDetails(TypedDict, total=False):
    Attempt: int  # attempts that ended; the running one is Attempt + 1
    NextAttemptTimestamp: float
    Result: str
    Error: ErrorObject


class WaitDetails(TypedDict, total=False):
    ScheduledEndTimestamp: float


class CallbackDetails(TypedDict, total=False):
    CallbackId: str
    Result: str
    Error: ErrorObject


class ChainedInvokeDetails(TypedDict, total=False):
    Result: str
    Error: ErrorObject


class Operation(TypedDict, total=False):
    """What the service knows of one operation."""

    Id: Required[str]
    Type: Required[str]
    Status: Required[str]
    ParentId: str
    Name: str
    SubType: str
    StartTimestamp: float
    EndTimestamp: float
    StartMicroseconds: int  # in envelopes of our own service: the part of StartTimestamp below a millisecond, if any
    EndMicroseconds: int
    ExecutionDetails: ExecutionDetails
    ContextDetails: ContextDetails
    StepDetails: StepDetails
    WaitDetails: WaitDetails
    CallbackDetails: CallbackDetails
    ChainedInvokeDetails: ChainedInvokeDetails


class StepOptions(TypedDict, total=False):
    NextAttemptDelaySeconds: int


class WaitOptions(TypedDict, total=False):
    WaitSeconds: int


class ContextOptions(TypedDict, total=False):
    ReplayChildren: bool


class CallbackOptions(TypedDict, total=False):
    TimeoutSeconds: int
    HeartbeatTimeoutSeconds: int


class ChainedInvokeOptions(TypedDict, total=False):
    FunctionName: Required[str]
    TenantId: str
    XAmznTraceId: str


class UpdateDetails(TypedDict, total=False):
    """What an update says besides which operation it is of and what happened."""

    Payload: str
    Error: ErrorObject
    ContextOptions: ContextOptions
    StepOptions: StepOptions
    WaitOptions: WaitOptions
    CallbackOptions: CallbackOptions
    ChainedInvokeOptions: ChainedInvokeOptions


class OperationUpdate(UpdateDetails, total=False):
    """What an SDK asks the service to record. Absent members are left out, never null."""

    Id: Required[str]
    Type: Required[str]
    Action: Required[str]
    ParentId: str
    Name: str
    SubType: str


class ExecutionState(TypedDict, total=False):
    """A part of the record: ``NextMarker`` absent, null or empty means that nothing follows."""

    Operations: Required[list[Operation]]
    NextMarker: str | None


class CheckpointResult(TypedDict, total=False):
    """The service's answer to a checkpoint. Without a token this invocation may write no more."""

    CheckpointToken: str | None
    NewExecutionState: Required[ExecutionState]
