"""The behaviour cases: what a durable execution leaves on the wire, checked from outside over HTTP.

``cases/`` holds the cases of the project *AWS Durable Execution Conformance Tests*, unchanged, with its licence and
notice beside them. ``handlers/`` holds the functions that they describe; the rest runs one against the other.
"""
