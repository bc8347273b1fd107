"""Ask a model all rounds of conversations, and judge its answers.

Each round is asked with the model's own earlier answers in the history or, teacher-forced, with the references. Several
conversations can be asked at once, round by round. What cannot be asked (a conversation that outgrows the model) is
a result, too: its error says why, and the other conversations go on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from blender.core.errors import SessionError
from blender.evaluate.conversations import EvalConversation, Question
from blender.evaluate.metrics import score_answer
from blender.evaluate.reference_loss import ReferenceLoss, reference_losses
from blender.evaluate.results import Result
from blender.serve.generate import Answer
from blender.serve.loading import LoadedModel
from blender.serve.sampling import Sampling
from blender.serve.session import Session, ask_together


@dataclass(frozen=True)
class AskOptions:
    """How models are asked."""

    sampling: Sampling = field(default_factory=Sampling)
    #: references in the history, in place of the model's own answers
    teacher_forced: bool = False
    #: other conversations' images in place of their own
    swap_images: bool = False
    #: conversations that are asked at once
    batch_size: int = 1
    #: also take the loss of the references
    loss: bool = True
    #: how wide the models' weights are; answers to others are not put beside each other
    weights: str = "auto"


@dataclass
class _ActiveConversation:
    """A conversation on its way."""

    conversation: EvalConversation
    session: Session
    images: tuple[bytes, ...]
    answers: list[Answer] = field(default_factory=list)
    fault: str | None = None

    @property
    def is_open(self) -> bool:
        return self.fault is None and len(self.answers) < len(self.conversation.rounds)

    @property
    def question(self) -> Question:
        return self.conversation.rounds[len(self.answers)]

    def due(self) -> tuple[str, tuple[bytes, ...]]:
        """Return the next question and the images to show with it; its instruction goes ahead of it."""
        self.session.instruct(self.question.system)
        return self.question.question, tuple(self.images[number - 1] for number in self.question.images)


def ask_all(
    loaded: LoadedModel, data: str, conversations: Sequence[EvalConversation], options: AskOptions
) -> Iterator[list[Result]]:
    """Ask a model all conversations; yield the results of each, in order.

    Args:
        loaded: The model.
        data: What the conversations are part of.
        conversations: The conversations.
        options: How they are asked.
    """
    for start in range(0, len(conversations), options.batch_size):
        chunk = conversations[start : start + options.batch_size]
        lanes = [_ActiveConversation(each, Session(loaded), each.read()) for each in chunk]
        while still := [lane for lane in lanes if lane.is_open]:
            _ask(still, options)
        for lane in lanes:
            lane.session.release()
            yield _results(loaded, data, lane, options)


def _ask(lanes: Sequence[_ActiveConversation], options: AskOptions) -> None:
    """Ask one round of each; one that cannot be asked does not keep the others from it."""
    try:
        # every conversation draws its own numbers, whatever it is asked together with
        samplings = [_own_seed(options.sampling, lane) for lane in lanes]
        answers = ask_together([lane.session for lane in lanes], [lane.due() for lane in lanes], samplings)
    except SessionError as error:
        if len(lanes) > 1:
            for lane in lanes:
                _ask([lane], options)
            return
        lanes[0].fault = str(error)
        return
    for lane, answer in zip(lanes, answers, strict=True):
        if options.teacher_forced and lane.question.reference is not None:
            lane.session.amend(lane.question.reference)
        lane.answers.append(answer)


def _own_seed(sampling: Sampling, lane: _ActiveConversation) -> Sampling:
    if not sampling.temperature:
        return sampling
    from blender.core.randomness import generator

    seed = generator(sampling.seed, "eval", lane.conversation.name, len(lane.answers)).integers(2**31)
    return replace(sampling, seed=int(seed))


def _results(loaded: LoadedModel, data: str, lane: _ActiveConversation, options: AskOptions) -> list[Result]:
    losses: list[ReferenceLoss] = []
    if options.loss and lane.conversation.has_references:
        losses = reference_losses(loaded, lane.conversation, lane.images)
    return [
        _result(loaded.name, data, lane, number, losses[number] if number < len(losses) else None)
        for number in range(len(lane.conversation.rounds))
    ]


def _result(model: str, data: str, lane: _ActiveConversation, number: int, loss: ReferenceLoss | None) -> Result:
    conversation = lane.conversation
    question = conversation.rounds[number]
    answer = lane.answers[number] if number < len(lane.answers) else None
    return Result(
        model=model,
        data=data,
        dataset=conversation.dataset,
        conversation=conversation.name,
        round=number + 1,
        num_rounds=len(conversation.rounds),
        images=list(question.images),
        image_paths=list(question.names),
        num_images=sum(len(each.images) for each in conversation.rounds[: number + 1]),
        question=question.question,
        answer=answer.text if answer else "",
        reference=question.reference,
        kind=question.check.kind if question.check else None,
        correct=question.check.is_right(answer.text) if question.check and answer else None,
        scores=score_answer(answer.text, question.reference) if answer and question.reference is not None else {},
        loss=loss.total if loss else None,
        loss_tokens=loss.num_tokens if loss else None,
        finish=answer.finish if answer else None,
        prompt_tokens=answer.num_prompt_tokens if answer else None,
        new_tokens=answer.num_new_tokens if answer else None,
        error=None if answer else _why(lane, number),
    )


def _why(lane: _ActiveConversation, number: int) -> str:
    return lane.fault or "" if number == len(lane.answers) else f"round {len(lane.answers) + 1} could not be asked"
