"""What a seed does to a run."""

from __future__ import annotations

from enum import StrEnum
from random import Random
from typing import Self

import attrs

from durable_async.service.store.sqlite.files import Durability


class Command(StrEnum):
    """What an operator does to an execution."""

    PAUSE = "pause, and resume later"
    STOP = "stop"
    REDRIVE = "stop, and redrive"
    CANCEL = "cancel"


@attrs.frozen
class Conditions:
    """
    :ivar embedded: True: workflows run in the service's process, and die with it; False: in worker processes
    :ivar cached: how many executions stay in memory between their invocations, in a service that runs them itself
    :ivar page: how many operations are in a page of the record
    :ivar max_inline_wait: seconds until a timer for which an invocation waits
    :ivar concurrency: of invocations; None: no limit
    :ivar executions: how many are started
    :ivar faults: how many may happen in all. After that nothing goes wrong any more, and everything must end
    :ivar likely: the probability of a fault where one is possible
    :ivar latency: seconds that a message may take; 0: some turns of the loop
    :ivar disk_latency: the same for an access to the disk
    :ivar durability: of the store
    :ivar power_fails: whether a service may die because its machine loses power, with all processes on it
    :ivar command: what an operator does to each execution; None: nothing
    """

    embedded: bool
    cached: int
    page: int
    max_inline_wait: float
    concurrency: int | None
    executions: int
    faults: int
    likely: float
    latency: float
    disk_latency: float
    durability: Durability
    power_fails: bool
    command: Command | None

    @classmethod
    def random(cls, rng: Random) -> Self:
        return cls(
            embedded=rng.random() < 0.5,
            cached=rng.choice([0, 1, 1000]),
            page=rng.choice([1, 3, 1000]),
            max_inline_wait=rng.choice([0, 0, 2, 1800]),
            concurrency=rng.choice([None, None, 1]),
            executions=rng.choice([1, 1, 2]),
            faults=rng.choice([0, 2, 6, 12]),
            likely=rng.choice([0.03, 0.1, 0.3]),
            latency=rng.choice([0, 0.01, 0.5, 3]),
            disk_latency=rng.choice([0, 0, 0.02, 1]),
            durability=rng.choice(["full", "full", "normal"]),
            power_fails=rng.random() < 0.4,
            command=rng.choice([None, None, None, *Command]),
        )
