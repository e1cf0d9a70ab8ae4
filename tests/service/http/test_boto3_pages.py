"""Pages as boto3 asks for them: how long they are, how they go on, and where they end."""

from functools import partial
from itertools import chain

import pytest
from botocore.exceptions import ClientError

from tests.service.http.http_support import INVOKE, execution_path

STEPS = 1100  # and one event and one operation of the execution itself before them
LISTED = 105


@pytest.fixture(scope="module")
def recorded(server, client):
    """The envelope of an invocation that has recorded many steps, with the token as it is now."""
    _, headers, _ = server.send("POST", INVOKE, b'{"do": "hold"}', {"X-Amz-Invocation-Type": "Event"})
    arn = headers["X-Amz-Durable-Execution-Arn"]
    held = server.until(lambda: server.functions.held.get(arn))
    steps = [{"Id": f"{n}", "Type": "STEP", "Action": "SUCCEED", "Name": f"{n}"} for n in range(1, STEPS + 1)]
    answer = client.checkpoint_durable_execution(
        DurableExecutionArn=arn, CheckpointToken=held["CheckpointToken"], Updates=steps
    )
    assert len(answer["NewExecutionState"]["Operations"]) == STEPS
    return arn, answer["CheckpointToken"]


@pytest.fixture(scope="module")
def listed(server):
    async def start():
        for n in range(LISTED):
            await server.service.invoke("listed", b'{"do": "nothing"}', qualifier="1", execution_name=f"{n}")
        await server.service.wait((await server.service.list_executions("listed", max_items=1)).items[0].arn)

    server.portal.call(start)
    return [f"{n}" for n in reversed(range(LISTED))]


@pytest.fixture(params=["history", "state", "list"])
def paged(request, client, recorded, listed):
    """An operation that answers in pages: how to call it, the member with the items, how an item is told, and all."""
    arn, token = recorded
    steps = [str(n) for n in range(1, STEPS + 1)]
    match request.param:
        case "history":
            call = partial(client.get_durable_execution_history, DurableExecutionArn=arn)
            return call, "Events", lambda event: event.get("Name"), [client_name(client, arn), *steps]
        case "state":
            call = partial(client.get_durable_execution_state, DurableExecutionArn=arn, CheckpointToken=token)
            return call, "Operations", lambda operation: operation.get("Name"), [client_name(client, arn), *steps]
        case _:
            call = partial(client.list_durable_executions_by_function, FunctionName="listed")
            return call, "DurableExecutions", lambda item: item["DurableExecutionName"], listed


def client_name(client, arn):
    return client.get_durable_execution(DurableExecutionArn=arn)["DurableExecutionName"]


@pytest.mark.parametrize("asked", [None, 0, 1, 99, 100, 101, 1000])
def test_a_page_is_as_long_as_asked_or_a_hundred(paged, asked):
    call, member, tell, everything = paged
    page = call(**({} if asked is None else {"MaxItems": asked}))
    assert [tell(item) for item in page[member]] == everything[: asked or 100]
    assert bool(page.get("NextMarker")) == (len(everything) > (asked or 100))


@pytest.mark.parametrize("asked", [1001, 2**31 - 1])
def test_a_page_of_more_than_a_thousand_is_refused(paged, asked):
    call, *_ = paged
    with pytest.raises(ClientError, match="MaxItems must be between 0 and 1000") as refused:
        call(MaxItems=asked)
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"


@pytest.mark.parametrize("size", [35, 367, 1000])
def test_pages_hold_each_item_once(paged, size):
    """1101 is three times 367, and 105 three times 35: after a last page that is full, nothing follows."""
    call, member, tell, everything = paged
    told, markers = [], [None]
    while markers[-1] is not None or not told:
        page = call(MaxItems=size, **({"Marker": markers[-1]} if markers[-1] else {}))
        told.append([tell(item) for item in page[member]])
        markers.append(page.get("NextMarker") or None)
    assert [*chain(*told)] == everything
    assert [len(page) for page in told[:-1]] == [size] * (len(told) - 1)
    assert told[-1]
    assert len({*markers}) == len(markers) - 1  # None twice


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_durable_execution_history", {}),
        ("get_durable_execution_history", {"ReverseOrder": True}),
        ("get_durable_execution_state", {}),
        ("list_durable_executions_by_function", {}),
        ("list_durable_executions_by_function", {"ReverseOrder": True}),
    ],
)
def test_botocores_paginators_come_to_an_end(client, recorded, listed, name, arguments):
    arn, token = recorded
    where = {"DurableExecutionArn": arn}
    if name.endswith("state"):
        where["CheckpointToken"] = token
    if name.startswith("list"):
        where = {"FunctionName": "listed"}
    pages = client.get_paginator(name).paginate(**where, **arguments, PaginationConfig={"PageSize": 100})
    found = pages.build_full_result()
    (member,) = {"Events", "Operations", "DurableExecutions"} & found.keys()
    assert len(found[member]) == (LISTED if name.startswith("list") else STEPS + 1)
    if member == "Events":
        ids = [event["EventId"] for event in found[member]]
        assert ids == sorted(ids, reverse=bool(arguments))
    if name.startswith("list"):
        names = [item["DurableExecutionName"] for item in found[member]]
        assert names == (listed[::-1] if arguments else listed)


