"""Functions that take more than their share, for the tests that run them in worker processes."""

import os
import sys


def answer(event, context):
    return "x" * event["bytes"]


def forge(event, context):
    """Announces an answer of 4 GiB on the server's channel, past the code that would refuse it."""
    os.write(int(sys.argv[1]), b"\xff\xff\xff\xff{")
    return


def talk(event, context):
    for _ in range(event["lines"]):
        print("x" * 99)
    return os.getpid()


def take(event, context):
    memory = bytearray(event["bytes"])
    return [os.getpid(), len(memory)]


HANDLERS = {"answer": answer, "talk": talk, "take": take}
