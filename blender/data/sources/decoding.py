"""Decode the records of a file in batches, and set aside those that cannot be read.

A record of the wrong shape is an error of the file and stops the reading, but only after all other records have been
tried, so that all such records are reported at once. With ``on_bad_record: skip`` they are skipped instead, each with
its reason.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Generic

import msgspec
from msgspec import Raw

from blender.data.records import BATCH_SIZE
from blender.data.sources import faults
from blender.data.sources.annotations import Annotations, RawRecords
from blender.data.sources.dialogue import Unread
from blender.data.sources.repair import repaired
from blender.data.sources.shapes import ExtendingDecoder, RecordLayout, S

#: number of records of the wrong shape that an error describes; the others are counted
_NUM_DESCRIBED = 20
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_records(annotations: Annotations, records: RawRecords, layout: RecordLayout[S]) -> Iterator[S | Unread]:
    """Decode records one after the other; those that cannot be used come as :class:`Unread`.

    Raises:
        SourceError: There is no record, or some do not have the shape and the recipe does not skip these.
    """
    return chain.from_iterable(decode_batches(annotations, records, layout))


def decode_batches(
    annotations: Annotations, records: RawRecords, layout: RecordLayout[S]
) -> Iterator[list[S | Unread]]:
    """Decode some thousands of records at a time; those before a faulty one are yielded first.

    Raises:
        SourceError: As :func:`decode_records`.
    """
    if not records.contents:
        raise faults.no_records(annotations.path)
    decoder = _Decoder(annotations, records, layout)
    for start in range(0, len(records.contents), BATCH_SIZE):
        batch = decoder.decode(start, start + BATCH_SIZE)
        if decoder.stops:
            batch = batch[: max(0, decoder.bad_records[0][0].index - start)]
        if batch:
            yield batch
    decoder.finish()


@dataclass
class _Decoder(Generic[S]):
    annotations: Annotations
    records: RawRecords
    layout: RecordLayout[S]
    #: the first records of the wrong shape, and what is wrong with each
    bad_records: list[tuple[faults.BadRecord, Exception]] = field(default_factory=list)
    num_bad: int = 0

    def __post_init__(self) -> None:
        self._shape = ExtendingDecoder(self.layout)
        self._skips = self.annotations.options.on_bad_record == "skip"

    @property
    def stops(self) -> bool:
        """Whether a record of the wrong shape stops the reading."""
        return bool(self.bad_records) and not self._skips

    def decode(self, start: int, stop: int) -> list[S | Unread]:
        """Decode the records of a range."""
        contents = self.records.contents[start:stop]
        waiting, decoded = iter(contents), list[S | Unread]()
        while len(decoded) < len(contents):
            try:
                # extend keeps what came before a fault
                decoded.extend(map(self._shape.decode, waiting))
            except _BROKEN:
                decoded.append(self._with_care(start + len(decoded), contents[len(decoded)]))
        self._refuse_unread_media(decoded, contents)
        return decoded

    def finish(self) -> None:
        """Report the records of the wrong shape, unless they are skipped."""
        annotations, all_are_bad = self.annotations, self.num_bad == len(self.records.contents)
        if self.num_bad and not self._skips or all_are_bad and faults.is_of_another_format(annotations):
            raise faults.wrong_records(annotations, self.bad_records, self.num_bad, len(self.records.contents))

    def _with_care(self, index: int, content: Raw | bytes) -> S | Unread:
        """Decode a record with new keys, or one that only Python reads; or record what is wrong with it."""
        mended = repaired(bytes(content))
        for text in (content, mended):
            try:
                return self._with_new_keys(text)
            except _BROKEN as error:
                fault: Exception = error
        key = self.records.keys[index] if self.records.keys else None
        bad = faults.BadRecord(index, self.records.json_path(index), key, mended)
        self.num_bad += 1
        if len(self.bad_records) < _NUM_DESCRIBED:
            self.bad_records.append((bad, fault))
        return Unread(faults.name_of(bad), "bad_record", faults.sentence(bad, fault))

    def _with_new_keys(self, content: Raw | bytes) -> S:
        while True:
            try:
                return self._shape.decode(content)
            except msgspec.ValidationError as error:
                if "unknown field" not in str(error) or not self._shape.add_keys(content):
                    raise

    def _refuse_unread_media(self, decoded: list[S | Unread], contents: Sequence[Raw | bytes]) -> None:
        indices = [index for index, record in enumerate(decoded) if not isinstance(record, Unread)]
        records = [record for record in decoded if not isinstance(record, Unread)]
        named = self._shape.unread_media(records, [contents[index] for index in indices])
        for number, sentence in named.items():
            decoded[indices[number]] = Unread(records[number].own_id(), "unread_media", sentence)
