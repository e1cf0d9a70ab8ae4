"""Lambda's own runtime: AWS's runtime client around a handler, and AWS's emulator of what Lambda puts around both."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from .environments import RUNTIME, runtime_emulator
from .processes import aws_environment, free_port, running

FUNCTION = "function"
"""What the only function of such a runtime is called."""


@asynccontextmanager
async def lambda_runtime(
    handler: str, *paths: Path, endpoint: str, log: Path, python: str = sys.executable
) -> AsyncGenerator[str]:
    """The URL at which ``handler`` is invoked, as ``package.module.function``.

    :param paths: where its modules are found, besides what ``python`` has
    :param endpoint: of the Lambda API that it calls
    """
    port, api_port = free_port(), free_port()
    path = os.pathsep.join(map(str, [*paths, RUNTIME.packages]))
    async with running(
        *(str(runtime_emulator()), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
        *("--runtime-api-address", f"127.0.0.1:{api_port}", python, "-m", "awslambdaric", handler),
        port=port,
        environment=aws_environment(endpoint) | {"AWS_LAMBDA_FUNCTION_NAME": FUNCTION, "PYTHONPATH": path},
        log=log,
    ):
        yield f"http://127.0.0.1:{port}"
