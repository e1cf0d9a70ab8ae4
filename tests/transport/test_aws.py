"""The AWS transport against a real HTTP server, and its trims against aiobotocore as it comes."""

import asyncio
import gc
import os
import random
import subprocess
import sys
import textwrap
import threading
from datetime import datetime

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import JSONFileLoader, Loader
from botocore.model import ServiceModel

from durable_async._wire.operations import OperationUpdate
from durable_async.errors import ServiceCallError
from durable_async.transport._aiobotocore import shared_session
from durable_async.transport._loader import LambdaLoader
from durable_async.transport._model import SERVICE_MODEL
from durable_async.transport.aws import AwsClient, preload
from durable_async.transport.base import MISCONFIGURED
from tests.transport.stub_service import NEXT_TOKEN, STARTED_AT, StubService, answer, drop_connection, error, never

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders:$LATEST/durable-execution/a name+x/1f=é"
TOKEN = "dG9rZW4+/w=="
STEP = {"Id": "a" * 64, "Type": "STEP", "Action": "START"}
ONE_ATTEMPT = AioConfig(retries={"mode": "standard", "total_max_attempts": 1})

UPDATES = [
    {
        **STEP,
        "Action": "FAIL",
        "ParentId": "b" * 64,
        "Name": "charge",
        "SubType": "Step",
        "Error": {"ErrorType": "E", "ErrorMessage": "ü\n", "ErrorData": "", "StackTrace": ["one", "two"]},
    },
    {**STEP, "Action": "SUCCEED", "Payload": '{"text": "\\u00fc \\" ✓"}'},
    {**STEP, "Action": "RETRY", "StepOptions": {"NextAttemptDelaySeconds": 5}},
    {**STEP, "Type": "WAIT", "WaitOptions": {"WaitSeconds": 60}},
    {**STEP, "Type": "CONTEXT", "Action": "SUCCEED", "Payload": "", "ContextOptions": {"ReplayChildren": True}},
    {**STEP, "Type": "CALLBACK", "CallbackOptions": {"TimeoutSeconds": 9, "HeartbeatTimeoutSeconds": 3}},
    {
        **STEP,
        "Type": "CHAINED_INVOKE",
        "ChainedInvokeOptions": {"FunctionName": "f:1", "TenantId": "t", "XAmznTraceId": "Root=1"},
    },
]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)
    shared_session.cache_clear()  # it keeps the credentials it found first


@pytest.fixture
async def service():
    async with StubService.running() as service:
        yield service


@pytest.fixture
async def client(service):
    async with AwsClient(endpoint_url=service.url) as client:
        yield client


@pytest.fixture(scope="module")
def stock_session():
    return get_session()


@pytest.fixture
async def untrimmed(service, stock_session):
    """aiobotocore as it comes, with the same number of attempts."""
    async with stock_session.create_client(
        "lambda",
        region_name="eu-west-1",
        endpoint_url=service.url,
        config=AioConfig(retries={"mode": "standard", "total_max_attempts": 4}),
    ) as client:
        yield client


def without_what_may_differ(headers):
    differing = {"user-agent", "amz-sdk-invocation-id", "x-amz-date", "authorization"}
    kept = {name: value for name, value in headers.items() if name not in differing}
    signature = headers["authorization"].split("Signature=")[0]
    return kept | {"signed": signature.replace(headers["x-amz-date"][:8], "DATE")}


def with_numbers_for_timestamps(value):
    match value:
        case datetime():
            return value.timestamp()
        case dict():
            return {name: with_numbers_for_timestamps(member) for name, member in value.items()}
        case list():
            return [with_numbers_for_timestamps(member) for member in value]
    return value


# --- the trims change nothing but the cost ---


