"""The vocabulary that SDK and service share: operations, updates, envelopes, ids, limits. Pure data, pure functions."""
