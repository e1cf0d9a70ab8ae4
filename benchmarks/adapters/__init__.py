"""The same workflow, ``total += step(work, number)``, for each contender, run in its own environment.

A process is given one JSON line, runs the invocations in it and prints figures of the last (see ``stopwatch``).
"""
