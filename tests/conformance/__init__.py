"""The behaviour cases: what a durable execution leaves on the wire, checked from outside over HTTP.

``sources.py`` says where the cases come from, ``handlers/`` holds the functions that they describe; the rest runs one
against the other.
"""
