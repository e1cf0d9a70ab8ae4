"""How :class:`~durable_async.serializers.JsonSerializer` writes values as JSON and reads them by type."""
