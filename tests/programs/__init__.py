"""Random programs, interrupted at random: whatever happens to its process, a workflow does the same.

- ``program``: what programs are made of, and how they read
- ``meaning``: what a program results in, told without the SDK
- ``generation``: all programs, as a hypothesis strategy
- ``interpreter``: a program as a workflow
- ``execution``: a program run on a durable service, with interruptions
"""