@pytest.mark.parametrize("updates", [[], UPDATES], ids=["refresh", "every kind of update"])
async def test_a_checkpoint_is_the_request_of_the_untrimmed_client(service, client, untrimmed, updates):
    await client.checkpoint(ARN, TOKEN, updates, "once")
    await untrimmed.checkpoint_durable_execution(
        DurableExecutionArn=ARN, CheckpointToken=TOKEN, Updates=updates, ClientToken="once"
    )
    ours, theirs = service.requests
    assert (ours.method, ours.target, ours.body) == (theirs.method, theirs.target, theirs.body)
    assert without_what_may_differ(ours.headers) == without_what_may_differ(theirs.headers)


async def test_a_page_is_the_request_of_the_untrimmed_client(service, client, untrimmed):
    await client.get_state(ARN, TOKEN, "marker+/=")
    await untrimmed.get_durable_execution_state(
        DurableExecutionArn=ARN, CheckpointToken=TOKEN, Marker="marker+/=", MaxItems=1000
    )
    ours, theirs = service.requests
    assert (ours.method, ours.target, ours.body) == (theirs.method, theirs.target, theirs.body)
    assert without_what_may_differ(ours.headers) == without_what_may_differ(theirs.headers)


async def test_an_answer_is_the_untrimmed_clients_but_for_numbers_as_timestamps(client, untrimmed):
    ours = await client.checkpoint(ARN, TOKEN, UPDATES, "once")
    theirs = await untrimmed.checkpoint_durable_execution(
        DurableExecutionArn=ARN, CheckpointToken=TOKEN, Updates=UPDATES, ClientToken="once"
    )
    del theirs["ResponseMetadata"]
    assert ours == with_numbers_for_timestamps(theirs)
    assert ours["NewExecutionState"]["Operations"][0]["StartTimestamp"] == STARTED_AT


async def test_a_page_is_the_untrimmed_clients_but_for_numbers_as_timestamps(client, untrimmed):
    ours = await client.get_state(ARN, TOKEN, "m")
    theirs = await untrimmed.get_durable_execution_state(DurableExecutionArn=ARN, CheckpointToken=TOKEN, Marker="m")
    del theirs["ResponseMetadata"]
    assert ours == with_numbers_for_timestamps(theirs)


ERRORS = [
    pytest.param(error(400, "InvalidParameterValueException", "Invalid checkpoint token"), id="400, code in header"),
    pytest.param(error(404, "ResourceNotFoundException", "none", "Message"), id="404, capital Message"),
    pytest.param(error(429, "TooManyRequestsException", "slow down"), id="429"),
    pytest.param(error(500, "ServiceException", "oops", "Message"), id="500"),
    pytest.param(error(502, "KMSDisabledException", "the key is off", "Message"), id="502 of KMS"),
    pytest.param(error(400, "com.amazonaws#Some:http://x", "m"), id="code with name space and address"),
    pytest.param(answer(400, {"__type": "ValidationException", "message": "m"}), id="code in the body, __type"),
    pytest.param(answer(409, {"code": "Conflict", "Message": "m"}), id="code in the body, code"),
    pytest.param(answer(400, {"Type": "InvalidParameterValueException", "message": "m"}), id="no code that is read"),
    pytest.param(answer(403, ""), id="no body"),
    pytest.param(answer(503, "<html><body>Busy</body></html>"), id="a load balancer's page"),
]


@pytest.mark.parametrize("refusal", ERRORS)
async def test_an_error_is_the_untrimmed_clients(service, stock_session, refusal):
    service.then(refusal, refusal)
    async with (
        AwsClient(endpoint_url=service.url, config=ONE_ATTEMPT) as client,
        stock_session.create_client(
            "lambda", region_name="eu-west-1", endpoint_url=service.url, config=ONE_ATTEMPT
        ) as untrimmed,
    ):
        with pytest.raises(ServiceCallError) as ours:
            await client.checkpoint(ARN, TOKEN, [], "once")
        with pytest.raises(ClientError) as theirs:
            await untrimmed.checkpoint_durable_execution(DurableExecutionArn=ARN, CheckpointToken=TOKEN)
    response = theirs.value.response
    assert ours.value.operation == "CheckpointDurableExecution"
    assert ours.value.code == response["Error"]["Code"]
    assert ours.value.message == response["Error"]["Message"]
    assert ours.value.status == response["ResponseMetadata"]["HTTPStatusCode"]
    assert isinstance(ours.value.__cause__, ClientError)


