"""Is the service there: region, credentials, and an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

from durable_async.cli.connect import Target, connected, open_session, region_of
from durable_async.cli.exits import Unreachable
from durable_async.cli.findings import Finding, broken, doubtful, well
from durable_async.errors import ServiceCallError

_SECONDS = 5.0  # for an answer
_PROBE = "durable-async-doctor"  # a function that nobody has


async def check_service(target: Target) -> AsyncIterator[Finding]:
    """Without an endpoint AWS is asked, if there are a region and credentials for it."""
    try:
        session = open_session(target)
        region, credentials = region_of(target, session), await session.get_credentials()
    except (BotoCoreError, Unreachable) as error:
        yield broken("credentials", str(error), "mend the AWS configuration, or choose another --profile")
        return
    if target.endpoint is None and not (region and credentials):
        missing = " and ".join(what for what, there in (("region", region), ("credentials", credentials)) if not there)
        advice = "set AWS_REGION and AWS_PROFILE, if you use Lambda; give --endpoint or --store, if you do not"
        yield doubtful("aws", f"no {missing}", advice)
        return
    yield well("region", str(region))
    if not credentials:
        yield broken("credentials", "none", "set AWS_PROFILE; or DURABLE_ASYNC_TOKEN, if the service asks for one")
        return
    yield well("credentials", f"found ({credentials.method})")
    yield await _answer(target)


async def _answer(target: Target) -> Finding:
    place = str(target)
    try:
        async with asyncio.timeout(_SECONDS), connected(target) as client:
            await client.call("ListDurableExecutionsByFunction", FunctionName=_PROBE, MaxItems=1)
    except TimeoutError:
        return broken("service", f"{place} gives no answer in {_SECONDS:g} s", "check its address, and the way to it")
    except ServiceCallError as error:
        if error.code == "ResourceNotFoundException":
            return well("service", f"{place} answers")
        if error.status is None:
            return broken("service", error.message, "check its address, and whether it runs")
        advice = (
            "check DURABLE_ASYNC_TOKEN, or credentials and their rights" if error.status < 500 else "look at its log"
        )
        return broken("service", f"{place} refuses: {error.message} ({error.code})", advice)
    return well("service", f"{place} answers")
