"""The embedded service: what an execution costs at each durability, beside DBOS; recovery; size; hot executions."""
