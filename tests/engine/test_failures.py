"""Each class of failed call, and what it means."""

import pytest

from durable_async._engine.failures import Verdict, verdict
from durable_async.errors import ServiceCallError


@pytest.mark.parametrize(
    ("code", "status", "message", "meaning"),
    [
        pytest.param("TooManyRequestsException", 429, "Rate exceeded", Verdict.WAIT, id="throttled"),
        pytest.param("ThrottlingException", 400, "Rate exceeded", Verdict.WAIT, id="throttled, as older APIs say it"),
        pytest.param(None, 429, "", Verdict.WAIT, id="throttled without a code"),
        pytest.param("InvalidParameterValueException", 400, "Invalid checkpoint token", Verdict.END, id="stale token"),
        pytest.param(
            "InvalidParameterValueException", 400, "Invalid Checkpoint Token: x", Verdict.END, id="other case"
        ),
        pytest.param("400", 400, "Invalid checkpoint token", Verdict.END, id="stale token without an error header"),
        pytest.param("InvalidParameterValueException", 400, "Invalid parent operation id.", Verdict.FAIL, id="refused"),
        pytest.param("AccessDeniedException", 403, "not authorized", Verdict.FAIL, id="no permission"),
        pytest.param("ResourceNotFoundException", 404, "no such execution", Verdict.FAIL, id="execution gone"),
        pytest.param("KMSAccessDeniedException", 502, "key", Verdict.FAIL, id="the key's owner must act"),
        pytest.param("KMSDisabledException", 502, "key", Verdict.FAIL, id="key disabled"),
        pytest.param("ServiceException", 500, "oops", Verdict.RAISE, id="service error"),
        pytest.param(None, 503, "", Verdict.RAISE, id="unavailable"),
        pytest.param(None, None, "connection reset", Verdict.RAISE, id="no answer"),
        pytest.param("ExpiredTokenException", 403, "expired", Verdict.RAISE, id="credentials expired"),
        pytest.param("RequestTimeout", 408, "", Verdict.RAISE, id="request timed out"),
    ],
)
def test_each_failure_has_its_meaning(code, status, message, meaning):
    assert verdict(ServiceCallError("checkpoint", message, code, status)) is meaning
