"""Training: a recipe, DeepSpeed's engine, one loop, checkpoints that any number of ranks can go on from.

``recipe`` says what a run is, ``run`` puts the parts together, ``loop`` takes the steps; ``dry`` works out beforehand
what a run would need. The order of samples is the stream's; a step's place in it is all the state the data has.
"""
