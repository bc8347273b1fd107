"""Who runs the writers: processes of this machine, or Ray's workers.

Both run :func:`blender.shards.write.write_shard` and return the result of every shard, failures included. What they
write is the same.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any

from blender.errors import BlenderError, FolderError
from blender.parallel import map_unordered
from blender.shards.job import Job, ShardTask
from blender.shards.write import ShardFailure, ShardNote, Tell, write_shard

#: the names that commands and write_blend take
EXECUTORS = ("local", "ray")

_counter: Any = None


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
    workers = min(workers, len(tasks))
    if workers <= 1:
        yield from (write_shard(job, task, tell) for task in tasks)
        return
    counter = get_context("spawn").Array("q", 2)
    with _told(counter, tell):
        yield from map_unordered(partial(_write_counted, job), tasks, workers, _count_into, (counter,))


def _count_into(counter: Any) -> None:
    global _counter
    _counter = counter


def _write_counted(job: Job, task: ShardTask) -> ShardNote | ShardFailure:
    return write_shard(job, task, _add_to_counter)


def _add_to_counter(samples: int, num_bytes: int) -> None:
    with _counter.get_lock():
        _counter[0] += samples
        _counter[1] += num_bytes


@contextmanager
def _told(counter: Any, tell: Tell) -> Iterator[None]:
    """Tell what writers in other processes count, while they do."""
    stop, told = threading.Event(), [0, 0]

    def pass_on() -> None:
        with counter.get_lock():
            now = list(counter)
        if now != told:
            tell(now[0] - told[0], now[1] - told[1])
            told[:] = now

    def watch() -> None:
        while not stop.wait(0.2):
            pass_on()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        pass_on()


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
        result = ray.get(done[0])
        if isinstance(result, ShardNote):
            tell(result.num_samples, result.num_bytes)
        yield result
