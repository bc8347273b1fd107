import polars as pl
import pytest

from blender.inspect.lint.markers import find_marker, has_marker
from tests.inspect.lint.blends import ask, details, found


def is_marked(text):
    """Ask the column, which is what lint asks; the text alone must say the same."""
    (marked,) = has_marker(pl.DataFrame({"question": ["Why?"], "answer": [text]})).to_list()
    assert marked == (find_marker(text) is not None)
    return marked


@pytest.mark.parametrize(
    ("text", "is_marker"),
    [
        ("look at <image> here", True),
        ("### Answer: yes", True),
        ("ok</s>", True),
        ("<|im_start|>user", True),
        ("[INST] hi [/INST]", True),
        ("as IMAGE#12 shows", True),
        ("fine.\nASSISTANT: well", True),
        ("### Human: hello", True),
        ("The user: a person. An image: a picture.", False),
        ("a < b and b > c, [1] <3", False),
        ("Answer: yes. Question 3: no.", False),
        ("# heading\n### three things", False),
    ],
)
def test_marks_of_templates_are_told_from_prose(text, is_marker):
    assert is_marked(text) == is_marker


@pytest.mark.parametrize(
    "mark",
    [
        "<image>",
        "<Image>",
        "<IMAGE>",
        "</image>",
        "<image/>",
        "<images>",
        "<image_1>",
        "<image1>",
        "<image-2>",
        "<Image_3>",
        "<ImageHere>",
        "<img>",
        "<Img>",
        "</Img>",
        "<img_0>",
        "<img00>",
        "<IMG_CONTEXT>",
        "<im_start>",
        "<im_end>",
        "<im_patch>",
        "<image_pad>",
        "<image_placeholder>",
        "<image-placeholder>",
        "<image_soft_token>",
        "<image_newline>",
        "<start_of_image>",
        "<end_of_image>",
        "<fake_token_around_image>",
        "<global-img>",
        "<row_1_col_2>",
        "<frame_12>",
        "<picture_1>",
        "<video>",
        "</video>",
        "<Video>",
        "<video_0>",
        "<VideoHere>",
        "<vid_start>",
        "<audio>",
        "<AUDIO>",
        "<audio_bos>",
        "<speech>",
        "<vision_start>",
        "<visual_token_3>",
        "<fim_prefix>",
        "<fim-middle>",
        "<fim_suffix>",
        "<|image|>",
        "<|image_pad|>",
        "<|vision_start|>",
        "<|image_1|>",
        "<|video|>",
        "<|endoftext|>",
        "<|reserved-token-1|>",
        "<｜begin▁of▁sentence｜>",
        "<pad>",
        "<unk>",
        "<bos>",
        "<EOS>",
        "<loc0123>",
        "<seg_001>",
        "<0x0A>",
        "[IMG]",
        "[/IMG]",
        "[IMG_END]",
        "[IMAGE]",
        "[IMAGE_1]",
        "[VIDEO]",
        "[AUDIO]",
        "[CLS]",
        "[PAD]",
        "&lt;image&gt;",
        "<<SYS>>",
        "<start_of_turn>",
    ],
)
def test_marks_of_media_and_special_tokens_are_found_by_pattern(mark):
    for text in (mark, f"What is this?{mark}", f"{mark}\nWhat is this?", f"Look at {mark}, please."):
        assert is_marked(text), text


@pytest.mark.parametrize(
    "text",
    [
        '<img src="a.jpg" alt="a cat">',
        '<video controls width="250"><source src="a.mp4"></video>',
        "Use the `<video>` tag, or <audio> elements.",
        "```html\n<video>\n</video>\n```",
        "List<Image> images = new ArrayList<Image>();",
        "<ImageView android:id='x'/> and <VideoPlayer>",
        "<div><p>Hello</p></div><br/><b>bold</b>",
        "if a<b and b>c, or <a, b>, or x <y> z",
        "<think>hm</think> <name> <title> <your name here> <email@example.org>",
        "<image_url>https://example.org/a.jpg</image_url>",
        "a |> b <| c, <||>, <|>",
        "[1] [Image 1] [img] [a] [OK] [INSTALL] [MASKED]",
        "an image, the video: 3 < 4 > 2",
    ],
)
def test_html_code_and_prose_are_not(text):
    assert not is_marked(text)


def test_a_mark_is_told_with_its_place(made):
    made.plain(1)
    made.draw(2)
    made.records().append(ask("2.jpg", ("Where?", "In a garden."), ("And what?", "In <ImageHere> a man walks.")))
    report = made.lint()
    assert found(report) == {"template_marker": 1}
    assert details(report, "template_marker") == ["<ImageHere> in the answer “In <ImageHere> a man walks.”"]
