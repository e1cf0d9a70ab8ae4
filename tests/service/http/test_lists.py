"""Lists over all functions, their filters and tags, in the API and over HTTP."""

import json
from urllib.parse import quote

import pytest

from durable_async.service.model.errors import InvalidParameterValueError
from tests.service.http.http_support import LIST, SERVERS, STORES, running_server


@pytest.fixture(scope="module", params=SERVERS, ids="-".join)
def server(request, tmp_path_factory):
    shell, store = request.param
    with running_server(shell=shell, store=STORES[store](tmp_path_factory)) as server:
        for function, name, tags in (
            ("durable", "order-1", "team=blue&region=eu"),
            ("durable", "order-2", "team=green"),
            ("durable", "refund-1", None),
            ("listed", "order-3", "team=blue&note=" + quote("a=b & c, é")),
        ):
            headers = {"X-Amz-Durable-Execution-Name": name} | ({"X-Durable-Execution-Tags": tags} if tags else {})
            status, _, _ = server.send("POST", f"/2015-03-31/functions/{function}:$LATEST/invocations", b"{}", headers)
            assert status == 200
        yield server


ALL = "/2025-12-01/durable-executions"
COUNTS = "/2025-12-01/durable-execution-counts"


def listed(server, path):
    status, _, body = server.send("GET", path)
    assert status == 200, body
    return [each["DurableExecutionName"] for each in json.loads(body)["DurableExecutions"]]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["order-3", "refund-1", "order-2", "order-1"]),
        ("?ReverseOrder=true&MaxItems=2", ["order-1", "order-2"]),
        ("?NamePrefix=order-", ["order-3", "order-2", "order-1"]),
        ("?Tags=team=blue", ["order-3", "order-1"]),
        ("?Tags=team=blue&Tags=region=eu", ["order-1"]),
        ("?Tags=" + quote("note=a=b & c, é"), ["order-3"]),
        ("?Statuses=SUCCEEDED&NamePrefix=ref", ["refund-1"]),
        ("?Statuses=FAILED", []),
    ],
)
def test_executions_of_all_functions_are_listed_by_filters(server, query, names):
    assert listed(server, ALL + query) == names
    of_one = [name for name in names if name != "order-3"]
    if "MaxItems" not in query:
        assert listed(server, LIST + query) == of_one


def test_executions_are_counted_by_function_and_status(server):
    def counts(query=""):
        return json.loads(server.send("GET", COUNTS + query)[2])["Functions"]

    assert counts() == [
        {"FunctionName": "durable", "Executions": {"SUCCEEDED": 3}},
        {"FunctionName": "listed", "Executions": {"SUCCEEDED": 1}},
    ]
    assert counts("?Tags=team=blue&FunctionName=listed") == [{"FunctionName": "listed", "Executions": {"SUCCEEDED": 1}}]
    assert counts("?Statuses=RUNNING") == []


def test_boto3_reads_what_has_tags(server):
    client = server.client()
    (found, *_) = client.list_durable_executions_by_function(FunctionName="listed")["DurableExecutions"]
    described = client.get_durable_execution(DurableExecutionArn=found["DurableExecutionArn"])
    assert described["DurableExecutionName"] == "order-3"
    body = server.send("GET", f"{ALL}/{quote(found['DurableExecutionArn'], safe='')}")[2]
    assert json.loads(body)["Tags"] == {"team": "blue", "note": "a=b & c, é"}


def test_an_execution_that_is_found_by_name_keeps_its_tags(server):
    path = "/2015-03-31/functions/durable:$LATEST/invocations"
    headers = {"X-Amz-Durable-Execution-Name": "order-1", "X-Durable-Execution-Tags": "team=red"}
    assert server.send("POST", path, b"{}", headers)[0] == 200
    assert listed(server, ALL + "?Tags=team=red") == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (ALL + "?Tags=blue", "'blue' is not of the form key=value."),
        (ALL + "?Statuses=NONE", "'NONE' is not a status"),
        (COUNTS + "?StartedAfter=never", "StartedAfter must be an ISO 8601 timestamp."),
        (COUNTS + "?FunctionName=nobody", "Function not found"),
    ],
)
def test_a_filter_that_is_none_is_refused(server, path, message):
    status, _, body = server.send("GET", path)
    assert status in (400, 404)
    assert message in body.decode()


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({str(number): "" for number in range(51)}, "at most 50 tags"),
        ({"": "a"}, "key of a tag"),
        ({"a=b": "a"}, "without '='"),
        ({"a" * 129: ""}, "key of a tag"),
        ({"a": "b" * 257}, "value of the tag 'a'"),
        ({"a": 1}, "value of the tag 'a' must be a text"),
        ({"a": "\n"}, "printable"),
    ],
)
def test_tags_that_break_a_rule_are_refused_and_nothing_is_started(server, tags, message):
    async def start():
        with pytest.raises(InvalidParameterValueError, match=message):
            await server.service.invoke("durable:$LATEST", b"{}", execution_name="refused", tags=tags)

    server.portal.call(start)
    assert "refused" not in listed(server, ALL)
