"""Turn the rendered text of a sample into token ids, and say which of them are trained.

The text is tokenised in one call, so that tokens come out as they would in any running text. Only two things part
it, and they part it the way a special token in a text does: an image, and the end of an answer, where the end token
goes. Both are written as one *mark*, a code point that Unicode reserves for a program's own use, added to a copy of
the tokenizer. So what stands before a mark never depends on what follows it: the first k turns of a conversation have
the same ids whether or not more turns follow.

Where an answer begins nothing parts the text. The trained tokens are those whose characters reach into the answer. A
tokenizer that glues the space before a word to the word makes the template's last space part of the first trained
token; the same space is trained, too, where it stays a token of its own (before a digit, often), because a prompt must
end in the same place whatever the answer will be: :meth:`TextEncoder.encode_prompt` leaves that space out. A token that
reaches back over anything else than one space is taken apart, by one more mark at the answer's beginning.

Strangers' texts cannot make special tokens: the copy takes every special token as the characters it is written with.
Only the structure that a chat template writes (:class:`Markup`) has special tokens; they are marks, too, and the first
one behind an answer is its end token.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer

from blender.errors import StreamError
from blender.template import IMAGE, Span

#: stands for an image, the end of an answer or a forced cut while a text is tokenised; a noncharacter of Unicode
MARK = "\ufdd0"
_IMAGE_MARK, _END_MARK, _CUT_MARK, _TOKEN_MARK = range(4)
#: score of a piece that a unigram tokenizer must never choose
_NEVER = -1e9


class UnusableTextError(Exception):
    """A text that cannot be tokenised safely.

    Args:
        reason: A word for counting.
        detail: A sentence for reading.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Markup(Span, frozen=True, gc=False):
    """A piece of the rendered conversation in which special tokens are meant, as a chat template writes them."""


class _Special(NamedTuple):
    """A special token, as it is looked for in markup."""

    id: int
    #: whether the white space before or behind it is part of it
    takes_left: bool
    takes_right: bool


@dataclass(frozen=True)
class EncodedText:
    """A conversation as tokens, image positions included.

    All arrays have one entry per position (T).
    """

    #: (T,) int32; at image positions the encoder's ``image_id``, which means nothing
    ids: NDArray[np.int32]
    #: (T,) bool; answers and their end tokens
    trained: NDArray[np.bool_]
    #: (T,) int16; which image of the sample, from 0, has its features here; -1 for text
    image: NDArray[np.int16]
    #: number of positions up to and with the end token of each turn
    turn_ends: tuple[int, ...]
    #: turns taken off the end because they did not fit
    num_turns_dropped: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_images(self) -> int:
        """Images that are shown; they are the first ones of the sample."""
        return int(self.image.max(initial=-1)) + 1

    def image_runs(self) -> list[tuple[int, int]]:
        """Return first position and length of every image's run, in order."""
        numbers, starts, counts = np.unique(self.image, return_index=True, return_counts=True)
        return [(int(s), int(c)) for number, s, c in zip(numbers, starts, counts, strict=True) if number >= 0]

    def keep_turns(self, max_tokens: int | None) -> "EncodedText":
        """Drop whole turns from the end, with the images they show, until the rest fits.

        What stands behind the last end token is dropped in any case: no loss falls on it.

        Args:
            max_tokens: Positions allowed, image positions and end tokens counted; None for no limit.

        Returns:
            The first turns; a text of length 0 when not even one fits.
        """
        ends = [end for end in self.turn_ends if max_tokens is None or end <= max_tokens]
        cut = ends[-1] if ends else 0
        return EncodedText(
            self.ids[:cut],
            self.trained[:cut],
            self.image[:cut],
            tuple(ends),
            self.num_turns_dropped + len(self.turn_ends) - len(ends),
        )


