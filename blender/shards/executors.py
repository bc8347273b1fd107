"""Who runs the writers: processes of this machine, or Ray's workers.

Both run :func:`blender.shards.write.write_shard` and return the result of every shard, failures included. What they
write is the same.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from blender.core.errors import BlenderError, FolderError, WorkerError
from blender.core.pool import count, map_unordered
from blender.shards.job import Job, ShardTask
from blender.shards.write import ShardFailure, ShardNote, Tell, write_shard

#: the names that commands and write_blend take
EXECUTORS = ("local", "ray")


def run_shards(
    executor: str, job: Job, tasks: list[ShardTask], workers: int, tell: Tell
) -> Iterator[ShardNote | ShardFailure]:
    """Write shards in parallel and yield the result of each as it comes.

    Args:
        executor: One of :data:`EXECUTORS`.
        job: The blend.
        tasks: Its shards.
        workers: Number of processes at a time.
        tell: Called in this process with (samples, bytes) written since the last call.
    """
    results = _run_ray(job, tasks, workers, tell) if executor == "ray" else _run_local(job, tasks, workers, tell)
    for result in results:
        yield result
        # other shards cannot be better off when the folder is full or gone
        if isinstance(result, ShardFailure) and isinstance(result.error, FolderError):
            return


def _run_local(job: Job, tasks: list[ShardTask], workers: int, tell: Tell) -> Iterator[ShardNote | ShardFailure]:
    yield from map_unordered(partial(_write_counted, job), tasks, min(workers, len(tasks)), on_count=tell)


def _write_counted(job: Job, task: ShardTask) -> ShardNote | ShardFailure:
    return write_shard(job, task, count)


def _run_ray(job: Job, tasks: list[ShardTask], workers: int, tell: Tell) -> Iterator[ShardNote | ShardFailure]:
    try:
        import ray
    except ImportError as error:
        raise BlenderError("the executor `ray` needs Ray", "pip install 'visualchat-blender[ray]'") from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False)
    remote: Callable[..., Any] = ray.remote(write_shard).remote
    waiting, running = list(reversed(tasks)), list[Any]()
    while waiting or running:
        while waiting and len(running) < workers:
            running.append(remote(job, waiting.pop()))
        done, running = ray.wait(running)
        try:
            result = ray.get(done[0])
        except ray.exceptions.RayError as error:
            first = str(error).strip().splitlines()[0]
            raise WorkerError(
                f"a worker of Ray was lost: {first}",
                "free some memory or use fewer workers, and run the same command again: what is finished is kept",
            ) from error
        if isinstance(result, ShardNote):
            tell(result.num_samples, result.num_bytes)
        yield result
