"""How an invocation reaches the durable service."""
