"""Every refusal that a caller may meet, as botocore understands it, in each operation that has it."""

import base64
import json

import pytest
from botocore.exceptions import ClientError

from durable_async.service.model.errors import StoreError
from durable_async.service.store.memory import MemoryStore
from tests.service.http.http_support import execution_path, invoke, running_server

UNKNOWN_ARN = "arn:aws:lambda:us-east-1:000000000000:function:durable:$LATEST/durable-execution/unknown/unknown"
BAD_ARN = "arn:aws:lambda:us-east-1:000000000000:function:durable"
UNKNOWN_CALLBACK = base64.b64encode(b"unknown.1.secret").decode()
BAD_CALLBACK = base64.b64encode(b"none").decode()

INVALID = ("InvalidParameterValueException", 400)
MISSING = ("ResourceNotFoundException", 404)
CONFLICT = ("ResourceConflictException", 409)


def refusal_of(client, operation, **arguments):
    """The code and the status; the model knows the error, and it has a text."""
    with pytest.raises(ClientError) as refused:
        getattr(client, operation)(**arguments)
    response = refused.value.response
    code = response["Error"]["Code"]
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation])
    modelled = {shape.name: shape.metadata["error"]["httpStatusCode"] for shape in model.error_shapes}
    assert modelled[code] == response["ResponseMetadata"]["HTTPStatusCode"]
    assert type(refused.value).__name__ == code
    assert response["Error"]["Message"]
    assert response["Type"] == ("User" if modelled[code] < 500 else "Service")
    return code, modelled[code]


def raw_refusal_of(server, method, path, body=b"", headers=None):
    status, answer_headers, answer = server.send(method, path, body, headers)
    assert json.loads(answer)["Type"] == "User"
    return answer_headers["x-amzn-ErrorType"], status


@pytest.mark.parametrize(
    ("operation", "arguments", "expected"),
    [
        ("invoke", {"FunctionName": "unknown"}, MISSING),
        ("invoke", {"FunctionName": "123456789012:function:durable:1"}, MISSING),
        ("invoke", {"FunctionName": "durable"}, INVALID),
        ("invoke", {"FunctionName": "durable:1", "Qualifier": "2"}, INVALID),
        ("invoke", {"FunctionName": "durable:1", "DurableExecutionName": "a b"}, INVALID),
        ("invoke", {"FunctionName": "durable:1", "InvocationType": "Later"}, INVALID),
        ("invoke", {"FunctionName": "durable:1", "Payload": b"{"}, ("InvalidRequestContentException", 400)),
        ("checkpoint_durable_execution", {"DurableExecutionArn": UNKNOWN_ARN, "CheckpointToken": "dG9rZW4="}, INVALID),
        ("checkpoint_durable_execution", {"DurableExecutionArn": BAD_ARN, "CheckpointToken": "dG9rZW4="}, INVALID),
        ("get_durable_execution_state", {"DurableExecutionArn": UNKNOWN_ARN, "CheckpointToken": "dG9rZW4="}, INVALID),
        ("get_durable_execution_state", {"DurableExecutionArn": BAD_ARN, "CheckpointToken": "dG9rZW4="}, INVALID),
        *(
            (operation, {"DurableExecutionArn": arn}, expected)
            for operation in ("get_durable_execution", "get_durable_execution_history", "stop_durable_execution")
            for arn, expected in ((UNKNOWN_ARN, MISSING), (BAD_ARN, INVALID))
        ),
        ("list_durable_executions_by_function", {"FunctionName": "unknown"}, MISSING),
        ("list_durable_executions_by_function", {"FunctionName": "no name"}, INVALID),
        ("list_durable_executions_by_function", {"FunctionName": "durable", "Statuses": ["OPEN"]}, INVALID),
        ("list_durable_executions_by_function", {"FunctionName": "durable", "Marker": "x"}, INVALID),
        *(
            (f"send_durable_execution_callback_{end}", {"CallbackId": callback}, expected)
            for end in ("success", "failure", "heartbeat")
            for callback, expected in ((UNKNOWN_CALLBACK, MISSING), (BAD_CALLBACK, INVALID))
        ),
    ],
)
def test_what_is_unknown_and_what_is_malformed(client, operation, arguments, expected):
    assert refusal_of(client, operation, **arguments) == expected


