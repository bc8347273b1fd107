"""How the tests of references ask."""

from blender.data.references import find_pin, rewrite_references


def behind(text, num_images, num_before=2):
    """Return the text of a record of ``num_images`` images, behind ``num_before`` others."""
    numbers = range(num_before + 1, num_before + num_images + 1)
    return rewrite_references(text, numbers, num_before + num_images).text


def pinned_by(text, num_images):
    """Return the phrase that keeps a text in front; None where it may stand behind other images."""
    pin = find_pin(text, num_images)
    return pin and pin.phrase


def reason(text, num_images):
    """Return the word for what keeps a text in front; None where it may stand behind other images."""
    pin = find_pin(text, num_images)
    return pin and pin.reason
