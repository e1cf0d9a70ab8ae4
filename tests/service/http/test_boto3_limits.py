"""How large things may be: at the byte, what still goes and what does not."""

import json

import pytest
from botocore.exceptions import ClientError

from tests.service.http.http_support import execution_path, invoke, result_of

MIB = 1024 * 1024


def text_of(size, letter="x"):
    """A text whose UTF-8 has ``size`` bytes."""
    bytes_each = len(letter.encode())
    return letter * (size // bytes_each) + "x" * (size % bytes_each)


def error_of(size):
    """An error whose JSON has ``size`` bytes."""
    around = len(json.dumps({"ErrorType": "T", "ErrorMessage": ""}))
    return {"ErrorType": "T", "ErrorMessage": "x" * (size - around)}


def refusal_of(call, **arguments):
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    response = refused.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


STEP = {"Id": "1", "Type": "STEP"}
RETRY = {**STEP, "Action": "RETRY", "StepOptions": {"NextAttemptDelaySeconds": 5}}
INVOKED = {
    "Id": "1",
    "Type": "CHAINED_INVOKE",
    "Action": "START",
    "ChainedInvokeOptions": {"FunctionName": "plain"},
}


@pytest.mark.parametrize(
    ("update", "limit", "what"),
    [
        pytest.param({**STEP, "Action": "SUCCEED"}, MIB, "STEP output payload", id="a step's result"),
        pytest.param(RETRY, MIB, "STEP output payload", id="a step's state"),
        pytest.param(
            {"Id": "1", "Type": "CONTEXT", "Action": "SUCCEED"}, MIB, "CONTEXT output payload", id="a context's result"
        ),
        pytest.param(INVOKED, MIB, "CHAINED_INVOKE input payload", id="an input"),
        pytest.param(
            {"Id": "1", "Type": "EXECUTION", "Action": "SUCCEED"},
            6 * MIB,
            "Execution output payload",
            id="an execution's result",
        ),
    ],
)
@pytest.mark.parametrize("letter", ["x", "é", "€", "😀"])
def test_payloads(client, held, update, limit, what, letter):
    arn, token = held["DurableExecutionArn"], held["CheckpointToken"]

    def arguments(size):
        sized = {**update, "Payload": text_of(size, letter)}
        return {"DurableExecutionArn": arn, "CheckpointToken": token, "Updates": [sized]}

    refusal = refusal_of(client.checkpoint_durable_execution, **arguments(limit + 1))
    told = f"{what} size must be less than or equal to {limit} bytes."
    assert refusal == ("InvalidParameterValueException", 400, told)
    client.checkpoint_durable_execution(**arguments(limit))  # the token is still good


@pytest.mark.parametrize(
    "update",
    [{**STEP, "Action": "FAIL"}, RETRY, {"Id": "1", "Type": "CONTEXT", "Action": "FAIL"}],
    ids=lambda update: f"{update['Type']}-{update['Action']}",
)
def test_errors_that_a_handler_records(client, held, update):
    arn, token = held["DurableExecutionArn"], held["CheckpointToken"]

    def arguments(size):
        return {"DurableExecutionArn": arn, "CheckpointToken": token, "Updates": [{**update, "Error": error_of(size)}]}

    code, status, message = refusal_of(client.checkpoint_durable_execution, **arguments(32 * 1024 + 1))
    assert (code, status, "32768 bytes" in message) == ("InvalidParameterValueException", 400, True)
    client.checkpoint_durable_execution(**arguments(32 * 1024))


def test_errors_from_outside(client, held, callback_of):
    _, callback_id = callback_of()
    arn = held["DurableExecutionArn"]
    for call, where in (
        (client.send_durable_execution_callback_failure, {"CallbackId": callback_id}),
        (client.stop_durable_execution, {"DurableExecutionArn": arn}),
    ):
        code, status, message = refusal_of(call, **where, Error=error_of(MIB + 1))
        assert (code, status, "1048576 bytes" in message) == ("InvalidParameterValueException", 400, True)
        call(**where, Error=error_of(MIB))
    assert client.get_durable_execution(DurableExecutionArn=arn)["Error"] == error_of(MIB)


@pytest.mark.parametrize("letter", ["x", "€"])
def test_results_of_callbacks(server, client, callback_of, letter):
    arn, callback_id = callback_of()
    too_large = text_of(MIB + 1, letter).encode()
    code, status, _ = refusal_of(
        client.send_durable_execution_callback_success, CallbackId=callback_id, Result=too_large
    )
    assert (code, status) == ("InvalidParameterValueException", 400)
    client.send_durable_execution_callback_success(CallbackId=callback_id, Result=text_of(MIB, letter).encode())
    assert result_of(server, client, arn) == text_of(MIB, letter)


@pytest.mark.parametrize("function", ["durable", "plain"])
@pytest.mark.parametrize("kind", ["RequestResponse", "Event"])
def test_events(client, function, kind):
    def arguments(size):
        event = b'{"do": "nothing", "with": "' + b"x" * (size - 29) + b'"}'
        return {"FunctionName": f"{function}:$LATEST", "InvocationType": kind, "Payload": event}

    code, status, _ = refusal_of(client.invoke, **arguments(6 * MIB + 1))
    assert (code, status) == ("RequestTooLargeException", 413)
    response = client.invoke(**arguments(6 * MIB))
    assert response["StatusCode"] == (200 if kind == "RequestResponse" else 202)
    assert "FunctionError" not in response
    response["Payload"].read()


@pytest.mark.parametrize(
    ("member", "least", "most"),
    [
        ("NextAttemptDelaySeconds", 1, 31_622_400),
        ("WaitSeconds", 1, 31_622_400),
        ("TimeoutSeconds", 0, 99_999_999),
        ("HeartbeatTimeoutSeconds", 0, 99_999_999),
    ],
)
def test_seconds(client, held, member, least, most):
    arn, token = held["DurableExecutionArn"], held["CheckpointToken"]
    kind, action, options = {
        "NextAttemptDelaySeconds": ("STEP", "RETRY", "StepOptions"),
        "WaitSeconds": ("WAIT", "START", "WaitOptions"),
        "TimeoutSeconds": ("CALLBACK", "START", "CallbackOptions"),
        "HeartbeatTimeoutSeconds": ("CALLBACK", "START", "CallbackOptions"),
    }[member]

    def update(number, seconds):
        return {"Id": f"{number}", "Type": kind, "Action": action, options: {member: seconds}}

    where = {"DurableExecutionArn": arn, "CheckpointToken": token}
    code, status, message = refusal_of(
        client.checkpoint_durable_execution, **where, Updates=[update(1, least), update(2, most + 1)]
    )
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert f"updates.2.member.{options[0].lower()}{options[1:]}" in message
    assert f"less than or equal to {most}" in message
    client.checkpoint_durable_execution(**where, Updates=[update(1, least), update(2, most)])


@pytest.mark.parametrize(
    ("member", "longest"), [("Id", 64), ("Name", 256), ("SubType", 32)], ids=["id", "name", "sub type"]
)
def test_names_of_operations(client, held, member, longest):
    where = {"DurableExecutionArn": held["DurableExecutionArn"], "CheckpointToken": held["CheckpointToken"]}
    step = {**STEP, "Action": "START"}
    code, _, message = refusal_of(
        client.checkpoint_durable_execution, **where, Updates=[{**step, member: "x" * (longest + 1)}]
    )
    assert (code, f"less than or equal to {longest}" in message) == ("InvalidParameterValueException", True)
    client.checkpoint_durable_execution(**where, Updates=[{**step, member: "x" * longest}])


def test_names_of_executions(client):
    code, _, _ = refusal_of(
        client.invoke, FunctionName="durable", Qualifier="1", Payload=b"1", DurableExecutionName="x" * 65
    )
    assert code == "InvalidParameterValueException"
    assert "FunctionError" not in invoke(client, 1, DurableExecutionName="x" * 64)


def test_reasons(server, held):
    arn = held["DurableExecutionArn"]
    for verb in ("pause", "resume"):
        path = execution_path(arn, verb)
        assert server.send("POST", path, json.dumps({"Reason": "é" * 1025}).encode())[0] == 400
        assert server.send("POST", path, json.dumps({"Reason": "é" * 1024}).encode())[0] == 202


def test_any_number_of_updates(client, held):
    """Lambda names no bound but that of its payloads; SDKs send 250 at most."""
    where = {"DurableExecutionArn": held["DurableExecutionArn"], "CheckpointToken": held["CheckpointToken"]}
    steps = [{"Id": f"{n}", "Type": "STEP", "Action": "SUCCEED", "Payload": "x" * 300_000} for n in range(100)]
    answer = client.checkpoint_durable_execution(**where, Updates=steps)
    assert len(answer["NewExecutionState"]["Operations"]) == 100
