"""Ask a model all rounds of conversations, and score its answers.

Each round is asked with the model's own earlier answers in the history or, teacher-forced, with the references. Several
conversations can be asked at once, round by round. A question that cannot be asked (its conversation outgrows the
model) also gives a result, with an error; the other conversations go on.
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
    #: put references into the history instead of the model's own answers
    teacher_forced: bool = False
    #: show images of other conversations instead of their own
    swap_images: bool = False
    #: conversations asked at once
    batch_size: int = 1
    #: also compute the loss of the references
    loss: bool = True
    #: width of the models' weights; answers of different widths are not mixed in one folder
    weights: str = "auto"


@dataclass
class _ActiveConversation:
    """A conversation that is being asked."""

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
        """Return the next question and the images to show with it, after setting its instruction."""
        self.session.instruct(self.question.system)
        return self.question.question, tuple(self.images[number - 1] for number in self.question.images)


def ask_all(
    loaded: LoadedModel, data: str, conversations: Sequence[EvalConversation], options: AskOptions
) -> Iterator[list[Result]]:
    """Ask a model all conversations; yield the results of each, in order.

    Args:
        loaded: The model.
        data: Name of the data that the conversations belong to.
        conversations: The conversations.
        options: How they are asked.
    """
    for start in range(0, len(conversations), options.batch_size):
        chunk = conversations[start : start + options.batch_size]
        active = [_ActiveConversation(each, Session(loaded), each.read()) for each in chunk]
        while still := [one for one in active if one.is_open]:
            _ask(still, options)
        for one in active:
            one.session.release()
            yield _results(loaded, data, one, options)


def _ask(active: Sequence[_ActiveConversation], options: AskOptions) -> None:
    """Ask one round of each; where one of them cannot be asked, the others still are."""
    try:
        # the numbers that a conversation draws do not depend on those asked with it
        samplings = [_own_seed(options.sampling, one) for one in active]
        answers = ask_together([one.session for one in active], [one.due() for one in active], samplings)
    except SessionError as error:
        if len(active) > 1:
            for one in active:
                _ask([one], options)
            return
        active[0].fault = str(error)
        return
    for one, answer in zip(active, answers, strict=True):
        if options.teacher_forced and one.question.reference is not None:
            one.session.amend(one.question.reference)
        one.answers.append(answer)


def _own_seed(sampling: Sampling, one: _ActiveConversation) -> Sampling:
    if not sampling.temperature:
        return sampling
    from blender.core.randomness import generator

    seed = generator(sampling.seed, "eval", one.conversation.name, len(one.answers)).integers(2**31)
    return replace(sampling, seed=int(seed))


def _results(loaded: LoadedModel, data: str, one: _ActiveConversation, options: AskOptions) -> list[Result]:
    losses: list[ReferenceLoss] = []
    if options.loss and one.conversation.has_references:
        losses = reference_losses(loaded, one.conversation, one.images)
    return [
        _result(loaded.name, data, one, number, losses[number] if number < len(losses) else None)
        for number in range(len(one.conversation.rounds))
    ]


def _result(model: str, data: str, one: _ActiveConversation, number: int, loss: ReferenceLoss | None) -> Result:
    conversation = one.conversation
    question = conversation.rounds[number]
    answer = one.answers[number] if number < len(one.answers) else None
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
        error=None if answer else _why(one, number),
    )


def _why(one: _ActiveConversation, number: int) -> str:
    return one.fault or "" if number == len(one.answers) else f"round {len(one.answers) + 1} could not be asked"
