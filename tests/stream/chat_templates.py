"""Chat templates of the kinds that chat-tuned language models have, with the answers marked as Hugging Face does."""

import copy
from functools import cache
from typing import Any

from tests.stream.tiny_tokenizers import tiny_tokenizer

_ANSWER = "{% generation %}{{ CONTENT }}{{ END }}{% endgeneration %}"


def _answer(content: str, end: str) -> str:
    return _ANSWER.replace("CONTENT", content).replace("END", end)


_CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}{% if m['role'] == 'assistant' %}"
    + _answer("m['content']", "'<|im_end|>'")
    + "{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set said = messages[0]['content'] %}"
    "{% else %}{% set rest = messages %}{% set said = false %}{% endif %}{% for m in rest %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns must alternate') }}{% endif %}"
    "{% if loop.index0 == 0 and said %}{% set text = '<<SYS>>\\n' + said + '\\n<</SYS>>\\n\\n' + m['content'] %}"
    "{% else %}{% set text = m['content'] %}{% endif %}{% if m['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + text.strip() + ' [/INST]' }}{% else %}{{ ' ' }}"
    + _answer("text.strip() + ' '", "eos_token")
    + "{% endif %}{% endfor %}"
)

_LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' }}{% if m['role'] == 'assistant' %}"
    + _answer("m['content'] | trim", "'<|eot_id|>'")
    + "{% else %}{% if m['role'] == 'system' %}{{ 'Today Date: ' + date_string + '\\n\\n' }}{% endif %}"
    "{{ m['content'] | trim }}{{ '<|eot_id|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)

#: knows no system, as Mistral's did not
_NO_SYSTEM = _CHATML.replace(
    "{% for m in messages %}",
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system here') }}{% endif %}",
    1,
)

#: an empty thought before the last answer alone, as Qwen3's has it
_THINKING = _CHATML.replace(
    "{% if m['role'] == 'assistant' %}",
    "{% if m['role'] == 'assistant' %}{% if loop.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}",
    1,
)

#: name → (kind of tokenizer, template, special tokens that the tokenizer gets besides its own)
CHAT_TEMPLATES = {
    "llama2-chat": ("llama2", _LLAMA2, []),
    "llama2-chat-metaspace": ("llama2-metaspace", _LLAMA2, []),
    "llama3": ("llama3", _LLAMA3, ["<|start_header_id|>", "<|end_header_id|>"]),
    "qwen": ("qwen", _CHATML, []),
    "smollm": ("smollm", _CHATML, []),
    "no-system": ("smollm", _NO_SYSTEM, []),
    "thinking": ("qwen", _THINKING, []),
}


@cache
def chatting(kind: str) -> Any:
    """Make a tokenizer with a chat template; one per kind, not to be changed."""
    name, template, special = CHAT_TEMPLATES[kind]
    tokenizer = copy.deepcopy(tiny_tokenizer(name))
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.chat_template = template
    return tokenizer
