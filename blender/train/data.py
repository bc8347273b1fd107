"""Opens the data of a training recipe: its blends, the encoder, the training stream and the evaluation stream."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from blender.core.errors import TrainError
from blender.data.template import CHAT
from blender.encoding.image_processor import PixelSpec
from blender.stream.collate import Collator
from blender.stream.encode import Encoder
from blender.stream.loader import LoaderSettings, StreamLoader
from blender.stream.models import load_encoder
from blender.stream.opening import OpenMixture, open_mixture
from blender.stream.sampler import StreamPosition
from blender.train.batch_plan import BatchPlan
from blender.train.distributed import Ranks
from blender.train.fields import stream_data
from blender.train.recipe import TrainRecipe

#: splits of a blend
TRAIN, EVAL = "train", "eval"


@dataclass(frozen=True)
class BlendSources:
    """The blends of a run, opened."""

    train: OpenMixture
    #: None without evaluation
    evaluation: OpenMixture | None

    @property
    def datasets(self) -> dict[tuple[str, str], str]:
        """Display name of each dataset of the evaluation, by the path of its blend in the mixture and its own name.

        It contains the blend only where there are several. The same on every rank.
        """
        if self.evaluation is None:
            return {}
        blends = self.evaluation.blends
        pairs = sorted({(path, count.dataset) for path, blend in blends.items() for count in blend.manifest.counts})
        return {(path, dataset): f"{path}/{dataset}" if len(blends) > 1 else dataset for path, dataset in pairs}


def open_sources(recipe: TrainRecipe) -> BlendSources:
    """Open the blends of a recipe.

    Raises:
        StreamError: A blend cannot be streamed.
        ShardError: A folder is not a finished blend.
        TrainError: A blend was written with another template, or has no eval split.
    """
    train = open_mixture(stream_data(recipe.data.blends), TRAIN)
    for blend in train.blends.values():
        written, wanted = blend.manifest.template, recipe.template
        if wanted not in (written, CHAT):
            raise TrainError(
                f"the blend {blend.location} was written with the template {written}, and the recipe says {wanted}",
                f"set template={written}, or write the blend with the other one",
            )
    if recipe.evaluation is None:
        return BlendSources(train, None)
    without = [blend.location for blend in train.blends.values() if EVAL not in blend.splits]
    if without:
        raise TrainError(
            f"the blend {without[0]} has nothing kept back for evaluation",
            "set evaluation=null, or write it again with split.eval above 0",
        )
    return BlendSources(train, open_mixture(stream_data(recipe.data.blends, amounts=False), EVAL))


def make_encoder(recipe: TrainRecipe, image_positions: int, image_size: int) -> tuple[Encoder, Collator, Any]:
    """Load the encoder and the collator of a run.

    Args:
        recipe: The recipe.
        image_positions: Positions of an image in the model.
        image_size: Edge of an image in the model, in pixels.

    Returns:
        Encoder, collator, and the tokenizer.

    Raises:
        StreamError: The tokenizer or the image settings cannot be loaded.
    """
    encoder, collator, tokenizer = load_encoder(
        recipe.model.tokenizer or recipe.model.language,
        recipe.model.vision,
        image_positions=image_positions,
        max_tokens=recipe.data.max_tokens,
        draft=recipe.data.draft,
        template=CHAT if recipe.template == CHAT else None,
    )
    pixels = at_size(encoder.pixels, image_size)
    return replace(encoder, pixels=pixels), replace(collator, image_shape=pixels.shape), tokenizer


def at_size(spec: PixelSpec, size: int) -> PixelSpec:
    """Scale the image processing to squares of another size."""
    if (spec.height, spec.width) == (size, size):
        return spec
    if spec.stretch:
        return replace(spec, height=size, width=size, stretch=(size, size))
    assert spec.shortest_edge
    edge = max(size, round(spec.shortest_edge * size / min(spec.height, spec.width)))
    return replace(spec, height=size, width=size, shortest_edge=edge)


def train_loader(
    recipe: TrainRecipe, mixture: OpenMixture, encoder: Encoder, collator: Collator, plan: BatchPlan, ranks: Ranks
) -> StreamLoader:
    """Make the training stream; each of its batches is a rank's part of one global batch."""
    settings = LoaderSettings(
        plan.rows,
        seed=recipe.seed,
        tail="drop",
        pack=recipe.data.pack,
        pack_window=recipe.data.pack_window,
        workers=recipe.data.workers,
        max_damaged=recipe.data.max_damaged,
    )
    return StreamLoader(mixture, encoder, collator, settings, ranks.rank, ranks.world)


def eval_loader(
    recipe: TrainRecipe, mixture: OpenMixture, encoder: Encoder, collator: Collator, plan: BatchPlan, ranks: Ranks
) -> StreamLoader:
    """Make the evaluation stream: every sample once, the same ones in every evaluation."""
    assert recipe.evaluation
    rows = (recipe.evaluation.micro or plan.micro) * ranks.world
    settings = LoaderSettings(
        rows,
        seed=recipe.seed,
        tail="pad",
        pack=recipe.data.pack,
        pack_window=recipe.data.pack_window,
        workers=min(2, recipe.data.workers),
        max_damaged=recipe.data.max_damaged,
    )
    return StreamLoader(mixture, encoder, collator, settings, ranks.rank, ranks.world)


def num_steps(recipe: TrainRecipe, loader: StreamLoader) -> int:
    """Return the optimizer steps of a run."""
    if recipe.schedule.steps is not None:
        return recipe.schedule.steps
    assert recipe.schedule.epochs is not None
    whole, part = int(recipe.schedule.epochs), recipe.schedule.epochs % 1
    per_epoch = _epoch_sizes(loader)
    steps = sum(next(per_epoch) for _ in range(whole))
    return max(1, steps + (round(part * next(per_epoch)) if part else 0))


def _epoch_sizes(loader: StreamLoader) -> Iterator[int]:
    epoch = 0
    while True:
        yield loader.sampler.num_batches(StreamPosition(epoch, 0))
        epoch += 1