def test_pages_that_are_empty(client, recorded):
    arn, _ = recorded
    beyond = client.get_durable_execution_history(DurableExecutionArn=arn, Marker="9999")
    assert (beyond["Events"], beyond.get("NextMarker")) == ([], None)
    before = client.get_durable_execution_history(DurableExecutionArn=arn, Marker="0", ReverseOrder=True)
    assert (before["Events"], before.get("NextMarker")) == ([], None)
    for filters in (
        {"FunctionName": "unused"},
        {"FunctionName": "listed", "DurableExecutionName": "unknown"},
        {"FunctionName": "listed", "Statuses": ["STOPPED", "TIMED_OUT"]},
        {"FunctionName": "listed", "Marker": "1", "DurableExecutionName": "104"},
    ):
        page = client.list_durable_executions_by_function(**filters)
        assert (page["DurableExecutions"], page.get("NextMarker")) == ([], None)


def test_a_filter_leaves_pages_full(client, listed):
    """Of items that do not match, none is counted."""
    page = client.list_durable_executions_by_function(FunctionName="listed", DurableExecutionName="3", MaxItems=1)
    assert [item["DurableExecutionName"] for item in page["DurableExecutions"]] == ["3"]
    assert not page.get("NextMarker")


def test_what_is_started_while_somebody_pages_shifts_nothing(server, client, listed):
    first = client.list_durable_executions_by_function(FunctionName="listed", MaxItems=10)
    server.portal.call(partial(server.service.invoke, "listed", b'{"do": "hold"}', qualifier="1", execution_name="new"))
    second = client.list_durable_executions_by_function(FunctionName="listed", MaxItems=10, Marker=first["NextMarker"])
    names = [item["DurableExecutionName"] for page in (first, second) for item in page["DurableExecutions"]]
    assert names == listed[:20]
    arn = client.list_durable_executions_by_function(FunctionName="listed", MaxItems=1)["DurableExecutions"][0][
        "DurableExecutionArn"
    ]
    client.stop_durable_execution(DurableExecutionArn=arn)
    assert server.send("DELETE", execution_path(arn))[0] == 202


def test_a_page_ends_at_five_megabytes(server, client):
    """Also when more items were asked for; and with data left out of the history, it need not."""
    _, headers, _ = server.send("POST", INVOKE, b'{"do": "hold"}', {"X-Amz-Invocation-Type": "Event"})
    arn = headers["X-Amz-Durable-Execution-Arn"]
    token = server.until(lambda: server.functions.held.get(arn))["CheckpointToken"]
    for n in range(6):
        update = {"Id": f"{n}", "Type": "STEP", "Action": "SUCCEED", "Payload": "x" * 1024 * 1024}
        token = client.checkpoint_durable_execution(DurableExecutionArn=arn, CheckpointToken=token, Updates=[update])[
            "CheckpointToken"
        ]
    history = client.get_durable_execution_history(DurableExecutionArn=arn, MaxItems=1000)
    assert len(history["Events"]) < 7
    assert history["NextMarker"]
    bare = client.get_durable_execution_history(DurableExecutionArn=arn, MaxItems=1000, IncludeExecutionData=False)
    assert len(bare["Events"]) == 7
    state = client.get_durable_execution_state(DurableExecutionArn=arn, CheckpointToken=token, MaxItems=1000)
    rest = client.get_durable_execution_state(
        DurableExecutionArn=arn, CheckpointToken=token, Marker=state["NextMarker"]
    )
    assert len(state["Operations"]) + len(rest["Operations"]) == 7
