"""Tokenizers of the kinds that people train with, made on the spot: the real pipelines, with a few hundred pieces."""

import json
from functools import cache

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = [
    "You are a powerful vision-language assistant.\n\n### Image 1: ",
    "\n### Question: What is in the image? Who's there?\n### Answer: A cat sits on the mat.\n\n### Image 2: ",
    "\n### Question: How many dogs?\n### Answer: 42 dogs, 3 cats and the Eiffel tower!\n\n",
    "tokens such as </s> <s> <unk> <|im_end|> <|im_start|> <|endoftext|> <|eot_id|> end here:\n",
    "What is it?\n\nWho is there?\n\nReally?\n\n",
    "caf\u00e9 na\u00efve \u00fcber 10%  indented    code();\n\n\n\t# comment ...\r\n",
] * 30

_ENGLISH = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = _ENGLISH + r"\p{N}{1,3}" + _REST
QWEN = _ENGLISH + r"\p{N}" + _REST


def _bytes_after(*before):
    """Byte-level pieces after another way of parting a text."""
    return pre_tokenizers.Sequence([*before, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _byte_level(pre_tokenizer, special, normalizer=None, **options):
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def _sentencepiece(legacy):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=pieces, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = content["added_tokens"][:3]
    vocab, merges = content["model"]["vocab"], content["model"]["merges"]
    # what converters of sentencepiece models once wrote: merges towards special tokens as well
    for left, right in (("</", "s>"), ("<", "s>"), ("s", ">"), ("<", "/")):
        vocab.setdefault(left + right, len(vocab))
        merges.append([left, right])
    content["model"].update(unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer.from_str(json.dumps(content))
    parts = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    if legacy:
        tokenizer.pre_tokenizer = None
        prepend = [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        tokenizer.normalizer = normalizers.Sequence(prepend)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    _begin_with(tokenizer, "<s>")
    return tokenizer


def _begin_with(tokenizer, token):
    begin = [(token, tokenizer.token_to_id(token))]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A {token} $B", special_tokens=begin
    )


def _llama2(legacy):
    wrapped = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=_sentencepiece(legacy), **wrapped)


def _llama3():
    split = pre_tokenizers.Split(Regex(LLAMA3), "isolated")
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]
    tokenizer = _byte_level(_bytes_after(split), special, ignore_merges=True)
    _begin_with(tokenizer, "<|begin_of_text|>")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>"
    )


def _gpt2():
    tokenizer = _byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"])
    names = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def _smollm():
    digits = pre_tokenizers.Digits(individual_digits=True)
    parted = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer = _byte_level(parted, ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )


def _qwen():
    split = pre_tokenizers.Split(Regex(QWEN), "isolated")
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = _byte_level(_bytes_after(split), special, normalizers.NFC())
    tokenizer.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")


_MAKERS = {
    "llama2": lambda: _llama2(legacy=True),
    "llama2-metaspace": lambda: _llama2(legacy=False),
    "llama3": _llama3,
    "gpt2": _gpt2,
    "smollm": _smollm,
    "qwen": _qwen,
}

#: every kind by name
KINDS = tuple(_MAKERS)


@cache
def tiny_tokenizer(kind):
    """Return a tokenizer of a kind; nobody may change it."""
    return _MAKERS[kind]()
