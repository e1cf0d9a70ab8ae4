"""Programs whose control flow looks at the order in which operations end: they run the same way in every invocation.

- ``play``: a program as an execution, whose bodies take random times
- ``programs``: the programs
- ``properties``: what holds for each of them, on each event loop
"""
