"""Short ways to write down records of the published formats, and to sort out what was read."""

from collections.abc import Iterable
from typing import Any

from blender.data.records import Conversation, Record, Skip

Read = Conversation | Skip


def llava(*texts: str, image: object = None, **more: object) -> dict[str, Any]:
    """Return a record whose texts are by human and gpt in turn."""
    roles = ("human", "gpt")
    turns = [{"from": roles[place % 2], "value": text} for place, text in enumerate(texts)]
    return {"conversations": turns, **({} if image is None else {"image": image}), **more}


def mimicit(**data: dict[str, Any]) -> dict[str, Any]:
    """Return a file that holds these instructions."""
    return {"meta": {"version": "0.0.1"}, "data": data}


def instruction(
    images: Iterable[str] = ("SD_IMG_1", "SD_IMG_2"), related: Iterable[str] = (), **texts: str
) -> dict[str, Any]:
    """Return one MIMIC-IT instruction."""
    words = {"instruction": "What differs?", "answer": "The dog."}
    return {**words, **texts, "image_ids": list(images), "rel_ins_ids": list(related)}


def dialogue(*rounds: tuple[list[object], str, str]) -> dict[str, Any]:
    """Return a Sparkles dialogue of rounds of (ids of the images shown, question, answer)."""
    messages: list[dict[str, Any]] = []
    for images, question, answer in rounds:
        shown = {"images": [{"image_id": image, "caption": "a picture"} for image in images]} if images else {}
        messages += [{"role": "user", "content": question, **shown}, {"role": "assistant", "content": answer}]
    return {"dialogue": messages}


def records(read: Iterable[Read]) -> list[Record]:
    """Return every record that came out, in order of appearance."""
    return [record for each in read for record in ((each.record,) if isinstance(each, Skip) else each.records)]


def only_conversation(read: Iterable[Read]) -> Conversation:
    """Return the one conversation that was read."""
    (each,) = read
    assert isinstance(each, Conversation), each
    return each


def only_skip(read: Iterable[Read]) -> Skip:
    """Return the one skip that was read."""
    (each,) = read
    assert isinstance(each, Skip), each
    return each


def shown_and_asked(conversation: Conversation) -> list[tuple[tuple[str, ...], str]]:
    """Return the names of each turn's images, and its question."""
    return [
        (tuple(conversation.images[number - 1] for number in turn.images), turn.question) for turn in conversation.turns
    ]
