"""The functions that a service invokes: in this process, in worker processes, in other servers."""
