"""From a plan to shards on disk, and back: write, resume, open, verify.

Shards are independent of each other. Each is written under a temporary name, hashed, renamed, and then noted as done;
whatever happens, a shard that has its name is whole.
"""
