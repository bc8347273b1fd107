"""Who runs independent tasks: processes of this machine, or Ray's workers; results are the same."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from blender.core.errors import BlenderError, WorkerError
from blender.core.pool import OnCount, map_unordered

#: the names that commands and write_blend take
EXECUTORS = ("local", "ray")

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
    executor: str = "local",
    on_count: OnCount | None = None,
) -> Iterator[Result]:
    """Apply a function to every task and yield the results as they come.

    Args:
        function: A function at the top of a module, or a partial of one.
        tasks: Its arguments; with Ray their files must be on a folder that all machines share.
        workers: Number of processes at a time.
        executor: One of :data:`EXECUTORS`.
        on_count: Called with what the calls of :func:`blender.core.pool.count` have added; not with Ray.

    Raises:
        WorkerError: A process was killed.
        Exception: Whatever ``function`` raised first.
    """
    if executor == "ray":
        return _run_ray(function, tasks, workers)
    return map_unordered(function, tasks, workers, on_count=on_count)


def _run_ray(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    try:
        import ray
    except ImportError as error:
        raise BlenderError("the executor `ray` needs Ray", "pip install 'visualchat-blender[ray]'") from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False)
    remote: Callable[..., Any] = ray.remote(_call).remote
    waiting, running = list(reversed(tasks)), list[Any]()
    while waiting or running:
        while waiting and len(running) < workers:
            running.append(remote(function, waiting.pop()))
        done, running = ray.wait(running)
        try:
            result, refusal = ray.get(done[0])
        except ray.exceptions.RayError as fault:
            first = str(fault).strip().splitlines()[0]
            raise WorkerError(
                f"a worker of Ray was lost: {first}",
                "free some memory or use fewer workers, and run the same command again: what is finished is kept",
            ) from fault
        if refusal is not None:
            raise refusal
        yield result


def _call(function: Callable[[Task], Result], task: Task) -> tuple[Result | None, BlenderError | None]:
    """Return a fault of ours instead of raising it: Ray would wrap it."""
    try:
        return function(task), None
    except BlenderError as error:
        return None, error