REGIONS = ["eu-west-1", "cn-north-1", "us-gov-west-1", "us-iso-east-1", "eusc-de-east-1", "xx-new-1", "fips-us-east-1"]
VARIANTS = [
    {},
    {"use_fips_endpoint": True},
    {"use_dualstack_endpoint": True},
    {"use_fips_endpoint": True, "use_dualstack_endpoint": True},
]


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize(
    ("service_name", "call"),
    [
        ("lambda", lambda client: client.get_durable_execution_state(DurableExecutionArn=ARN, CheckpointToken=TOKEN)),
        ("sts", lambda client: client.get_caller_identity()),  # as for credentials of an assumed role
    ],
)
async def test_requests_go_where_the_untrimmed_clients_go(stock_session, service_name, call, region, variant):
    async def destination(session):
        """Where a request would go and what it is signed for, or why none can be made."""
        seen = []

        def stop(request, **_):
            _date, *scope = request.headers["Authorization"].decode().split(",")[0].split("/")[1:]
            seen.append((request.url, scope))
            raise InterruptedError

        try:
            async with session.create_client(service_name, region_name=region, config=AioConfig(**variant)) as client:
                client.meta.events.register("before-send", stop)
                await call(client)
        except InterruptedError:
            return seen
        except BotoCoreError as failure:
            return repr(failure)

    assert await destination(shared_session()) == await destination(stock_session)


def test_every_member_that_botocore_knows_is_in_our_types_and_the_metadata_agree():
    full = Loader().load_service_model("lambda", "service-2")
    assert SERVICE_MODEL["metadata"] == full["metadata"]
    for name, ours in SERVICE_MODEL["operations"].items():
        theirs = full["operations"][name]
        assert ours["http"] == theirs["http"]
        assert {"idempotent", "readonly"} & ours.keys() == {"idempotent", "readonly"} & theirs.keys()
        shape, full_shape = (ServiceModel(model).operation_model(name).input_shape for model in (SERVICE_MODEL, full))
        assert list(shape.members) == list(full_shape.members)
        assert shape.required_members == full_shape.required_members
        for member in shape.members:
            assert shape.members[member].serialization == full_shape.members[member].serialization
    update = ServiceModel(full).shape_for("OperationUpdate")
    assert set(update.members) == set(OperationUpdate.__annotations__)


async def test_making_a_client_reads_neither_the_model_of_lambda_nor_the_list_of_endpoints():
    class Files(JSONFileLoader):
        read = ()

        def load_file(self, file_path):
            self.read += (file_path.rpartition("/")[2],)
            return super().load_file(file_path)

    files = Files()
    session = get_session()
    session.register_component("data_loader", LambdaLoader(Loader(file_loader=files)))
    async with session.create_client("lambda", region_name="eu-west-1"):
        assert {"partitions", "endpoint-rule-set-1"} <= set(files.read)
        assert {"endpoints", "service-2"}.isdisjoint(files.read)


async def test_the_user_agent_names_botocore_aiobotocore_and_us(service, client, monkeypatch):
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "orders")
    await client.checkpoint(ARN, TOKEN, [], "once")
    agent = service.requests[0].headers["user-agent"]
    products = {part.split("/")[0] for part in agent.split()}
    assert {"aiobotocore", "botocore", "durable-async", "Python", "app"} <= products
    assert "app/orders" in agent
    assert agent.count("botocore/1.") == 1


# --- the protocol ---


