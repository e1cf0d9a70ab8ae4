"""Every built case, against a server in a process of its own.

The cases wait for real seconds, so all that are selected run at once, and each test looks up its own outcome.
"""

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.otlp_receiver import receiving

from .case import Case, load_cases
from .handlers import HANDLERS
from .runner import Outcome, Runner, connect
from .server import serving
from .sources import NONE_THERE, folders
from .suites import NO_HANDLER

pytestmark = pytest.mark.slow

AT_A_TIME = 12


@pytest.fixture(scope="session")
def outcomes(request, tmp_path_factory) -> dict[str, Future[Outcome]]:
    selected = [item.callspec.params["case"] for item in request.session.items if item.function is test_case]
    folder = tmp_path_factory.mktemp("conformance")
    log_file = folder / "functions.jsonl"
    log_file.touch()
    span_file = folder / "spans.jsonl"
    span_file.touch()
    with receiving(span_file) as receiver, serving(log_file, folder / "server.txt", receiver) as url:
        client = connect(url)
        runner = Runner(client, log_file, span_file=span_file)
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            yield {case.id: pool.submit(runner.run, case) for case in selected if case.id in HANDLERS}
        client.close()


@pytest.mark.parametrize("case", load_cases(folders()) or [pytest.param(None, id="none")], ids=str)
def test_case(case: Case | None, request):
    if case is None:
        pytest.skip(NONE_THERE)
    if case.id not in HANDLERS:
        pytest.skip(NO_HANDLER)
    outcome = request.getfixturevalue("outcomes")[case.id].result()
    assert outcome.conforms, outcome.report()
