"""The fast path of mmca equals the plain lines, forward and backward, whatever stands where."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.model import kernels
from blender.model.block_attention import attend_blocks
from blender.model.block_layout import BlockLayout, arrange_packed
from blender.model.mmca_reference import mmca_reference

PADDING, IMAGE, TEXT = 0, 1, 2


@st.composite
def patterns(draw, max_samples=3):
    """(B, T) segment ids and image flags: anything, image positions scattered among text included."""
    rows = draw(st.integers(1, 3))
    length = draw(st.integers(1, 24))
    segments, images = [], []
    for _ in range(rows):
        before = draw(st.integers(0, length))
        cuts = sorted(draw(st.lists(st.integers(before, length), max_size=max_samples)))
        row = [0 if place < before else 1 + sum(cut <= place for cut in cuts) for place in range(length)]
        end = draw(st.integers(before, length))
        segments.append([number if place < end else 0 for place, number in enumerate(row)])
        images.append(draw(st.lists(st.booleans(), min_size=length, max_size=length)))
    segments, images = torch.tensor(segments), torch.tensor(images)
    return segments, images & (segments > 0)


def random_heads(shape, heads, key_heads, width=8, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows, length = shape
    sizes = ((rows, heads, length, width), (rows, key_heads, length, width), (rows, key_heads, length, width))
    return [torch.randn(size, generator=generator).to(dtype).requires_grad_() for size in sizes]


def in_columns(tensor, layout):
    """(B, H, T, D) of a batch as (R, H, L, D) of a layout."""
    flat = tensor.transpose(1, 2).flatten(0, 1)
    return flat[layout.order].transpose(1, 2)


def in_batch(output, layout, shape):
    """(R, L, H, D) as (B, H, T, D), zero where there is no place."""
    columns = layout.inverse_order(shape[0] * shape[1])
    flat = output.flatten(0, 1)[columns.clamp(min=0)] * (columns >= 0)[:, None, None]
    return flat.unflatten(0, shape).transpose(1, 2)


def fast(query, key, value, segments, images):
    layout = arrange_packed(segments, torch.where(images, 0, -1), "mmca")
    output = attend_blocks(*(in_columns(tensor, layout) for tensor in (query, key, value)), layout)
    return in_batch(output, layout, segments.shape) * (segments > 0)[:, None, :, None]


@settings(max_examples=100)
@given(patterns(), st.sampled_from([(4, 4), (4, 2), (4, 1), (8, 4)]), st.integers(0, 99))
def test_fast_path_equals_the_plain_lines_forward_and_backward(pattern, heads, seed):
    segments, images = pattern
    given_heads = random_heads(segments.shape, *heads, seed=seed)
    weights = torch.randn(given_heads[0].shape, generator=torch.Generator().manual_seed(1))
    weights = weights * (segments > 0)[:, None, :, None]
    results = []
    for attend in (fast, mmca_reference):
        output = attend(*given_heads, segments, images)
        results.append((output, *torch.autograd.grad((output * weights).sum(), given_heads)))
    for got, wanted in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_precision_stays_within_its_rounding(dtype):
    segments = torch.ones((1, 40), dtype=torch.int64)
    images = torch.tensor([[5 <= place < 13 or 20 <= place < 28 for place in range(40)]])
    exact = random_heads(segments.shape, 4, 2, dtype=torch.float64)
    given_heads = [tensor.detach().to(dtype).requires_grad_() for tensor in exact]
    got = fast(*given_heads, segments, images)
    wanted = mmca_reference(*[tensor.detach().to(torch.float64) for tensor in given_heads], segments, images)
    assert got.dtype == dtype
    tolerance = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(got.double(), wanted, rtol=tolerance, atol=tolerance)
    got.float().sum().backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in given_heads)


def test_text_without_an_image_before_it_gets_exactly_nothing_from_images():
    segments = torch.ones((1, 12), dtype=torch.int64)
    images = torch.tensor([[6 <= place < 10 for place in range(12)]])
    query, key, value = random_heads(segments.shape, 2, 2)
    changed = value.detach().clone()
    changed[:, :, 6:10] = 1e6
    before, after = (fast(query, key, v, segments, images) for v in (value, changed))
    assert torch.equal(before[:, :, :6], after[:, :, :6])
    assert not torch.equal(before[:, :, 10:], after[:, :, 10:])


def test_image_positions_give_their_own_value():
    segments = torch.ones((1, 12), dtype=torch.int64)
    images = torch.tensor([[3 <= place < 7 for place in range(12)]])
    query, key, value = random_heads(segments.shape, 4, 2)
    output = fast(query, key, value, segments, images)
    assert torch.equal(output[:, :, 3:7], value[:, :, 3:7].repeat_interleave(2, dim=1))


def test_a_layout_leaves_padding_out_and_puts_images_before_text():
    segments = torch.tensor([[1, 1, 1, 1, 2, 2, 0], [0, 1, 1, 1, 1, 1, 1]])
    images = torch.tensor([[-1, 0, 0, -1, -1, -1, -1], [-1, -1, -1, 1, 1, -1, 2]])
    layout = arrange_packed(segments, images, "mmca")
    assert layout.order.tolist() == [[1, 2, 0, 3, 4, 5, 10, 11, 13, 8, 9, 12]]
    assert layout.own == ((0, 0, 2), (0, 6, 9))
    assert [(b.first, b.end, b.first_key, b.end_key, b.causal) for b in layout.blocks] == [
        (2, 4, 2, 4, True),
        (3, 4, 0, 2, False),
        (4, 6, 4, 6, True),
        (9, 12, 9, 12, True),
        (11, 12, 6, 8, False),
    ]


def test_no_tensor_over_all_pairs_of_positions_is_made():
    """4,096 positions with 8 heads in 32 MB or so; their scores alone would take 512 MB."""
    length, largest = 4096, 0
    segments = torch.ones((1, length), dtype=torch.int64)
    index = torch.where(torch.arange(length) % 512 < 256, torch.arange(length) // 512, -1)[None]
    layout = arrange_packed(segments, index, "mmca")
    heads = [torch.randn(1, 2, length, 16).requires_grad_() for _ in range(3)]

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            nonlocal largest
            made = function(*arguments, **(keywords or {}))
            for tensor in torch.utils._pytree.tree_leaves(made):
                if isinstance(tensor, torch.Tensor):
                    largest = max(largest, tensor.numel())
            return made

    with Watch():
        attend_blocks(*heads, layout).sum().backward()
    assert largest <= 2 * length * 16 * 2


def test_the_kernel_of_a_device_without_one_of_ours_is_pytorchs_own(monkeypatch):
    segments = torch.ones((1, 20), dtype=torch.int64)
    images = torch.tensor([[4 <= place < 12 for place in range(20)]])
    query, key, value = random_heads(segments.shape, 4, 2)
    wanted = fast(query, key, value, segments, images)
    grads = torch.autograd.grad(wanted.square().sum(), [query, key, value])
    monkeypatch.setattr("blender.model.block_attention.choose_kernel", lambda *_: None)
    got = fast(query, key, value, segments, images)
    torch.testing.assert_close(got, wanted)
    for one, other in zip(torch.autograd.grad(got.square().sum(), [query, key, value]), grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_kernels_for_a_gpu_are_called_as_pytorch_declares_them():
    """Shapes and arguments, on the meta device; the numbers need the device itself."""
    query, key = (
        torch.empty((1, 4, 8, 16), device="meta", dtype=torch.bfloat16),
        torch.empty((1, 2, 8, 16), device="meta", dtype=torch.bfloat16),
    )
    output, kept = kernels.CUDA_FLASH.forward(query, key, key, True, None)
    grads = kernels.CUDA_FLASH.backward(output, query, key, key, output, kept, True, None)
    assert [tuple(grad.shape) for grad in grads] == [tuple(query.shape), tuple(key.shape), tuple(key.shape)]


def test_an_empty_batch_still_has_a_place():
    layout = arrange_packed(torch.zeros((2, 3), dtype=torch.int64), torch.full((2, 3), -1), "mmca")
    assert isinstance(layout, BlockLayout)
    assert layout.order.shape == (1, 1)