async def test_the_arn_is_one_segment_of_the_path(service, client):
    await client.checkpoint(ARN, TOKEN, [], "once")
    await client.get_state(ARN, TOKEN, "m")
    encoded = (
        "arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Aorders%3A%24LATEST"
        "%2Fdurable-execution%2Fa%20name%2Bx%2F1f%3D%C3%A9"
    )
    checkpoint, state = service.requests
    assert checkpoint.target == f"/2025-12-01/durable-executions/{encoded}/checkpoint"
    path, query = state.target.split("?")
    assert path == f"/2025-12-01/durable-executions/{encoded}/state"
    assert sorted(query.split("&")) == ["CheckpointToken=dG9rZW4%2B%2Fw%3D%3D", "Marker=m", "MaxItems=1000"]


async def test_a_checkpoint_carries_token_updates_and_client_token(service, client):
    result = await client.checkpoint(ARN, TOKEN, (STEP,), "once")
    assert service.requests[0].json == {"CheckpointToken": TOKEN, "Updates": [STEP], "ClientToken": "once"}
    assert result["CheckpointToken"] == NEXT_TOKEN
    assert [operation["Id"] for operation in result["NewExecutionState"]["Operations"]] == [STEP["Id"]]


async def test_a_withheld_token_is_none(service, client):
    service.then(answer(200, {"NewExecutionState": {"Operations": []}}))
    result = await client.checkpoint(ARN, TOKEN, [STEP], "once")
    assert result == {"CheckpointToken": None, "NewExecutionState": {"Operations": []}}


@pytest.mark.parametrize(
    "body", ["<html>sign in</html>", "", {"message": "hello"}, {"NewExecutionState": None}], ids=str
)
async def test_an_answer_that_is_no_checkpoints_is_not_taken_for_one(service, client, body):
    service.then(answer(200, body), answer(200, body))
    with pytest.raises(ServiceCallError, match="NewExecutionState") as failure:
        await client.checkpoint(ARN, TOKEN, [STEP], "once")
    assert (failure.value.code, failure.value.status) == (None, 200)
    with pytest.raises(ServiceCallError, match="Operations"):
        await client.get_state(ARN, TOKEN, "m")


# --- retries ---


async def test_a_lost_answer_is_asked_for_again_at_once_with_the_same_client_token(service, client, caplog):
    caplog.set_level("DEBUG", logger="botocore.endpoint")
    service.then(drop_connection)
    result = await client.checkpoint(ARN, TOKEN, [STEP], "once")
    assert result["CheckpointToken"] == NEXT_TOKEN
    first, second = service.requests
    assert first.body == second.body
    assert first.json["ClientToken"] == "once"
    assert first.connection != second.connection
    assert "sleeping for 0.0 seconds" in caplog.text


async def test_busy_and_failing_services_are_asked_again(service, client):
    random.seed(8038)  # botocore's delays are random shares of a second and two: with this seed, of 5 ms together
    service.then(error(429, "TooManyRequestsException", "busy"), error(500, "ServiceException", "oops"))
    await client.checkpoint(ARN, TOKEN, [STEP], "once")
    assert len(service.requests) == 3
    assert len({request.body for request in service.requests}) == 1


async def test_a_key_that_the_service_may_not_use_is_not_tried_again(service, client):
    service.then(error(502, "KMSAccessDeniedException", "no", "Message"))
    with pytest.raises(ServiceCallError) as failure:
        await client.checkpoint(ARN, TOKEN, [STEP], "once")
    assert (failure.value.code, failure.value.status) == ("KMSAccessDeniedException", 502)
    assert len(service.requests) == 1


async def test_a_refusal_is_not_tried_again(service, client):
    service.then(error(400, "InvalidParameterValueException", "Invalid checkpoint token"))
    with pytest.raises(ServiceCallError, match="Invalid checkpoint token"):
        await client.checkpoint(ARN, TOKEN, [STEP], "once")
    assert len(service.requests) == 1


