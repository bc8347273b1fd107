"""Everything that can go wrong by a user's doing, as one tree.

::

    BlenderError
    ├── RecipeError      a recipe that cannot be used; holds all of its faults, each with its line
    ├── SourceError      an annotation file that cannot be read: file, record number, JSON path, what was expected
    ├── StoreError       an image store that cannot be opened, or a name that may not be read from it
    │   ├── UnreachableError (blender.data.images) a server that does not answer, or not as it should, at several tries
    │   └── VanishedError    (blender.data.images) a file that was there and is not any more
    ├── PlanError        a blend that cannot be planned (totals that do not balance)
    │   └── LossError        (blender.blend) more is lost than the recipe allows; holds the table of reasons
    ├── FolderError      an output folder that is in use, unwritable, full, or holds something else
    ├── WorkerError      a worker process that the system has killed
    ├── ShardError       shards that are missing, damaged, or of another blend
    ├── CorpusError      (blender.demo) a corpus that cannot be drawn as asked
    ├── InspectionError  a report that cannot be written, or a page that cannot be served
    ├── StreamError      a blend that cannot be streamed: a shard that cannot be fetched, samples that are damaged
    ├── ModelError       a model that cannot be built, loaded or fed: parts that do not fit, weights that are missing
    ├── TrainError       a run that cannot be started or gone on with: batches that cannot be divided, other checkpoints
    ├── SessionError     a question that cannot be asked: empty, a damaged image, options out of range
    │   └── TooLongError     (blender.serve) a conversation beyond the model's length
    ├── ServeError       a server that cannot be started: a port in use, limits that do not fit together
    └── EvaluationError  one that cannot be done: data that are unreadable, another one's results in its folder

A message says in one sentence what is wrong and where; ``hint`` says what to do. They are caught once, in
``blender.cli``, and printed as one line each. Anything else that is raised is a bug and keeps its traceback.
"""

from dataclasses import dataclass


class BlenderError(Exception):
    """A fault of the user's input or surroundings, told in one sentence.

    Args:
        message: What is wrong, naming the file, line, record or sample.
        hint: What to do about it.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Keep message and hint when an error comes back from a worker process."""
        return type(self), (self.message, self.hint)

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a recipe."""

    #: 1-based line in the recipe file; None for a fault that has no line (an override, a missing key at the top)
    line: int | None
    #: dotted path of the key, such as ``blend.2.image_match.base``; empty for the whole file
    path: str
    #: one sentence
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class RecipeError(BlenderError):
    """A recipe that cannot be used.

    Args:
        name: The recipe's file or name.
        faults: All of its faults, in the order of their lines.
        hint: What to do about them.
    """

    def __init__(self, name: str, faults: list[Fault], hint: str | None = None) -> None:
        self.name = name
        self.faults = faults
        noun = "fault" if len(faults) == 1 else "faults"
        listing = "".join(f"\n  {fault}" for fault in faults)
        super().__init__(f"recipe {name} has {len(faults)} {noun}:{listing}", hint)

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the faults when an error comes back from a worker process."""
        return type(self), (self.name, self.faults, self.hint)


class SourceError(BlenderError):
    """An annotation file that cannot be read."""


class StoreError(BlenderError):
    """An image store that cannot be opened, or a name that may not be read from it."""


class PlanError(BlenderError):
    """A blend that cannot be planned."""


class FolderError(BlenderError):
    """An output folder that is in use, unwritable, full, or holds something else."""


class WorkerError(BlenderError):
    """A worker process that the system has killed."""


class ShardError(BlenderError):
    """Shards that are missing, damaged, or of another blend."""


class StreamError(BlenderError):
    """A blend that cannot be streamed."""


class InspectionError(BlenderError):
    """A report that cannot be written, or a page that cannot be served."""


class ModelError(BlenderError):
    """A model that cannot be built, loaded or fed."""


class TrainError(BlenderError):
    """A training run that cannot be started, gone on with, or has gone wrong."""


class SessionError(BlenderError):
    """A question that a model cannot be asked."""


class ServeError(BlenderError):
    """A server that cannot be started."""


class EvaluationError(BlenderError):
    """An evaluation that cannot be started or gone on with."""
