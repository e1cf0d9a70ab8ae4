"""What is told of an execution, in the member names of Lambda's API. Times are epoch seconds."""

from __future__ import annotations

from typing import Any, Literal, Required, TypeAlias, TypedDict

from durable_async._wire.operations import ErrorObject

Status: TypeAlias = Literal["RUNNING", "PAUSING", "PAUSED", "SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED"]


class DurableConfig(TypedDict):
    ExecutionTimeout: int
    RetentionPeriodInDays: int


class PauseDetails(TypedDict, total=False):
    PauseRequestTimestamp: Required[float]
    ExecutionTimeoutPaused: Required[bool]
    Reason: str


class ExecutionDescription(TypedDict, total=False):
    """What ``GetDurableExecution`` answers. Input and result are JSON text, as they are recorded."""

    DurableExecutionArn: Required[str]
    DurableExecutionName: Required[str]
    FunctionArn: Required[str]
    StartTimestamp: Required[float]
    Status: Required[Status]
    Version: Required[str]
    ExecutionDataIncluded: Required[bool]
    DurableConfig: Required[DurableConfig]
    InputPayload: str
    Result: str
    Error: ErrorObject
    EndTimestamp: float
    ExpectedExecutionTimeoutTimestamp: float
    PauseDetails: PauseDetails


class HistoryEvent(TypedDict, total=False):
    """An event of ``GetDurableExecutionHistory``. Its details are in the one member that is named after its type."""

    EventType: Required[str]
    EventId: Required[int]
    EventTimestamp: Required[float]
    Id: str
    Name: str
    SubType: str
    ParentId: str
    ExecutionStartedDetails: dict[str, Any]
    ExecutionSucceededDetails: dict[str, Any]
    ExecutionFailedDetails: dict[str, Any]
    ExecutionTimedOutDetails: dict[str, Any]
    ExecutionStoppedDetails: dict[str, Any]
    ExecutionPausedDetails: dict[str, Any]
    ExecutionResumedDetails: dict[str, Any]
    ExecutionRedrivenDetails: dict[str, Any]
    ExecutionCancellationRequestedDetails: dict[str, Any]
    ContextStartedDetails: dict[str, Any]
    ContextSucceededDetails: dict[str, Any]
    ContextFailedDetails: dict[str, Any]
    StepStartedDetails: dict[str, Any]
    StepSucceededDetails: dict[str, Any]
    StepFailedDetails: dict[str, Any]
    WaitStartedDetails: dict[str, Any]
    WaitSucceededDetails: dict[str, Any]
    WaitCancelledDetails: dict[str, Any]
    CallbackStartedDetails: dict[str, Any]
    CallbackSucceededDetails: dict[str, Any]
    CallbackFailedDetails: dict[str, Any]
    CallbackTimedOutDetails: dict[str, Any]
    ChainedInvokeStartedDetails: dict[str, Any]
    ChainedInvokeSucceededDetails: dict[str, Any]
    ChainedInvokeFailedDetails: dict[str, Any]
    ChainedInvokeTimedOutDetails: dict[str, Any]
    ChainedInvokeStoppedDetails: dict[str, Any]
    InvocationCompletedDetails: dict[str, Any]