async def test_a_configuration_without_retries_is_kept(service):
    service.then(drop_connection)
    async with AwsClient(endpoint_url=service.url, config=ONE_ATTEMPT) as client:
        with pytest.raises(ServiceCallError):
            await client.checkpoint(ARN, TOKEN, [STEP], "once")
    assert len(service.requests) == 1


# --- failures without an answer ---


async def test_no_answer_has_neither_code_nor_status(service):
    service.then(never)
    config = ONE_ATTEMPT.merge(AioConfig(read_timeout=0.05))
    async with AwsClient(endpoint_url=service.url, config=config) as client:
        with pytest.raises(ServiceCallError, match="timeout") as failure:
            await client.checkpoint(ARN, TOKEN, [STEP], "once")
    assert (failure.value.code, failure.value.status) == (None, None)
    assert failure.value.__cause__ is not None


async def test_a_refused_connection_has_neither_code_nor_status(unused_tcp_port_url):
    async with AwsClient(endpoint_url=unused_tcp_port_url, config=ONE_ATTEMPT) as client:
        with pytest.raises(ServiceCallError) as failure:
            await client.get_state(ARN, TOKEN, "m")
    assert failure.value.operation == "GetDurableExecutionState"
    assert (failure.value.code, failure.value.status) == (None, None)


@pytest.fixture
async def unused_tcp_port_url():
    async with StubService.running() as service:
        return service.url


async def test_a_missing_region_says_what_to_set(service, monkeypatch):
    monkeypatch.delenv("AWS_REGION")
    async with AwsClient(endpoint_url=service.url) as client:
        with pytest.raises(ServiceCallError, match="AWS_REGION") as failure:
            await client.checkpoint(ARN, TOKEN, [], "once")
        assert (failure.value.code, failure.value.status) == (MISCONFIGURED, None)
        monkeypatch.setenv("AWS_REGION", "eu-west-1")


