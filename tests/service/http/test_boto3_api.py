"""The API as boto3 sees it, route by route and error by error."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from durable_async.service.http.answer import error_answer
from durable_async.service.http.dispatch import CALLS
from durable_async.service.http.routes import Operation
from durable_async.service.model.errors import ApiError
from durable_async.testing.virtual_time import START
from tests.service.http.http_support import execution_path, invoke, result_of

# --- ListFunctions ---


def test_all_functions_are_listed_and_durable_ones_have_their_configuration(client):
    functions = {function["FunctionName"]: function for function in client.list_functions()["Functions"]}
    assert functions["durable"]["DurableConfig"] == {"ExecutionTimeout": 366 * 86_400, "RetentionPeriodInDays": 14}
    assert functions["durable"]["FunctionArn"] == "arn:aws:lambda:us-east-1:000000000000:function:durable"
    assert "DurableConfig" not in functions["plain"]


# --- Invoke ---


def test_a_synchronous_invoke_returns_the_result_of_the_execution(client):
    response = invoke(client, {"order": 17})
    assert response["StatusCode"] == 200
    assert response["ExecutedVersion"] == "$LATEST"
    assert response["DurableExecutionArn"].startswith("arn:aws:lambda:us-east-1:000000000000:function:durable:$LATEST/")
    assert "FunctionError" not in response
    assert json.load(response["Payload"]) == {"order": 17}
    assert response["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "application/json"


def test_an_execution_without_result_answers_null(client):
    assert json.load(invoke(client, {"do": "nothing"})["Payload"]) is None


def test_a_failed_execution_answers_its_error(client):
    response = invoke(client, {"do": "fail"})
    assert (response["StatusCode"], response["FunctionError"]) == (200, "Unhandled")
    assert json.load(response["Payload"]) == {"ErrorType": "OrderError", "ErrorMessage": "no such order"}
    assert response["DurableExecutionArn"]


def test_a_stopped_execution_answers_the_error_given(server, client):
    with_name = {"DurableExecutionName": "stopped"}
    arn = invoke(client, {"do": "hold"}, InvocationType="Event", **with_name)["DurableExecutionArn"]
    client.stop_durable_execution(DurableExecutionArn=arn, Error={"ErrorType": "Enough"})
    response = invoke(client, {"do": "hold"}, **with_name)
    assert response["FunctionError"] == "Unhandled"
    assert json.load(response["Payload"])["ErrorType"] == "Enough"


def test_an_asynchronous_invoke_returns_the_arn_at_once(server, client):
    response = invoke(client, {"order": 18}, InvocationType="Event")
    assert response["StatusCode"] == 202
    assert response["Payload"].read() == b""
    assert result_of(server, client, response["DurableExecutionArn"]) == {"order": 18}


def test_a_dry_run_runs_nothing(server, client):
    response = invoke(client, {"never": 1}, function="plain", InvocationType="DryRun")
    assert (response["StatusCode"], response["Payload"].read()) == (204, b"")
    assert {"never": 1} not in server.functions.ran


def test_a_name_starts_one_execution(client):
    first = invoke(client, {"order": 19}, DurableExecutionName="order-19")
    again = invoke(client, {"order": 19}, DurableExecutionName="order-19")
    assert first["DurableExecutionArn"] == again["DurableExecutionArn"]
    assert json.load(again["Payload"]) == {"order": 19}
    with pytest.raises(client.exceptions.DurableExecutionAlreadyStartedException) as refused:
        invoke(client, {"order": 20}, DurableExecutionName="order-19")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert "order-19" in refused.value.response["Error"]["Message"]


def test_an_ordinary_function_answers_its_result(client):
    response = invoke(client, {"a": 1}, function="plain", TenantId="tenant 1")
    assert json.load(response["Payload"]) == {"event": {"a": 1}, "tenant": "tenant 1"}
    assert response["ExecutedVersion"] == "$LATEST"
    assert "DurableExecutionArn" not in response


def test_an_ordinary_function_that_fails_answers_as_on_lambda(client, caplog):
    response = invoke(client, {}, function="fail")
    assert (response["StatusCode"], response["FunctionError"]) == (200, "Unhandled")
    answer = json.load(response["Payload"])
    assert answer.pop("stackTrace")
    assert answer == {"errorType": "LookupError", "errorMessage": "no such order"}
    assert caplog.text == ""  # who asked has been told


@pytest.mark.parametrize("function", ["plain", "fail"])
def test_an_ordinary_function_invoked_asynchronously_runs_and_nobody_hears_of_it(server, client, function):
    response = invoke(client, {"async": function}, function=function, InvocationType="Event")
    assert response["StatusCode"] == 202
    if function == "plain":
        server.until(lambda: {"async": "plain"} in server.functions.ran)


@pytest.mark.parametrize(
    "reference", ["durable:$LATEST", "arn:aws:lambda:us-east-1:000000000000:function:durable:$LATEST"]
)
def test_a_function_has_many_names(client, reference):
    response = client.invoke(FunctionName=reference, Payload=b"{}")
    assert json.load(response["Payload"]) == {}


@pytest.mark.parametrize("kind", ["RequestResponse", "Event", "DryRun"])
def test_an_unknown_function_is_not_found(client, kind):
    with pytest.raises(client.exceptions.ResourceNotFoundException) as refused:
        invoke(client, {}, function="unknown", InvocationType=kind)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert "unknown" in refused.value.response["Error"]["Message"]


def test_a_durable_function_needs_a_qualifier(client):
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="unqualified"):
        client.invoke(FunctionName="durable", Payload=b"{}")


@pytest.mark.parametrize(("function", "kind"), [("durable", "Event"), ("plain", "RequestResponse"), ("plain", "Event")])
def test_an_event_that_is_no_json_is_refused(client, function, kind):
    with pytest.raises(client.exceptions.InvalidRequestContentException):
        client.invoke(FunctionName=function, Qualifier="$LATEST", Payload=b"{", InvocationType=kind)


# --- what an invocation calls ---


def test_checkpoint_and_state(client, held):
    arn, token = held["DurableExecutionArn"], held["CheckpointToken"]
    update = {"Id": "a", "Type": "STEP", "Action": "SUCCEED", "Name": "charge", "Payload": "5"}
    answer = client.checkpoint_durable_execution(
        DurableExecutionArn=arn, CheckpointToken=token, Updates=[update], ClientToken="c1"
    )
    (operation,) = answer["NewExecutionState"]["Operations"]
    assert operation["StepDetails"]["Result"] == "5"
    assert operation["StartTimestamp"] == START + timedelta(microseconds=1)
    again = client.checkpoint_durable_execution(
        DurableExecutionArn=arn, CheckpointToken=token, Updates=[update], ClientToken="c1"
    )
    assert again["CheckpointToken"] == answer["CheckpointToken"]
    state = client.get_durable_execution_state(
        DurableExecutionArn=arn, CheckpointToken=answer["CheckpointToken"], MaxItems=1
    )
    assert [operation["Type"] for operation in state["Operations"]] == ["EXECUTION"]
    rest = client.get_durable_execution_state(
        DurableExecutionArn=arn, CheckpointToken=answer["CheckpointToken"], Marker=state["NextMarker"]
    )
    assert [operation["Id"] for operation in rest["Operations"]] == ["a"]
    assert "NextMarker" not in rest or not rest["NextMarker"]


def test_a_stale_token_is_refused_in_the_words_that_sdks_look_for(client, held):
    arn, token = held["DurableExecutionArn"], held["CheckpointToken"]
    client.checkpoint_durable_execution(DurableExecutionArn=arn, CheckpointToken=token)
    with pytest.raises(client.exceptions.InvalidParameterValueException) as refused:
        client.checkpoint_durable_execution(DurableExecutionArn=arn, CheckpointToken=token)
    assert refused.value.response["Error"]["Message"] == "Invalid checkpoint token"
    with pytest.raises(client.exceptions.InvalidParameterValueException):
        client.get_durable_execution_state(DurableExecutionArn=arn, CheckpointToken=token)


def test_the_result_of_an_execution_may_be_large_and_need_escapes(server, client, held):
    arn = held["DurableExecutionArn"]
    payload = json.dumps("ä" * 900_000, ensure_ascii=False)  # 5.4 MB as boto3 writes it
    update = {"Id": "r", "Type": "EXECUTION", "Action": "SUCCEED", "Payload": payload}
    client.checkpoint_durable_execution(
        DurableExecutionArn=arn, CheckpointToken=held["CheckpointToken"], Updates=[update]
    )
    assert result_of(server, client, arn) == "ä" * 900_000


# --- what operators call ---


def test_an_execution_with_and_without_its_data(client):
    arn = invoke(client, {"order": 21}, DurableExecutionName="order-21")["DurableExecutionArn"]
    execution = client.get_durable_execution(DurableExecutionArn=arn)
    assert (execution["DurableExecutionName"], execution["Status"]) == ("order-21", "SUCCEEDED")
    assert json.loads(execution["InputPayload"]) == json.loads(execution["Result"]) == {"order": 21}
    assert execution["StartTimestamp"] == START
    bare = client.get_durable_execution(DurableExecutionArn=arn, IncludeExecutionData=False)
    assert not {"InputPayload", "Result"} & set(bare)


def test_history_pages_in_both_directions(client):
    arn = invoke(client, {"order": 22})["DurableExecutionArn"]
    pages = client.get_paginator("get_durable_execution_history")

    def types(**options):
        return [
            event["EventType"]
            for page in pages.paginate(DurableExecutionArn=arn, PaginationConfig={"PageSize": 1}, **options)
            for event in page["Events"]
        ]

    expected = ["ExecutionStarted", "StepSucceeded", "InvocationCompleted", "ExecutionSucceeded"]
    assert types() == expected
    assert types(ReverseOrder=True) == expected[::-1]
    with_data = client.get_durable_execution_history(DurableExecutionArn=arn, IncludeExecutionData=True)["Events"]
    assert json.loads(with_data[1]["StepSucceededDetails"]["Result"]["Payload"]) == {"order": 22}
    bare = client.get_durable_execution_history(DurableExecutionArn=arn, IncludeExecutionData=False)["Events"]
    assert bare[1]["StepSucceededDetails"]["Result"] == {"Truncated": True}


def test_executions_are_listed_and_filtered(client):
    for name in ("listed-1", "listed-2"):
        invoke(client, {}, DurableExecutionName=name)

    def names(**options):
        found = client.list_durable_executions_by_function(FunctionName="durable", **options)["DurableExecutions"]
        return [execution["DurableExecutionName"] for execution in found]

    assert names(DurableExecutionName="listed-1") == ["listed-1"]
    assert {"listed-1", "listed-2"} <= set(names(Statuses=["FAILED", "SUCCEEDED"], Qualifier="$LATEST", MaxItems=1000))
    assert "listed-1" not in names(Statuses=["FAILED"])
    assert names(StartedAfter=datetime.fromtimestamp(1_900_000_000, UTC)) == []
    assert names(StartedBefore=datetime.fromtimestamp(1_600_000_000, UTC)) == []
    everything = names(MaxItems=1000)
    assert names(ReverseOrder=True, MaxItems=1000) == everything[::-1]
    pages = client.get_paginator("list_durable_executions_by_function").paginate(
        FunctionName="durable", PaginationConfig={"PageSize": 2}
    )
    assert [item["DurableExecutionName"] for page in pages for item in page["DurableExecutions"]] == everything


def test_stop_ends_an_execution(client, held):
    arn = held["DurableExecutionArn"]
    stopped = client.stop_durable_execution(DurableExecutionArn=arn)
    assert stopped["StopTimestamp"] == START
    assert client.get_durable_execution(DurableExecutionArn=arn)["Status"] == "STOPPED"


def test_pause_resume_and_delete(server, client, held):
    """boto3's model gets these with its next releases."""
    arn = held["DurableExecutionArn"]
    assert server.send("POST", execution_path(arn, "pause"), b'{"Reason": "maintenance"}')[0] == 202
    assert client.get_durable_execution(DurableExecutionArn=arn)["Status"].startswith("PAUS")
    assert server.send("POST", execution_path(arn, "resume"), b"{}")[0] == 202
    status, headers, body = server.send("DELETE", execution_path(arn))
    assert (status, headers["x-amzn-ErrorType"]) == (409, "ResourceConflictException")
    assert json.loads(body).keys() == {"Type", "message"}
    client.stop_durable_execution(DurableExecutionArn=arn)
    status, _, body = server.send("DELETE", execution_path(arn))
    assert status == 202
    assert json.loads(body) == {"DeletionRequestTimestamp": START.timestamp()}
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_durable_execution(DurableExecutionArn=arn)


