"""Break the program at random, many times, and compare what is left with what an undisturbed run gives.

``make campaign`` runs every part (about an hour); ``python -m benchmarks.campaign PART --tries N --seed S`` runs one.
Every try is derived from the seed and its own number, so that a failure can be repeated alone: ``--only NUMBER``. CI
makes a few tries of the quick parts (``tests/test_campaign.py``), so that the campaign itself cannot rot.
"""
