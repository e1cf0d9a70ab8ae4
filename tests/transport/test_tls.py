"""When certificates are read, and whom a client trusts."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from durable_async.errors import ServiceCallError
from durable_async.transport import _tls
from durable_async.transport.aws import AwsClient, preload
from tests.transport.stub_service import StubService, answer
from tests.transport.test_aws import ARN, ONE_ATTEMPT, TOKEN, environment  # noqa: F401 - a fixture


@pytest.fixture(autouse=True)
def nothing_ready(monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    _tls._ready.clear()
    yield
    _tls._ready.clear()


@pytest.fixture
def built(monkeypatch):
    """The SSL contexts that aiobotocore itself makes meanwhile."""
    contexts = []

    def build(session):
        contexts.append(original(session))
        return contexts[-1]

    original = AIOHTTPSession._build_verify_context
    monkeypatch.setattr(AIOHTTPSession, "_build_verify_context", build)
    return contexts


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """The path of a certificate for 127.0.0.1, which signs itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a durable service")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    unencrypted = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
async def secure_service(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with StubService.running(context) as service:
        yield service


async def test_a_plain_endpoint_needs_no_certificates(built, monkeypatch):
    async with StubService.running() as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", service.url)
        preload()
        async with AwsClient() as client, AwsClient(endpoint_url=service.url) as other:
            await client.checkpoint(ARN, TOKEN, [], "once")
            await other.checkpoint(ARN, TOKEN, [], "once")
    assert built == []


async def test_the_certificates_for_a_secure_endpoint_are_read_by_preload(secure_service, built):
    preload()
    assert len(built) == 1
    assert built[0].verify_mode is ssl.CERT_REQUIRED
    assert built[0].check_hostname
    assert built[0].cert_store_stats()["x509_ca"] > 50
    async with AwsClient(endpoint_url=secure_service.url, config=ONE_ATTEMPT) as client:
        with pytest.raises(ServiceCallError, match="certificate"):
            await client.checkpoint(ARN, TOKEN, [], "once")
    assert len(built) == 1
    assert secure_service.requests == []


async def test_certificates_of_ones_own_are_trusted_and_no_others(secure_service, certificate, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    preload()
    async with AwsClient(endpoint_url=secure_service.url) as client:
        await client.checkpoint(ARN, TOKEN, [], "once")
    assert len(secure_service.requests) == 1


async def test_a_plain_endpoint_that_redirects_to_a_secure_one_is_not_followed_there(secure_service):
    elsewhere = answer(308, "", Location=secure_service.url)
    async with StubService.running() as service, AwsClient(endpoint_url=service.url, config=ONE_ATTEMPT) as client:
        service.then(elsewhere)
        with pytest.raises(ServiceCallError, match="certificate"):
            await client.checkpoint(ARN, TOKEN, [], "once")
    assert secure_service.requests == []


async def test_a_client_that_uses_a_proxy_reads_certificates_for_it(built):
    async with StubService.running() as proxy:
        config = AioConfig(proxies={"http": proxy.url}).merge(ONE_ATTEMPT)
        async with AwsClient(endpoint_url="http://durable.invalid", config=config) as client:
            await client.checkpoint(ARN, TOKEN, [], "once")
    assert len(proxy.requests) == 1
    assert built != []
