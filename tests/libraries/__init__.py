"""Libraries and agent frameworks inside workflows: each one runs, is interrupted, and comes to the same end.

The programs are what a user of the library would write. A test is skipped where its library is not installed:
``nox -s libraries`` installs them all.
"""
