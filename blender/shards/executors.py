"""Who runs the writers: processes of this machine, or Ray's workers.

Both run :func:`blender.shards.write.write_shard` and return the result of every shard, failures included. What they
write is the same.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from blender.core.errors import FolderError
from blender.core.executors import run_tasks
from blender.core.pool import count
from blender.shards.planned import PlannedBlend, ShardTask
from blender.shards.write import ShardFailure, ShardNote, Tell, write_shard


def run_shards(
    executor: str, out: Path, planned: PlannedBlend, tasks: list[ShardTask], workers: int, tell: Tell
) -> Iterator[ShardNote | ShardFailure]:
    """Write shards in parallel and yield the result of each as it comes.

    Args:
        executor: One of :data:`blender.core.executors.EXECUTORS`.
        out: The blend's folder.
        planned: Its plan.
        tasks: Its shards.
        workers: Number of processes at a time.
        tell: Called in this process with (samples, bytes) written since the last call.
    """
    # counts reach this process from its own workers alone
    is_counted = executor == "local"
    write = partial(_write_counted, out, planned) if is_counted else partial(write_shard, out, planned)
    for result in run_tasks(write, tasks, min(workers, len(tasks)), executor, tell if is_counted else None):
        if isinstance(result, ShardNote) and not is_counted:
            tell(result.num_samples, result.num_bytes)
        yield result
        # other shards cannot be better off when the folder is full or gone
        if isinstance(result, ShardFailure) and isinstance(result.error, FolderError):
            return


def _write_counted(out: Path, planned: PlannedBlend, task: ShardTask) -> ShardNote | ShardFailure:
    return write_shard(out, planned, task, count)
