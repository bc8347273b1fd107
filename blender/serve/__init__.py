"""Talk to a trained model: open its folder, encode prompts, generate answers, keep KV caches, serve over HTTP.

:mod:`blender.serve.session` is a conversation for chat and evaluation; :mod:`blender.serve.http` is the server. Both
encode prompts with :mod:`blender.serve.prompt_encoder`, so that all of them ask in the very tokens that the model was
trained on, and generate with :mod:`blender.serve.generate`.
"""
