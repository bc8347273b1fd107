"""The text of a conversation as tokens, with the positions of its images and of its loss: the one encoder of prompts.

Training, chat, the server, evaluation and the Hugging Face processor all encode through here, so that a model is asked
with the very tokens that came before its answers in training. Imports no torch.
"""
