"""One invocation of one execution: the only place that knows the event loop. Private; import from ``durable_async``."""
