"""Operation ids: hashes of positions, the same in every run of the same program.

Positions in a context are ``1``, ``2``, ... in the order of the calls, as in the official Python SDK, so that both
give the same ids to the same program. The other kinds of position are ours alone: the branch of an asyncio task
(``task-3``, the third task that its creator started; ``late-task-1``, one that a callback started), an operation named
by a key (``key-order-17``) and the marker of a patch (``patch-audit-2026``).
"""

from __future__ import annotations

from hashlib import blake2b


def operation_id(prefix: str, position: int | str) -> str:
    """Return the id of the operation at ``position`` below ``prefix``.

    :param prefix: the id of the enclosing context or branch, empty at the root
    :return: 64 hexadecimal digits. BLAKE2b with its default digest, cut: cutting differs from ``digest_size=32``
    """
    position = f"{prefix}-{position}" if prefix else str(position)
    # A key may come from a file name that is not UTF-8. This is ``text.utf8``, without a call for each operation.
    return blake2b(position.encode("utf-8", "surrogatepass")).hexdigest()[:64]


def task_branch(prefix: str, number: int) -> str:
    """Return the prefix of the operations in the ``number``-th task (from 1) that the branch ``prefix`` created."""
    return operation_id(prefix, f"task-{number}")


def late_task_branch(prefix: str, number: int) -> str:
    """Return the prefix of the operations in a task that a callback of the branch ``prefix`` started: the
    ``number``-th of them (from 1) that called an operation."""
    return operation_id(prefix, f"late-task-{number}")


def keyed_operation_id(prefix: str, key: str) -> str:
    """Return the id of the operation with the key ``key`` in the branch ``prefix``, wherever it is called."""
    return operation_id(prefix, f"key-{key}")


def keyed_branch(prefix: str, key: str) -> str:
    """Return the prefix of the operations called through ``ctx.at(key)`` in the context ``prefix``."""
    return operation_id(prefix, f"at-{key}")


def patch_operation_id(prefix: str, patch: str) -> str:
    """Return the id of the marker that ``patch`` has in the branch ``prefix``."""
    return operation_id(prefix, f"patch-{patch}")