@dataclass(frozen=True)
class TextEncoder:
    """Everything that tokenising needs; travels to worker processes as it is. Made by :func:`make_text_encoder`."""

    #: the tokenizer's own file format, special tokens made unreachable
    tokenizer_json: str
    #: token before the whole text; None when the tokenizer uses none
    begin_id: int | None
    #: token after each answer
    end_id: int
    #: stands at image positions, so that every id is a row of the embedding
    image_id: int
    #: positions that the features of one image take
    image_positions: int
    #: ids that a text must never give
    special_ids: frozenset[int]

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_str(self.tokenizer_json)
        tokenizer.add_tokens([AddedToken(MARK, normalized=False, special=False)])
        # not part of the file format: has to be said after every loading
        tokenizer.encode_special_tokens = True
        return tokenizer

    @cached_property
    def _mark_id(self) -> int:
        mark = self._tokenizer.token_to_id(MARK)
        assert mark is not None
        return mark

    @cached_property
    def _specials(self) -> dict[str, _Special]:
        added = self._tokenizer.get_added_tokens_decoder()
        named = {i: AddedToken(str(self._tokenizer.id_to_token(i))) for i in (*self.special_ids, self.end_id)}
        return {
            token.content: _Special(i, token.lstrip, token.rstrip)
            for i, token in {**named, **added}.items()
            if i in named or token.special
        }

    @cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._specials, key=len, reverse=True)
        return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the loaded tokenizer behind."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def encode(self, spans: Sequence[Span]) -> EncodedText:
        """Tokenise a rendered conversation.

        Args:
            spans: Untrained and trained spans; ``<image>`` in an untrained one is an image, in a trained one text.
                A text that begins with :class:`Markup` has its begin token there, if any, and gets none here.

        Raises:
            UnusableTextError: The text holds the reserved mark, or would give a special token.
        """
        tokens = self._tokenise(self._draft(spans, frozenset()))
        cuts = tokens.torn_answers()
        if cuts:
            tokens = self._tokenise(self._draft(spans, cuts))
        return self._lay_out(tokens, begin=not (spans and isinstance(spans[0], Markup)))

    def _draft(self, spans: Sequence[Span], cuts: frozenset[int]) -> "_Draft":
        drafting = _Drafting(cuts, self.image_id, self.end_id)
        for place, span in enumerate(spans):
            if isinstance(span, Markup):
                pieces = self._special_pattern.split(span.text)
                drafting.add_markup(pieces, self._specials)
            else:
                closed = place + 1 < len(spans) and isinstance(spans[place + 1], Markup)
                drafting.add(span, closed=closed)
        return drafting.finish()

    def encode_prompt(self, spans: Sequence[Span]) -> EncodedText:
        """Tokenise a conversation that ends where an answer begins, as it stands before answers in training.

        What stands last can be parted in another way, or lack its last space, when a word follows; so one is put there
        and taken off again. Behind one space or line break, as templates have it, any answer finds these very tokens
        before it unless it is empty or begins with white space.

        Args:
            spans: As for :meth:`encode`, the last one untrained.

        Raises:
            UnusableTextError: As :meth:`encode`.
        """
        whole = self.encode([*spans, Span("A", train=True)])
        answer = whole.trained.copy()
        answer[: (0, *whole.turn_ends)[-2]] = False
        start = int(answer.argmax())
        return EncodedText(whole.ids[:start], whole.trained[:start], whole.image[:start], whole.turn_ends[:-1])

    def _tokenise(self, draft: "_Draft") -> "_Tokens":
        encoding = self._tokenizer.encode(draft.text, add_special_tokens=False)
        ids = encoding.ids
        if not self.special_ids.isdisjoint(ids):
            token = self._tokenizer.id_to_token(next(i for i in ids if i in self.special_ids))
            raise UnusableTextError("special_token", f"the text gives the special token {ascii(token)}")
        array = np.array(ids, dtype=np.int32)
        return _Tokens(draft, array, encoding.offsets, np.flatnonzero(array == self._mark_id).tolist())

    def _lay_out(self, tokens: "_Tokens", *, begin: bool) -> EncodedText:
        """Put special tokens and image positions in place of the marks, and the begin token before."""
        kinds = np.array(tokens.draft.kinds, dtype=np.int8)
        marks = np.array(tokens.marks, dtype=np.int64)
        image_marks, end_marks = marks[kinds == _IMAGE_MARK], marks[kinds == _END_MARK]
        ids, trained, image = tokens.ids.copy(), tokens.trained(), np.full(len(tokens.ids), -1, dtype=np.int16)
        ids[marks] = tokens.draft.ids
        image[image_marks] = np.arange(len(image_marks))
        counts = np.ones(len(ids), dtype=np.int64)
        counts[image_marks], counts[marks[kinds == _CUT_MARK]] = self.image_positions, 0
        ends = np.cumsum(counts)[end_marks]
        if self.begin_id is not None and begin:
            ids, counts = np.insert(ids, 0, self.begin_id), np.insert(counts, 0, 1)
            trained, image, ends = np.insert(trained, 0, False), np.insert(image, 0, -1), ends + 1
        return EncodedText(
            np.repeat(ids, counts), np.repeat(trained, counts), np.repeat(image, counts), tuple(ends.tolist())
        )