@pytest.mark.parametrize(("method", "verb"), [("POST", "pause"), ("POST", "resume"), ("DELETE", "")])
@pytest.mark.parametrize(("arn", "expected"), [(UNKNOWN_ARN, MISSING), (BAD_ARN, INVALID)])
def test_the_same_of_operations_that_boto3_does_not_have_yet(server, method, verb, arn, expected):
    assert raw_refusal_of(server, method, execution_path(arn, verb)) == expected


def test_conflicts(server, client, held):
    arn = held["DurableExecutionArn"]
    pause, resume = execution_path(arn, "pause"), execution_path(arn, "resume")
    assert raw_refusal_of(server, "POST", resume) == CONFLICT  # it runs
    assert raw_refusal_of(server, "DELETE", execution_path(arn)) == CONFLICT
    assert server.send("POST", pause)[0] == 202
    assert raw_refusal_of(server, "POST", pause) == CONFLICT  # it is paused
    assert raw_refusal_of(server, "DELETE", execution_path(arn)) == CONFLICT
    client.stop_durable_execution(DurableExecutionArn=arn)
    assert raw_refusal_of(server, "POST", pause) == CONFLICT  # it is closed
    assert raw_refusal_of(server, "POST", resume) == CONFLICT


def test_a_name_that_is_taken(client):
    taken = {"FunctionName": "durable:1", "DurableExecutionName": "taken"}
    client.invoke(**taken, Payload=b"1")["Payload"].read()
    for kind in ("RequestResponse", "Event"):
        refusal = refusal_of(client, "invoke", **taken, Payload=b"2", InvocationType=kind)
        assert refusal == ("DurableExecutionAlreadyStartedException", 409)


@pytest.mark.parametrize("end", ["success", "failure", "heartbeat"])
def test_callbacks_that_are_over(server, client, callback_of, end):
    operation = f"send_durable_execution_callback_{end}"
    _, late = callback_of(TimeoutSeconds=5)
    _, silent = callback_of(HeartbeatTimeoutSeconds=5)
    _, done = callback_of()
    arn, orphan = callback_of()
    client.send_durable_execution_callback_success(CallbackId=done)
    client.stop_durable_execution(DurableExecutionArn=arn)
    server.advance(10)
    assert refusal_of(client, operation, CallbackId=late) == ("CallbackTimeoutException", 400)
    assert refusal_of(client, operation, CallbackId=silent) == ("CallbackTimeoutException", 400)
    assert refusal_of(client, operation, CallbackId=done) == INVALID
    assert refusal_of(client, operation, CallbackId=orphan) == INVALID


def test_a_token_is_good_once_and_while_the_execution_is_open(client, held):
    arn, token = held["DurableExecutionArn"], held["CheckpointToken"]
    where = {"DurableExecutionArn": arn, "CheckpointToken": token}
    bad_update = {"Id": "1", "Type": "WAIT", "Action": "CANCEL"}
    assert refusal_of(client, "checkpoint_durable_execution", **where, Updates=[bad_update]) == INVALID
    where["CheckpointToken"] = client.checkpoint_durable_execution(**where)["CheckpointToken"]
    client.stop_durable_execution(DurableExecutionArn=arn)
    assert refusal_of(client, "checkpoint_durable_execution", **where) == INVALID
    assert refusal_of(client, "get_durable_execution_state", **where) == INVALID


def test_a_fault_of_the_service(client):
    refusal = refusal_of(client, "invoke", FunctionName="unserializable", Payload=b"1")
    assert refusal == ("ServiceException", 500)


class FullDisk(MemoryStore):
    """Fails when told to."""

    full = False

    async def load(self, execution_id):
        if self.full:
            raise StoreError("/var/lib/orders.db: the disk is full")
        return await super().load(execution_id)


@pytest.mark.parametrize("shell", ["aiohttp", "mounted"])
def test_a_store_that_fails_is_told_without_what_is_the_operators(shell, caplog):
    store = FullDisk()
    with running_server(shell=shell, store=lambda: store) as server:
        client = server.client()
        arn = invoke(client, {"do": "nothing"})["DurableExecutionArn"]
        store.full = True
        with pytest.raises(ClientError) as failed:
            client.get_durable_execution(DurableExecutionArn=arn)
        store.full = False
        assert client.get_durable_execution(DurableExecutionArn=arn)["Status"] == "SUCCEEDED"
        client.close()
    response = failed.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == ("ServiceException", 503)
    assert response["Error"]["Message"] == "The service cannot use its store. See the service's log."
    assert "/var/lib/orders.db: the disk is full" in caplog.text
