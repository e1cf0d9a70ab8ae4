"""What the closing lines of a run say."""

from .handlers import HANDLERS
from .report import Row, closing_lines
from .sources import Source
from .suites import DEPARTURES


def test_the_closing_lines_say_where_cases_come_from_how_suites_went_and_how_many_cases_ran(tmp_path):
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "1-1.yaml").touch()
    rows = [
        Row("step", "passed"),
        Row("step", "passed", "1-2 does less"),
        Row("step", "failed"),
        Row("spans", "skipped", "not compared"),
        Row("spans", "skipped", "not compared"),
    ]
    assert closing_lines([Source("there", tmp_path), Source("absent", None)], rows) == [
        "1 from there; none from absent, which is not there. The first source of a case counts.",
        "suite                 cases  passed  failed  skipped",
        "step                      3       2       1        0  1-2 does less",
        "spans                     2       0       0        2  not compared",
        "all                       5       2       1        2",
        "3 of 5 cases ran.",
    ]


def test_a_departure_is_that_of_a_case_with_a_handler():
    assert DEPARTURES.keys() <= HANDLERS.keys()
