import base64
import time
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks import damage
from blender.serve.http.request_errors import RequestError
from blender.serve.http.request_images import check_image, is_web_address, read_data_url
from tests.serve.http.conftest import data_url, picture

SLOW = damage.SLOW


@given(st.binary(), st.sampled_from(["image/png", "", "image/jpeg;charset=x", "IMAGE/PNG"]))
def test_a_data_url_gives_its_bytes(content, kind):
    assert read_data_url(data_url(content, kind), "here") == content


def test_line_breaks_in_base64_do_no_harm():
    content = bytes(range(256))
    assert read_data_url("data:;base64," + base64.encodebytes(content).decode(), "here") == content


@pytest.mark.parametrize(
    "url",
    ["", "photo.jpg", "file:///etc/passwd", "data:image/png,abc", "data:image/png;base64,@@@@", "data:;base64,ä==="],
)
def test_what_is_no_data_url_is_refused(url):
    with pytest.raises(RequestError) as caught:
        read_data_url(url, "messages[0]")
    assert caught.value.param == "messages[0]"


def test_web_addresses_are_told_apart():
    assert is_web_address("https://example.org/a.jpg")
    assert is_web_address("HTTP://example.org/a.jpg")
    assert not is_web_address("data:image/png;base64,")
    assert not is_web_address("httpx://example.org")


@pytest.mark.parametrize("content", [b"", b"no image", b"<svg></svg>"])
def test_what_is_no_image_is_refused(content):
    with pytest.raises(RequestError, match=r"image 3 cannot be read: it is no JPEG, PNG"):
        check_image(content, 3, 100, "here")


def test_what_has_no_whole_header_is_refused():
    with pytest.raises(RequestError, match="image 3 cannot be read"):
        check_image(picture()[:10], 3, 100, "here")


def test_a_100_megapixel_image_is_refused_by_its_header():
    content = BytesIO()
    Image.new("1", (10_000, 10_000)).save(content, "PNG")
    with pytest.raises(RequestError, match="image 1 has 10,000 x 10,000 pixels, and 50,000,000 are allowed") as caught:
        check_image(content.getvalue(), 1, 50_000_000, "here")
    assert caught.value.code == "image_too_large"


def test_a_pixel_more_than_allowed_is_too_many():
    check_image(picture(size=(40, 30)), 1, 1_200, "here")
    with pytest.raises(RequestError):
        check_image(picture(size=(40, 30)), 1, 1_199, "here")


def test_another_kind_of_picture_is_named():
    with pytest.raises(RequestError, match="it is no JPEG, PNG, .* file but a HEIC image"):
        check_image(b"\0\0\0\x1cftypheic" + bytes(100), 1, 100, "here")


@pytest.mark.parametrize("name", sorted(name for name in SLOW if "text" not in name and "EXIF" not in name))
def test_a_file_that_would_keep_a_decoder_busy_is_refused_at_once(name):
    content, begun = SLOW[name](), time.process_time()
    with pytest.raises(RequestError) as caught:
        check_image(content, 1, 100_000_000, "here")
    assert caught.value.code == "invalid_image"
    assert time.process_time() - begun < 1.5