@dataclass(frozen=True)
class _Draft:
    """The text with its marks, before tokenising."""

    text: str
    #: what each mark stands for, in order, and the token that comes in its place
    kinds: list[int]
    ids: list[int]
    #: character where each answer begins
    starts: list[int]
    #: numbers of the answers that have a mark before them
    cuts: frozenset[int]


@dataclass(frozen=True)
class _Tokens:
    """The text with its marks, tokenised."""

    draft: _Draft
    ids: NDArray[np.int32]
    #: first character and the one after the last, for each token
    offsets: list[tuple[int, int]]
    #: tokens that are marks
    marks: list[int]

    @cached_property
    def answers(self) -> list[tuple[int, int, int]]:
        """Return (first token reaching into the answer, its end mark, the mark before it or -1) for each answer."""
        found, before, starts = [], -1, iter(self.draft.starts)
        for mark, kind in zip(self.marks, self.draft.kinds, strict=True):
            if kind == _END_MARK:
                first = bisect_right(self.offsets, next(starts), before + 1, mark, key=itemgetter(1))
                found.append((first, mark, before))
            before = mark
        return found

    def torn_answers(self) -> frozenset[int]:
        """Return the answers whose first token reaches back over more than one space."""
        return frozenset(
            number
            for number, ((first, _, _), start) in enumerate(zip(self.answers, self.draft.starts, strict=True))
            if self.offsets[first][0] < start and not self._is_space(self.offsets[first][0], start)
        )

    def trained(self) -> NDArray[np.bool_]:
        """Return (tokens,) bool: answers, the space before each, and end marks."""
        trained = np.zeros(len(self.ids), dtype=np.bool_)
        for number, (first, end, before) in enumerate(self.answers):
            start, alone = self.draft.starts[number], first - 1 > before and number not in self.draft.cuts
            if alone and self.offsets[first - 1][1] == start and self._is_space(self.offsets[first - 1][0], start):
                first -= 1
            trained[first : end + 1] = True
        return trained

    def _is_space(self, first: int, start: int) -> bool:
        return first == start - 1 and self.draft.text[first] == " "


