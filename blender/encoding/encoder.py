"""Turn the rendered text of a sample into token ids, and say which of them are trained.

The text is tokenised in one call, so that its tokens are those of any running text. It is split at two things only, as
a special token would split it: at images, and at the end of each answer, where the end token goes. Both are written as
one *mark*, a code point that Unicode reserves for a program's own use, added to a copy of the tokenizer. So tokens
before a mark never depend on what follows it: the first k turns of a conversation have the same ids whether or not more
turns follow.

The text is not split where an answer begins. A token that holds a character of the answer is trained. Many tokenizers
join the space before a word to the word; then the template's last space is part of the first trained token. Where that
space is a token of its own (before a digit, often), it is trained, too, because a prompt must end at the same token
whatever the answer will be: :meth:`TextEncoder.encode_prompt` leaves the space out. A token that holds anything else
before the answer than one space is split by one more mark at the answer's beginning.

Strangers' texts cannot make special tokens: the copy reads a special token as the characters that it is written with.
Only the structure that a chat template writes (:class:`TemplateSpan`) has special tokens; they are marks, too, and the
first one behind an answer is its end token.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer

from blender.core.errors import StreamError
from blender.data.sample import Span
from blender.encoding.encoded import EncodedText, UnusableTextError
from blender.encoding.marked_text import (
    CUT_MARK,
    END_MARK,
    IMAGE_MARK,
    MARK,
    MarkedText,
    MarkedTextWriter,
    MarkedTokens,
    SpecialToken,
    TemplateSpan,
)

#: score of a piece that a unigram tokenizer must never choose
_NEVER = -1e9


@dataclass(frozen=True)
class TextEncoder:
    """Everything that tokenising needs; travels to worker processes as it is. Made by :func:`make_text_encoder`."""

    #: the tokenizer's own file format, special tokens made unreachable
    tokenizer_json: str
    #: token before the whole text; None when the tokenizer uses none
    begin_id: int | None
    #: token after each answer
    end_id: int
    #: token at image positions, so that every id is a row of the embedding
    image_id: int
    #: positions that the features of one image take
    image_positions: int
    #: ids that a text must never give
    special_ids: frozenset[int]

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_str(self.tokenizer_json)
        tokenizer.add_tokens([AddedToken(MARK, normalized=False, special=False)])
        # not part of the file format, so it is set after every loading
        tokenizer.encode_special_tokens = True
        return tokenizer

    @cached_property
    def _mark_id(self) -> int:
        mark = self._tokenizer.token_to_id(MARK)
        assert mark is not None
        return mark

    @cached_property
    def _specials(self) -> dict[str, SpecialToken]:
        added = self._tokenizer.get_added_tokens_decoder()
        named = {i: AddedToken(str(self._tokenizer.id_to_token(i))) for i in (*self.special_ids, self.end_id)}
        return {
            token.content: SpecialToken(i, token.lstrip, token.rstrip)
            for i, token in {**named, **added}.items()
            if i in named or token.special
        }

    @cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._specials, key=len, reverse=True)
        return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields, without the loaded tokenizer."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def encode(self, spans: Sequence[Span]) -> EncodedText:
        """Tokenise a rendered conversation.

        Args:
            spans: Untrained and trained spans; ``<image>`` in an untrained one is an image, in a trained one text.
                A text that begins with :class:`TemplateSpan` has its begin token there, if any, and gets none here.

        Raises:
            UnusableTextError: The text holds the reserved mark, or would give a special token.
        """
        tokens = self._tokenise(self._mark(spans, frozenset()))
        cuts = tokens.torn_answers()
        if cuts:
            tokens = self._tokenise(self._mark(spans, cuts))
        return self._expand_marks(tokens, begin=not (spans and isinstance(spans[0], TemplateSpan)))

    def _mark(self, spans: Sequence[Span], cuts: frozenset[int]) -> MarkedText:
        writer = MarkedTextWriter(cuts, self.image_id, self.end_id)
        for number, span in enumerate(spans):
            if isinstance(span, TemplateSpan):
                pieces = self._special_pattern.split(span.text)
                writer.add_template(pieces, self._specials)
            else:
                closed = number + 1 < len(spans) and isinstance(spans[number + 1], TemplateSpan)
                writer.add(span, closed=closed)
        return writer.finish()

    def encode_prompt(self, spans: Sequence[Span]) -> EncodedText:
        """Tokenise a conversation up to where an answer begins, with the tokens that come before answers in training.

        The last tokens depend on the word that follows, so one is appended and removed again. After one space or line
        break, as templates have it, these tokens come before any answer that is not empty and does not begin with
        white space.

        Args:
            spans: As for :meth:`encode`, the last one untrained.

        Raises:
            UnusableTextError: As :meth:`encode`.
        """
        whole = self.encode([*spans, Span("A", train=True)])
        answer = whole.loss_mask.copy()
        answer[: (0, *whole.turn_ends)[-2]] = False
        return whole.first(int(answer.argmax()))

    def _tokenise(self, marked: MarkedText) -> MarkedTokens:
        encoding = self._tokenizer.encode(marked.text, add_special_tokens=False)
        ids = encoding.ids
        if not self.special_ids.isdisjoint(ids):
            token = self._tokenizer.id_to_token(next(i for i in ids if i in self.special_ids))
            raise UnusableTextError("special_token", f"the text gives the special token {ascii(token)}")
        array = np.array(ids, dtype=np.int32)
        return MarkedTokens(marked, array, encoding.offsets, np.flatnonzero(array == self._mark_id).tolist())

    def _expand_marks(self, tokens: MarkedTokens, *, begin: bool) -> EncodedText:
        """Replace the marks by special tokens and image positions, and prepend the begin token."""
        kinds = np.array(tokens.marked.kinds, dtype=np.int8)
        marks = np.array(tokens.marks, dtype=np.int64)
        image_marks, end_marks = marks[kinds == IMAGE_MARK], marks[kinds == END_MARK]
        ids, loss_mask, image_index = (
            tokens.ids.copy(),
            tokens.loss_mask(),
            np.full(len(tokens.ids), -1, dtype=np.int16),
        )
        ids[marks] = tokens.marked.ids
        image_index[image_marks] = np.arange(len(image_marks))
        counts = np.ones(len(ids), dtype=np.int64)
        counts[image_marks], counts[marks[kinds == CUT_MARK]] = self.image_positions, 0
        ends = np.cumsum(counts)[end_marks]
        if self.begin_id is not None and begin:
            ids, counts = np.insert(ids, 0, self.begin_id), np.insert(counts, 0, 1)
            loss_mask, image_index = np.insert(loss_mask, 0, False), np.insert(image_index, 0, -1)
            ends = ends + 1
        return EncodedText(
            np.repeat(ids, counts), np.repeat(loss_mask, counts), np.repeat(image_index, counts), tuple(ends.tolist())
        )


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
        image_token_id: Token at image positions; the pad token, or else the end token, when None.
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

    A token that is marked as special is not searched in texts. Some tokenizers would still build it piece by piece.
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
