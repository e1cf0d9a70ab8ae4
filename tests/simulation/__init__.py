"""This system itself, simulated: SDK and service on one event loop, in virtual time. A seed decides everything.

- ``conditions``: what a seed does to a run
- ``programs``: a random workflow, and what it must result in
- ``disk``: the file of the real SQLite store, slow, failing, and left behind by a service that dies or a machine that
  loses power
- ``network``: calls that are late, lost, repeated or refused
- ``operator``: who pauses, stops, redrives and cancels executions
- ``processes``: services that die and start again, and workers that die
- ``world``: one run of a seed
- ``checks``: what must hold in every run
- ``breakages``: patches that make the system wrong, each of which a few seeds must notice

``nox -s soak_simulation`` runs any number of seeds.
"""
