"""Softmax attention by blocks of rows: the N x M matrix of similarities is never held.

The correspondence warp (OEFT eq. 6) and the contrastive loss (eq. 7-8) both need, for every query, a softmax over
all keys. A block of rows is enough for either, forwards and backwards: the backward pass computes the block again
from the saved log-sum-exp, as FlashAttention does.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_ELEMENTS = 1 << 20  # 4 MB of fp32 similarities at a time; larger blocks were not faster
SMALLEST_EXPONENT = -60.0  # weights below e^-60 would end as denormal numbers, which processors are slow with


def products(rows: Tensor, columns: Tensor) -> Tensor:
    """All dot products of two sets of vectors, (N, C) and (M, C) -> (N, M).

    On a CPU this goes through a 1x1 convolution: torch sends fp32 matrix products to MKL and convolutions to oneDNN,
    and oneDNN is more than twice as fast where MKL does not use the processor's widest vectors
    (`benchmarks/oeft_products.py`). With a single thread torch keeps such a convolution to itself, and is slow at it.
    """
    if rows.device.type != "cpu" or rows.dtype != torch.float32 or torch.get_num_threads() == 1:
        return rows @ columns.T
    image = rows.T[None, :, :, None]  # (1, C, N, 1); a view, and channels-last without a copy
    return F.conv2d(image, columns[:, :, None, None])[0, :, :, 0].T


def row_blocks(num_rows: int, num_columns: int) -> list[slice]:
    """Slices that cut the rows of a (num_rows, num_columns) matrix into blocks of about `BLOCK_ELEMENTS`."""
    size = max(1, min(num_rows, BLOCK_ELEMENTS // num_columns))
    return [slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size)]


def exponentials(logits: Tensor, offsets: Tensor) -> Tensor:
    """`exp(logits - offsets)` in place, for logits (n, M) and an offset for every row (n,)."""
    return logits.sub_(offsets[:, None]).clamp_min_(SMALLEST_EXPONENT).exp_()


class _BlockAttention(torch.autograd.Function):
    """One image's attention; see `block_attention`."""

    @staticmethod
    def forward(
        ctx, query: Tensor, key: Tensor, value: Tensor, scale: float, gradient_dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        output = query.new_empty(query.shape[0], value.shape[1])
        log_sum = query.new_empty(query.shape[0])
        for rows in row_blocks(query.shape[0], key.shape[0]):
            logits = products(query[rows] * scale, key)  # (n, M)
            top = logits.amax(dim=1)
            weights = exponentials(logits, top)
            total = weights.sum(dim=1)
            output[rows] = (weights @ value) / total[:, None]
            log_sum[rows] = top + total.log()
        ctx.save_for_backward(query, key, value, output, log_sum)
        ctx.scale, ctx.gradient_dtype = scale, gradient_dtype
        return output, log_sum

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        grad_output, grad_log_sum = gradients
        query, key, value, output, log_sum = ctx.saved_tensors
        # d logits = P * (grad_output . value - sum_v P (grad_output . value) + grad_log_sum)
        offset = grad_log_sum - (grad_output * output).sum(dim=1)  # (N,)
        grad_query = torch.empty_like(query)
        grad_key = torch.zeros_like(key)
        grad_value = torch.zeros_like(value) if ctx.needs_input_grad[2] else None
        low_key, low_query = key.to(ctx.gradient_dtype), query.to(ctx.gradient_dtype)
        for rows in row_blocks(query.shape[0], key.shape[0]):
            weights = exponentials(products(query[rows] * ctx.scale, key), log_sum[rows])  # (n, M)
            if grad_value is not None:
                grad_value.addmm_(weights.T, grad_output[rows])
            if value.shape[1]:
                weights.mul_((grad_output[rows] @ value.T).add_(offset[rows, None]))
            else:
                weights.mul_(offset[rows, None])
            grad_logits = weights.to(ctx.gradient_dtype)
            grad_query[rows] = (grad_logits @ low_key).to(query.dtype)
            grad_key += (grad_logits.T @ low_query[rows]).to(key.dtype)
        return grad_query.mul_(ctx.scale), grad_key.mul_(ctx.scale), grad_value, None, None


def block_attention(
    query: Tensor, key: Tensor, value: Tensor, scale: float, gradient_dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Softmax attention and the log-sum-exp of its logits, in memory that grows with N + M instead of N * M.

    Args:
        query: (B, N, C).
        key: (B, M, C).
        value: (B, M, D); D may be 0 when only the log-sum-exp is wanted.
        scale: The logits are `scale * query . key`.
        gradient_dtype: Precision of the two matrix products that give the gradients of query and key; bfloat16 is
            for networks that run in bfloat16, whose gradients are rounded to it anyway.

    Returns:
        `softmax(logits) @ value`, (B, N, D), and `logsumexp(logits)`, (B, N). Both have gradients.
    """
    images = [_BlockAttention.apply(q, k, v, scale, gradient_dtype) for q, k, v in zip(query, key, value, strict=True)]
    return torch.stack([output for output, _ in images]), torch.stack([log_sum for _, log_sum in images])
