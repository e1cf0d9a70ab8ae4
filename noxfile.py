"""One session for each promise of this project; ``nox -l`` lists them. By default lint, types, tests and docs run."""

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests", "docs"]

PYTHONS = nox.project.python_versions(nox.project.load_toml("pyproject.toml"))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The test suite, on the installed package."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Formatting and ruff's rules."""
    session.install("ruff>=0.8")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy strict and pyright strict, on the package and on the calls that must and must not type."""
    session.install("-e", ".[dev]", "mypy>=1.13", "pyright>=1.1.390")
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--ignoreexternal", "--verifytypes", "durable_async")


@nox.session
def plugin(session: nox.Session) -> None:
    """The pytest plugin as a project installs it: beside anyio's plugin, and pytest-asyncio in both of its modes."""
    session.install("-e", ".[testing]", "pytest-asyncio>=1")
    options = ("-p", "no:asyncio", "--confcutdir=tests/testing")  # of the run that starts the runs with the plugins
    session.run("pytest", *options, "tests/testing/test_plugin.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Every code block of README and docs runs."""
    session.install("-e", ".[dev]")
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session(venv_backend="none")
def ui(session: nox.Session) -> None:
    """Check the page's sources in ``durable_async/ui/web/``, test its pure parts, and build its files into the
    package. Needs npm. With ``-- --check`` nothing is written, and the files in the package must be those of the
    sources."""
    checks = "--check" in session.posargs
    with session.chdir("durable_async/ui/web"):
        session.run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", external=True)
        session.run("npm", "run", "--silent", "types", external=True)
        session.run("npm", "test", "--silent", external=True)
        session.run("npm", "run", "--silent", "check" if checks else "build", external=True)


@nox.session
def conformance(session: nox.Session) -> None:
    """The published behaviour cases. Only the code of their packages, which is not used, needs Python 3.14."""
    session.install("-e", ".[dev]")
    packages = ("aws-durable-execution-conformance-tests", "aws-durable-execution-conformance-tests-otel")
    session.install("--no-deps", "--ignore-requires-python", *packages)
    session.run("pytest", "tests/conformance", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Against the raw transport and the peers, each installed into an environment of its own."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def bench_embedded(session: nox.Session) -> None:
    """The embedded service, beside DBOS on SQLite: throughput, recovery, size, hot executions."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "benchmarks.embedded", *session.posargs)


@nox.session
def bench_page(session: nox.Session) -> None:
    """The page in Chromium: a list of 100,000 executions, and an execution of 10,000 operations."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "benchmarks.page", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """The kill tests, for as long as it takes: ``DURABLE_ASYNC_KILLS=1000 DURABLE_ASYNC_PROCESS_KILLS=50
    DURABLE_ASYNC_OWNER_KILLS=20 DURABLE_ASYNC_TRACED_KILLS=50 DURABLE_ASYNC_EXECUTIONS=200 nox -s soak``."""
    session.install("-e", ".[dev]")
    session.run("pytest", "tests/kill", *session.posargs)


@nox.session
def soak_properties(session: nox.Session) -> None:
    """The property tests with ten times as many examples as in the normal suite, or as many as
    DURABLE_ASYNC_PROPERTY_RUNS says."""
    session.install("-e", ".[dev]")
    runs = {"DURABLE_ASYNC_PROPERTY_RUNS": session.env.get("DURABLE_ASYNC_PROPERTY_RUNS") or "10"}
    session.run("pytest", "-n", "auto", "-m", "hypothesis", *session.posargs, env=runs)


@nox.session
def soak_order(session: nox.Session) -> None:
    """Programs that decide by the order of ends: 200 seeds of each, and a crash after each checkpoint, on asyncio's own
    loop and on uvloop."""
    session.install("-e", ".[dev]")
    runs = {"DURABLE_ASYNC_PROPERTY_RUNS": session.env.get("DURABLE_ASYNC_PROPERTY_RUNS") or "50"}
    session.run("pytest", "-n", "auto", "tests/order", *session.posargs, env=runs)


@nox.session
def libraries(session: nox.Session) -> None:
    """Libraries for asyncio and agent frameworks in workflows: 10 seeds of each program, or as many as
    DURABLE_ASYNC_PROPERTY_RUNS says, and the blocks of the guide about them."""
    session.install("-e", ".[dev,libraries]")
    runs = {"DURABLE_ASYNC_PROPERTY_RUNS": session.env.get("DURABLE_ASYNC_PROPERTY_RUNS") or "10"}
    session.run("pytest", "-n", "auto", "tests/libraries", *session.posargs, env=runs)
    session.run("pytest", "tests/docs/test_blocks.py", "-k", "libraries")


@nox.session
def interop(session: nox.Session) -> None:
    """The official SDK on our service, ours on the official emulator and on ministack: each in an environment of its
    own, kept in DURABLE_ASYNC_INTEROP_VENVS or the user's cache."""
    session.install("-e", ".[dev]")
    session.run("pytest", "tests/interop", *session.posargs, env={"DURABLE_ASYNC_INTEROP": "1"})


@nox.session
def soak_simulation(session: nox.Session) -> None:
    """SDK and service on a simulated loop, disk and network, with 10,000 seeds, or as many as
    DURABLE_ASYNC_SIMULATION_SEEDS says."""
    session.install("-e", ".[dev]")
    seeds = {"DURABLE_ASYNC_SIMULATION_SEEDS": session.env.get("DURABLE_ASYNC_SIMULATION_SEEDS") or "10000"}
    session.run("pytest", "-n", "auto", "tests/simulation", *session.posargs, env=seeds)