async def test_missing_credentials_say_what_to_set(service, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    async with AwsClient(endpoint_url=service.url, session=get_session()) as client:
        with pytest.raises(ServiceCallError, match="AWS_ACCESS_KEY_ID") as failure:
            await client.checkpoint(ARN, TOKEN, [], "once")
    assert (failure.value.code, failure.value.status) == (MISCONFIGURED, None)
    assert service.requests == []


@pytest.mark.parametrize(
    ("options", "variable", "says"),
    [
        pytest.param({"endpoint_url": "not a url"}, {}, "Invalid endpoint", id="endpoint"),
        pytest.param({}, {"AWS_PROFILE": "nobody"}, "nobody", id="profile"),
        pytest.param({}, {"AWS_DEFAULTS_MODE": "wrong"}, "wrong", id="defaults mode"),
        pytest.param({"region": "not a region"}, {}, "not a region", id="region"),
    ],
)
async def test_a_wrong_setting_is_told_apart_from_a_failed_call(monkeypatch, options, variable, says):
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    shared_session.cache_clear()  # it keeps the credentials it found first
    async with AwsClient(session=get_session(), **options) as client:
        with pytest.raises(ServiceCallError, match=says) as failure:
            await client.checkpoint(ARN, TOKEN, [], "once")
    assert (failure.value.code, failure.value.status) == (MISCONFIGURED, None)


# --- region and endpoint ---


@pytest.mark.parametrize(
    ("argument", "variables", "signed_for"),
    [
        pytest.param("eu-south-1", {"AWS_REGION": "us-east-1"}, "eu-south-1", id="the argument first"),
        pytest.param(
            None, {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-west-2"}, "us-east-1", id="then AWS_REGION"
        ),
        pytest.param(None, {"AWS_DEFAULT_REGION": "us-west-2"}, "us-west-2", id="then AWS_DEFAULT_REGION"),
    ],
)
async def test_the_region(service, monkeypatch, argument, variables, signed_for):
    monkeypatch.delenv("AWS_REGION")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    shared_session.cache_clear()  # it keeps the credentials it found first
    async with AwsClient(region=argument, endpoint_url=service.url) as client:
        await client.checkpoint(ARN, TOKEN, [], "once")
    assert f"/{signed_for}/lambda/aws4_request" in service.requests[0].headers["authorization"]


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL"])
async def test_the_endpoint_may_come_from_the_environment(service, monkeypatch, variable):
    monkeypatch.setenv(variable, service.url)
    async with AwsClient() as client:
        await client.checkpoint(ARN, TOKEN, [], "once")
    assert len(service.requests) == 1


async def test_profile_settings_are_read(service, monkeypatch, tmp_path):
    config = tmp_path / "config"
    config.write_text(
        f"[profile dev]\nregion = sa-east-1\nservices = local\n[services local]\nlambda =\n  endpoint_url = {service.url}\n"
    )
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "dev")
    async with AwsClient(session=get_session()) as client:
        await client.checkpoint(ARN, TOKEN, [], "once")
    assert "/sa-east-1/lambda/aws4_request" in service.requests[0].headers["authorization"]


# --- connections, loops, cancellation ---


async def test_calls_share_a_connection(service, client):
    for _ in range(3):
        await client.checkpoint(ARN, TOKEN, [STEP], "once")
    assert len({request.connection for request in service.requests}) == 1


async def test_calls_at_once_make_one_client(service):
    class SlowCredentials:
        async def load_credentials(self):
            await asyncio.sleep(0.01)
            return AioCredentials("id", "secret")

    made = []
    session = get_session()
    session.register_component("credential_provider", SlowCredentials())
    session.register("creating-client-class.lambda", lambda **_: made.append(1))
    async with AwsClient(endpoint_url=service.url, session=session) as client:
        await asyncio.gather(*(client.checkpoint(ARN, TOKEN, [], str(n)) for n in range(5)))
    assert len(service.requests) == 5
    assert made == [1]


async def test_a_cancelled_call_leaves_the_client_usable(service, client):
    service.then(never)
    call = asyncio.create_task(client.checkpoint(ARN, TOKEN, [STEP], "first"))
    await service.arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await client.checkpoint(ARN, TOKEN, [STEP], "second")
    cancelled, later = service.requests
    assert later.json["ClientToken"] == "second"
    assert cancelled.connection != later.connection  # an answer may still come on the old one


async def test_a_call_cancelled_while_connecting_leaves_the_client_usable(service, client):
    call = asyncio.create_task(client.checkpoint(ARN, TOKEN, [STEP], "first"))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await client.checkpoint(ARN, TOKEN, [STEP], "second")
    assert [request.json["ClientToken"] for request in service.requests] == ["second"]


async def test_a_closed_client_opens_again(service, client):
    await client.checkpoint(ARN, TOKEN, [], "first")
    await client.aclose()
    await client.aclose()
    await client.checkpoint(ARN, TOKEN, [], "second")
    first, second = service.requests
    assert first.connection != second.connection


async def test_each_loop_has_its_own_connection_and_closes_it(service):
    client = AwsClient(endpoint_url=service.url)

    def in_other_loops():
        for _ in range(3):
            asyncio.run(client.checkpoint(ARN, TOKEN, [], "there"))  # asyncio would report what stays open

    await client.checkpoint(ARN, TOKEN, [], "here")
    await asyncio.to_thread(in_other_loops)
    await client.checkpoint(ARN, TOKEN, [], "here")
    connections = [request.connection for request in service.requests]
    assert connections[0] == connections[-1]
    assert len(set(connections)) == 4
    assert len(client._clients._clients) <= 2  # closed loops are forgotten
    await client.aclose()


def test_a_client_that_nobody_closed_leaves_no_open_connection():
    output = run(f"""
        import asyncio, gc
        from durable_async.transport.aws import AwsClient
        from tests.transport.stub_service import StubService

        kept = []

        async def main():
            async with StubService.running() as service:
                for client in AwsClient(endpoint_url=service.url), AwsClient(endpoint_url=service.url):
                    await client.checkpoint({ARN!r}, "dA==", [], "once")
                    kept.append(client)
                del kept[0]

        asyncio.run(main())
        gc.collect()
    """)
    assert output == ""  # neither a warning of aiohttp's nor a report of asyncio's


# --- imports ---


def run(program):
    """What ``program`` prints in a process of its own."""
    program = f"import sys\nsys.path[:0] = {sys.path!r}\n" + textwrap.dedent(program)
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()


def test_importing_the_transport_and_making_a_client_loads_nothing_of_aws():
    loaded = run("""
        from durable_async.transport.aws import AwsClient
        AwsClient(region="eu-west-1")
        print(*{name.split(".")[0] for name in sys.modules})
    """)
    assert {"aiobotocore", "botocore", "aiohttp", "httpx"}.isdisjoint(loaded.split())


def test_preload_imports_all_that_the_first_call_needs(service_in_thread):
    late = run(f"""
        import asyncio
        from durable_async.transport.aws import AwsClient, preload

        preload()
        before = set(sys.modules)

        async def main():
            async with AwsClient(endpoint_url={service_in_thread!r}) as client:
                await client.checkpoint({ARN!r}, "dA==", [], "once")

        asyncio.run(main())
        print(*set(sys.modules) - before)
    """)
    assert [name for name in late.split() if name.startswith(("aiobotocore", "botocore", "aiohttp"))] == []


def test_an_invocation_of_one_step_loads_only_what_it_needs(service_in_thread, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", service_in_thread)
    loaded = run(f"""
        from typing import Any
        import aiobotocore.session
        before = set(sys.modules)
        from durable_async import DurableContext, durable_execution

        async def charge(cents: int) -> dict[str, Any]:
            return {{"charged": cents}}

        @durable_execution
        async def handler(event: dict[str, int], ctx: DurableContext) -> list[dict[str, Any]]:
            return [await ctx.step(charge, event["cents"])]

        started = {{"InputPayload": '{{"cents": 5}}'}}
        execution = {{"Id": "1", "Type": "EXECUTION", "Status": "STARTED", "ExecutionDetails": started}}
        state = {{"Operations": [execution]}}
        output = handler({{"DurableExecutionArn": {ARN!r}, "CheckpointToken": "dA==", "InitialExecutionState": state}})
        assert output == {{"Status": "SUCCEEDED", "Result": '[{{"charged": 5}}]'}}, output
        print(*set(sys.modules) - before)
    """).split()
    assert len([name for name in loaded if name.split(".")[0] == "durable_async"]) <= 60
    assert {"cattrs", "anyio", "decimal", "sqlite3"}.isdisjoint(loaded)


@pytest.fixture
def service_in_thread():
    """A service for another process to call, on a loop of its own."""
    started, stop = threading.Event(), threading.Event()
    url = []

    async def serve():
        async with StubService.running() as service:
            url.append(service.url)
            started.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    started.wait()
    yield url[0]
    stop.set()
    thread.join()


def test_preloading_twice_reads_once():
    preload()
    session = shared_session()
    preload()
    assert shared_session() is session


def test_the_shared_session_has_the_handlers_of_a_stock_one(stock_session):
    def handlers(session):
        return [
            (event, handler)
            for event in ("before-call.lambda.Invoke", "before-parameter-build.lambda", "needs-retry.lambda", "getattr")
            for handler in session.get_component("event_emitter")._emitter._handlers.prefix_search(event)
        ]

    assert handlers(shared_session()) == handlers(stock_session) != []


def test_loading_aiobotocore_leaves_the_garbage_collector_as_it_was():
    preload()
    assert gc.isenabled()
    gc.disable()
    try:
        preload()
        assert not gc.isenabled()
    finally:
        gc.enable()