# --- callbacks ---


def test_a_callback_succeeds_with_the_bytes_sent(server, client, callback_of):
    arn, callback_id = callback_of()
    client.send_durable_execution_callback_heartbeat(CallbackId=callback_id)
    client.send_durable_execution_callback_success(CallbackId=callback_id, Result="grün".encode())
    assert result_of(server, client, arn) == "grün"
    with pytest.raises(ClientError):
        client.send_durable_execution_callback_success(CallbackId=callback_id)


@pytest.mark.parametrize("error", [None, {"ErrorType": "No", "ErrorMessage": "no", "StackTrace": ["a", "b"]}])
def test_a_callback_fails_with_the_error_sent(server, client, callback_of, error):
    arn, callback_id = callback_of()
    client.send_durable_execution_callback_failure(CallbackId=callback_id, **({"Error": error} if error else {}))
    assert result_of(server, client, arn) == (error or {})


# --- errors ---


def test_each_operation_is_served():
    assert {*CALLS} == {*Operation}


@pytest.mark.parametrize(
    ("code", "status", "member", "type_"),
    [
        ("InvalidParameterValueException", 400, "message", "User"),
        ("InvalidRequestContentException", 400, "message", "User"),
        ("CallbackTimeoutException", 400, "Message", "User"),
        ("ResourceNotFoundException", 404, "Message", "User"),
        ("ResourceConflictException", 409, "message", "User"),
        ("DurableExecutionAlreadyStartedException", 409, "Message", "User"),
        ("RequestTooLargeException", 413, "message", "User"),
        ("TooManyRequestsException", 429, "message", "User"),
        ("ServiceException", 500, "Message", "Service"),
    ],
)
def test_an_error_has_its_name_in_the_header_and_its_text_where_the_model_has_it(code, status, member, type_):
    error = ApiError("because")
    error.code, error.status = code, status
    response = error_answer(error)
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (status, code)
    assert json.loads(response.body) == {"Type": type_, member: "because"}
    assert ("Retry-After" in response.headers) == (status == 429)


def test_a_fault_of_the_service_is_logged_and_told_without_its_text(client, caplog):
    with pytest.raises(client.exceptions.ServiceException, match="See the service's log") as failed:
        invoke(client, {}, function="unserializable")
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert "not JSON serializable" in caplog.text
