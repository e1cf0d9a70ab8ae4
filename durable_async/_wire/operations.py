"""Operations and updates, in the format of the wire.

They are plain dicts with types, and nothing converts them: a replay that reads ten operations of ten thousand pays for
ten. Timestamps are whole epoch milliseconds in an envelope and epoch seconds with a fraction in an API response
(``timestamps`` reads both). Members may be absent, and a reader must not fail on a type or status that it does not
know: the service model grows.

Source: the ``lambda`` service model of botocore (``Operation``, ``OperationUpdate``, ``ErrorObject``).
"""

from enum import StrEnum
from typing import Final, Required, TypedDict


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
    CLEARED = "CLEARED"  # by a redrive; used in the service of this package only, and never sent to a handler


TERMINAL: frozenset[str] = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT", "STOPPED"})

OPEN_EXECUTION: Final = ("RUNNING", "PAUSING", "PAUSED")
CLOSED_EXECUTION: Final = ("FAILED", "STOPPED", "SUCCEEDED", "TIMED_OUT")


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
    """The record of one operation."""

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
    AnswerSchema: str  # JSON Schema, as text; only for a service that says that it checks answers


class ChainedInvokeOptions(TypedDict, total=False):
    FunctionName: Required[str]
    TenantId: str
    XAmznTraceId: str
    CancelWithParent: bool  # only for a service that knows it


class UpdateDetails(TypedDict, total=False):
    """The members of an update besides the operation and the action."""

    Payload: str
    Error: ErrorObject
    ContextOptions: ContextOptions
    StepOptions: StepOptions
    WaitOptions: WaitOptions
    CallbackOptions: CallbackOptions
    ChainedInvokeOptions: ChainedInvokeOptions


class OperationUpdate(UpdateDetails, total=False):
    """A change of one operation, which the service is to record. Absent members are left out, never null."""

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
    """The service's answer to a checkpoint. Without a token, this invocation must not write again."""

    CheckpointToken: str | None
    NewExecutionState: Required[ExecutionState]
