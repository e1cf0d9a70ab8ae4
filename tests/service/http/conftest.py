"""Servers and clients for whatever is said over HTTP."""

import pytest

from tests.service.http.http_support import SERVERS, STORES, invoke, running_server


@pytest.fixture(scope="module", params=SERVERS, ids="-".join)
def server(request, tmp_path_factory):
    shell, store = request.param
    with running_server(shell=shell, store=STORES[store](tmp_path_factory)) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    client = server.client()
    yield client
    client.close()


@pytest.fixture
def held(server, client):
    """The envelope of an invocation that goes on for as long as it must."""
    arn = invoke(client, {"do": "hold"}, InvocationType="Event")["DurableExecutionArn"]
    return server.until(lambda: server.functions.held.get(arn))


@pytest.fixture
def callback_of(server, client):
    """Starts an execution that waits for a callback; its ARN and the callback's id."""

    def start(**options):
        event = {"do": "call back", "options": options}
        arn = invoke(client, event, InvocationType="Event")["DurableExecutionArn"]

        def callback_id():
            events = client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
            found = [event["CallbackStartedDetails"] for event in events if event["EventType"] == "CallbackStarted"]
            done = [event for event in events if event["EventType"] == "InvocationCompleted"]
            return found and done and found[0]["CallbackId"]

        return arn, server.until(callback_id)

    return start
