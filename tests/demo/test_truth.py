"""Every answer is true of the picture: worked out again by tests/demo/oracle.py."""

import re
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.core.randomness import generator
from blender.demo.backdrop import BACKDROPS
from blender.demo.compose import alter_scene, compose_scene
from blender.demo.describing import caption, converse, describe, reason
from blender.demo.differing import ScenePair, instructions
from blender.demo.gathering import gather
from tests.demo import oracle

NUMBER = {word: n for n, word in enumerate(oracle.NUMBERS)}
SHAPE = r"(circle|square|triangle|star|ring|hexagon|diamond|heart|cross|crescent|shape)(e?s)?"
COLOUR = r"(red|orange|yellow|green|blue|purple|pink|brown|black|white)"
COUNTED = re.compile(rf"\b({'|'.join(NUMBER)}) (?:(small|medium-sized|large) )?(?:{COLOUR} )?{SHAPE}\b")
seeds = st.integers(0, 2**32)


def plain(scene):
    return msgspec.to_builtins(scene)


def check(question, scenes, names=("the first image", "the second image")):
    """Compare value, key and answer of a question with what the scenes say."""
    query, answer = question["query"], question["answer"]
    check_wording(question)
    if query["ask"] == "difference":
        return check_difference(question, scenes)
    value = oracle.solve(query, scenes)
    assert question["value"] == value, question
    words = re.findall(r"[\w#-]+", answer.lower().replace("none", "no"))
    for key in question["key"]:
        assert f" {key} " in f" {' '.join(words)} ", f"{key!r} is not in the answer of {question}"
    if isinstance(value, int) and query["ask"] not in ("which", "most"):
        assert oracle.NUMBERS[value] in words, question
    if query["ask"] in ("which", "most") and value:
        assert re.search(rf"{names[value - 1]}(?!\d)", answer, re.IGNORECASE), question
        first = min(range(len(scenes)), key=lambda at: position(names[at], answer))
        assert first == value - 1, f"the answer names another image first: {question}"
    if value in ("yes", "no"):
        assert answer.lower().startswith(value), question
    return None


def check_wording(question):
    """The question in words asks for what the query says, unless it asks on about "it"."""
    query, asked = question["query"], question["question"]
    if query["ask"] == "attribute" and re.search(r"\bit\b", asked):
        return
    for key in ("of", "left", "right", "taken", "these"):
        assert all(word in asked for word in query.get(key, {}).values()), question
    for key in ("place", "colour", "attribute" if query["ask"] != "attribute" else "", "relation"):
        assert query.get(key, "") in asked, question


def position(name, text):
    found = re.search(rf"{name}(?!\d)", text, re.IGNORECASE)
    return found.start() if found else len(text)


def check_difference(question, scenes):
    found = oracle.solve(question["query"], scenes)
    told = [
        tuple(oracle.seen(scene, change[end]) if change[end] else None for scene, end in zip(scenes, ENDS, strict=True))
        for change in question["value"]
    ]
    assert sorted(map(str, told)) == sorted(map(str, found)), question
    sentences = question["answer"].split(". ")
    for change in question["value"]:
        words = set()
        for end in ENDS:
            words |= {change[end]["colour"], change[end]["place"]} if change[end] else set()
        if change["change"] == "resized":
            words |= {change["before"]["size"], change["after"]["size"]}
        assert any(all(word in part for word in words) for part in sentences), question


ENDS = ("before", "after")


@pytest.mark.parametrize("kind", ["count", "colour", "shape", "size", "place", "background", "exist", "compare"])
def test_every_kind_is_asked(drawn, kind):
    assert any(question["kind"] == kind for question in drawn.read("questions.json"))


def test_the_questions_of_a_corpus_have_the_answers_that_its_scenes_give(drawn):
    scenes = drawn.scenes()
    for question in drawn.read("questions.json"):
        shown = [scenes[question["store"], name] for name in question["images"]]
        names = ("the first image", "the second image")
        if question["store"] != "coco":
            names = [f"IMAGE#{name.removesuffix('.jpg')}" for name in question["images"]]
        check(question, shown, names)


def test_the_list_of_questions_says_what_the_annotation_files_say(drawn):
    written = {}
    for name in ("detail_23k", "complex_reasoning_77k", "conversation_58k"):
        for record in drawn.read(f"llava/{name}.json"):
            texts = [turn["value"] for turn in record["conversations"]]
            rounds = zip(texts[0::2], texts[1::2], strict=True)
            written |= {(f"llava/{name}.json", record["id"], turn): each for turn, each in enumerate(rounds)}
    for id, entry in drawn.read("MIMIC-IT/CGD_instructions.json")["data"].items():
        written["MIMIC-IT/CGD_instructions.json", id, 0] = (entry["instruction"], entry["answer"])
    for part in ("CC", "VG"):
        file = f"SparklesDialogue{part}/annotations/SparklesDialogue{part}.json"
        for number, record in enumerate(drawn.read(file)):
            texts = [turn["content"].replace("<Img><ImageHere></Img>", "") for turn in record["dialogue"]]
            rounds = zip(texts[0::2], texts[1::2], strict=True)
            written |= {(file, str(number), turn): each for turn, each in enumerate(rounds)}
    questions = drawn.read("questions.json")
    for question in questions:
        asked, answer = written.pop((question["source"], question["record"], question["turn"]))
        assert question["question"] in asked and answer == question["answer"]
    assert all(source == "llava/detail_23k.json" for source, _, _ in written), "all else can be checked"


