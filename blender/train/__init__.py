"""Training: a recipe, DeepSpeed's engine, one loop, and checkpoints that do not depend on the number of ranks.

``recipe`` defines what a run is, ``inputs`` checks it before any weight is loaded, ``build`` joins the model and starts
the engine, ``loop`` takes optimizer steps, ``run`` calls them in order. ``dry_run`` predicts what a run would need.
All that touches names of DeepSpeed which it does not promise is in ``deepspeed_internals``. The order of samples comes
from ``blender.stream``; the stream position after a step is all the state that the data has.
"""
