"""How the tests of references ask."""

from blender.data.references import find_unclear_reference, rewrite_references


def behind(text, num_images, num_before=2):
    """Return the text of a record of ``num_images`` images, behind ``num_before`` others."""
    numbers = range(num_before + 1, num_before + num_images + 1)
    return rewrite_references(text, numbers, num_before + num_images).text


def unclear_phrase(text, num_images):
    """Return the phrase that keeps a text in front; None where it may stand behind other images."""
    unclear = find_unclear_reference(text, num_images)
    return unclear and unclear.phrase


def reason(text, num_images):
    """Return the word for what keeps a text in front; None where it may stand behind other images."""
    unclear = find_unclear_reference(text, num_images)
    return unclear and unclear.reason