@settings(max_examples=150, deadline=None)
@given(seeds)
def test_dialogues_and_reasoning_about_any_scene_are_true(seed):
    rng = generator(seed, "test")
    scene = compose_scene("coco", "1.jpg", rng)
    rounds = converse(scene, rng)
    for question in (reason(scene, rng), *rounds):
        check(msgspec.to_builtins(question), [plain(scene)])
    assert 2 <= len(rounds) <= 5
    assert len({str(question.query) for question in rounds}) == len(rounds), "no round asks again"


@settings(max_examples=150, deadline=None)
@given(seeds)
def test_instructions_about_any_pair_are_true(seed):
    rng = generator(seed, "test")
    first = compose_scene("coco", "1.jpg", rng)
    second, changes = alter_scene(first, "2.jpg", rng)
    assert 1 <= len(changes) <= 3
    asked = instructions(ScenePair(first, second, changes), rng)
    assert 1 <= len(asked) <= 3
    for question in asked:
        check(msgspec.to_builtins(question), [plain(first), plain(second)])


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(2, 4))
def test_dialogues_over_several_pictures_are_true(seed, num_scenes):
    rng = generator(seed, "test")
    ids = (12, 123, 14, 1235)[:num_scenes]
    scenes = tuple(compose_scene("sparkles_cc", f"{id}.jpg", rng) for id in ids)
    rounds = gather(scenes, rng)
    for before, each in zip((0, *(each.num_shown for each in rounds)), rounds, strict=False):
        signed = re.findall(r"IMAGE#(\d+)<Img><ImageHere></Img>", each.content)
        assert sorted(signed) == sorted(str(id) for id in ids[before : each.num_shown])
        assert any(re.search(rf"IMAGE#{id}(?!\d)", each.asked.question) for id in ids[before : each.num_shown] or ids)
        shown = [plain(scene) for scene in scenes[: each.num_shown]]
        check(msgspec.to_builtins(each.asked), shown, [f"IMAGE#{id}" for id in ids])
    assert rounds[-1].num_shown == num_scenes and 2 <= len(rounds) <= 3


@settings(max_examples=150, deadline=None)
@given(seeds)
def test_descriptions_count_and_name_everything_and_nothing_else(seed):
    rng = generator(seed, "test")
    scene = compose_scene("coco", "1.jpg", rng)
    text, graph = describe(scene, rng), plain(scene)
    assert BACKDROPS[scene.background].words in text
    for number, size, colour, shape, plural in COUNTED.findall(text):
        sort = {"size": size, "colour": colour, "shape": shape if shape != "shape" else ""}
        found = oracle.agreeing(graph, {key: word for key, word in sort.items() if word})
        assert len(found) == NUMBER[number], text
        assert bool(plural) == (NUMBER[number] != 1), text
    for thing in graph["objects"]:
        assert all(word in text for word in oracle.seen(graph, thing).values()), text
    places = Counter()
    for number, place in re.findall(rf"\b({'|'.join(NUMBER)}) (?:is \S+ and )?in the ([a-z]+(?: [a-z]+)?)", text):
        places[place.removesuffix(" and").removesuffix(" one")] += NUMBER[number]
    for place, n in places.items():
        assert n <= len(oracle.agreeing(graph, {"place": place})), text


@settings(max_examples=100, deadline=None)
@given(seeds)
def test_captions_name_everything(seed):
    scene = compose_scene("coco", "1.jpg", generator(seed, "test"))
    found = COUNTED.findall(caption(scene).lower())
    assert sum(NUMBER[number] for number, *_ in found) == len(scene.objects)


@settings(max_examples=200, deadline=None)
@given(seeds)
def test_the_english_has_its_articles_and_plurals(seed):
    rng = generator(seed, "test")
    first = compose_scene("coco", "1.jpg", rng)
    second, changes = alter_scene(first, "2.jpg", rng)
    asked = (reason(first, rng), *converse(first, rng), *instructions(ScenePair(first, second, changes), rng))
    texts = [describe(first, rng), *(text for each in asked for text in (each.question, each.answer))]
    for text in texts:
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text, re.IGNORECASE), text
        assert not re.search(r"  | [.,?!:]|\.\.|\bNone\b(?! of)", text), text
        assert not re.search(r"\b(is|are) (?:\w+ )?no\b.*\bwas\b", text), text
        assert not re.search(r"\bno[.,;]", text, re.IGNORECASE) or text.startswith("No, "), text
        assert text[0].isupper() and text[-1] in ".?", text
        for number, _, _, _, plural in COUNTED.findall(text.lower()):
            assert bool(plural) == (NUMBER[number] != 1) or number == "no", text
        for verb, _, _, plural in re.findall(rf"\b(is|are) no (?:{COLOUR} )?{SHAPE}\b", text):
            assert bool(plural) == (verb == "are"), text