class _Drafting:
    """Writes a :class:`_Draft`, span by span."""

    def __init__(self, cuts: frozenset[int], image_id: int, end_id: int) -> None:
        self._cuts, self._image_id, self._end_id = cuts, image_id, end_id
        self._parts: list[str] = []
        self._marks: list[tuple[int, int]] = []
        self._starts: list[int] = []
        self._length = 0
        #: whether the next special token closes an answer
        self._open = False

    def add(self, span: Span, *, closed: bool) -> None:
        """Add text; ``closed`` says that the markup behind an answer has its end token."""
        if MARK in span.text:
            raise UnusableTextError("reserved_character", "the text holds U+FDD0, which no text may hold")
        if not span.train:
            self._marks += [(_IMAGE_MARK, self._image_id)] * span.text.count(IMAGE)
            self._put(span.text.replace(IMAGE, MARK))
            return
        before = MARK if len(self._starts) in self._cuts else ""
        self._marks += [(_CUT_MARK, self._end_id)] * len(before)
        self._starts.append(self._length + len(before))
        self._open = closed
        if not closed:
            self._marks.append((_END_MARK, self._end_id))
        self._put(before + span.text + ("" if closed else MARK))

    def add_markup(self, pieces: Sequence[str], specials: Mapping[str, _Special]) -> None:
        """Add structure, parted at its special tokens: text, token, text, …, text."""
        texts, tokens = list(pieces[0::2]), [specials[piece] for piece in pieces[1::2]]
        for place, token in enumerate(tokens):
            texts[place] = texts[place].rstrip() if token.takes_left else texts[place]
            texts[place + 1] = texts[place + 1].lstrip() if token.takes_right else texts[place + 1]
            self._marks.append((_END_MARK if self._open else _TOKEN_MARK, token.id))
            self._open = False
        self._put(MARK.join(texts))

    def _put(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def finish(self) -> _Draft:
        """Return what was written."""
        kinds, ids = [kind for kind, _ in self._marks], [token for _, token in self._marks]
        return _Draft("".join(self._parts), kinds, ids, self._starts, self._cuts)


def make_text_encoder(
    tokenizer: Any,
    image_positions: int,
    *,
    image_token_id: int | None = None,
    end_token_id: int | None = None,
) -> TextEncoder:
    """Take from a Hugging Face tokenizer what tokenising needs.

    Args:
        tokenizer: A ``PreTrainedTokenizerFast`` of any kind; it is not changed.
        image_positions: Positions that the features of one image take.
        image_token_id: What stands at image positions; the pad token, or else the end token, when None.
        end_token_id: What closes an answer, such as the id of ``<|im_end|>``; the tokenizer's end token when None.

    Raises:
        StreamError: The tokenizer is of no use here: it is not a fast one, has no end token, or an id is not its own.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
    if backend is None:
        raise StreamError(f"tokenizer {name} tells no character offsets", "use its fast (tokenizers) version")
    end_id = tokenizer.eos_token_id if end_token_id is None else end_token_id
    if end_id is None:
        raise StreamError(f"tokenizer {name} has no end token", "name the token that closes an answer")
    image_id = next(i for i in (image_token_id, tokenizer.pad_token_id, end_id) if i is not None)
    for what, token_id in (("end", end_id), ("image", image_id)):
        if not 0 <= token_id < len(tokenizer):
            sized = f"tokenizer {name} has ids up to {len(tokenizer) - 1}"
            raise StreamError(f"{sized}, but its {what} token is to be {token_id}", "add the token to it first")
    special = _special_tokens(tokenizer, backend, {end_id} if image_token_id is None else {end_id, image_token_id})
    # where unknown characters have a token of their own, a text may give it
    unknown = {tokenizer.unk_token_id} - {tokenizer.bos_token_id, tokenizer.pad_token_id, end_id, image_id}
    return TextEncoder(
        tokenizer_json=_disarm(backend.to_str(), set(special)),
        begin_id=_begin_id(tokenizer),
        end_id=end_id,
        image_id=image_id,
        image_positions=image_positions,
        special_ids=frozenset(special.values()) - unknown,
    )


def _begin_id(tokenizer: Any) -> int | None:
    """Return the begin token if the tokenizer itself puts it before a text; having one is not enough (GPT-2)."""
    begin = tokenizer.bos_token_id
    return begin if begin is not None and tokenizer("a")["input_ids"][:1] == [begin] else None


def _special_tokens(tokenizer: Any, backend: Tokenizer, more: set[int]) -> dict[str, int]:
    special = {t.content: i for i, t in backend.get_added_tokens_decoder().items() if t.special}
    for token_id in {*tokenizer.all_special_ids, *more}:
        special[str(backend.id_to_token(token_id))] = token_id
    return special


def _disarm(tokenizer_json: str, special: set[str]) -> str:
    """Change a tokenizer's file so that no text gives a special token, and offsets are those of the text.

    Marked as special, a token is not looked for in texts. Some models would still find it piece by piece.
    """
    content = json.loads(tokenizer_json)
    # byte-level ones cut the space off a token's offsets; all else they do is to add special tokens
    content["post_processor"] = content["truncation"] = content["padding"] = None
    for token in content["added_tokens"]:
        token["special"] = token["special"] or token["content"] in special
    model = content["model"]
    if "merges" in model:
        merged = (pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"])
        model["merges"] = [pair for pair in merged if "".join(pair) not in special]
    if model["type"] == "Unigram":
        model["vocab"] = [[piece, _NEVER if piece in special else score] for piece, score in model["vocab"]]
    return json.dumps(content, ensure_ascii=False)
