"""One file per operation: what it does next, decided from its record. Private; import from ``durable_async``."""
