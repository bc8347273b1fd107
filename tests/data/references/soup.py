"""Texts that are strewn with the words of references."""

from hypothesis import strategies as st

WORDS = """
image images Image PICTURES photo photograph pics pic snapshot image(s) images' the a The A b B I II these both
all of each which any every between from first second 2nd last final previous other another one two three 1 2 3
12 2.5 # no. number and or to - , & vs. given left few is shows can street dogs on wall in at his 's (2) "b"
pair . second-to-last *first* 2** &nbsp; \u200b <b> _ top your one.
screenshot figure fig. Img1 image_1 Image-1 imageB before after initial
odd-numbered № ② la imagen deux 第二 вторая foto the~rest half most~recent couple~of there And~the ſ ımage K é
"""
GAPS = ["\n", "\u00a0", "\r\n", "\t"]
soup = st.lists(
    st.tuples(
        st.sampled_from([*(word.replace("~", " ") for word in WORDS.split()), *GAPS]),
        st.sampled_from(["", " ", " ", " ", "  ", "\n"]),
    ),
    max_size=9,
).map(lambda words: "".join(word + gap for word, gap in words))
