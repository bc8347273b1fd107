"""How files of each format are built: their size, and bounds on what a decoder may be asked to do, in linear time.

Pillow's readers of headers are Python, byte by byte in places, and believe what a header claims. So a file from a
stranger is walked here first. A module per format offers:

- ``read_size``: width and height from the header, whatever they are, without decoding;
- ``vet``: refuse what would cost a decoder more time or memory than the picture is worth, and give the bytes that a
  decoder may see;
- ``check``: where the format allows it, find damage without decoding (JPEG, PNG).

All of them raise :class:`blender.data.images.damage.DamagedImage`.
"""
