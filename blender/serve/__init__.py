"""Talking to a trained model: opening its folder, one conversation at a time, and what chat and the server make of it.

:mod:`blender.serve.session` holds a conversation; chat, server and evaluation all speak through it, so that all of them
ask in the very tokens that the model was trained on.
"""
