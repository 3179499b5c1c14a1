"""Softmax attention by blocks: the N x M matrix of similarities is never held.

The correspondence warp (OEFT eq. 6) and the contrastive loss (eq. 7-8) both need, for every query, a softmax over
all keys. A block of the matrix is enough for either, forwards and backwards: a row's sums grow from block to block,
and the backward pass computes the blocks again from the saved log-sum-exp, as FlashAttention does.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.oeft.logits import Layout, key_factor, query_factor

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


def blocks(length: int) -> list[slice]:
    """Slices of one side of a matrix that make its blocks squares of about `BLOCK_ELEMENTS`.

    Flat blocks would hold whole rows; but then the keys, and the sum that is their gradient, would be read again for
    every few queries.
    """
    side = max(1, math.isqrt(BLOCK_ELEMENTS))
    return [slice(start, min(start + side, length)) for start in range(0, length, side)]


def exponentials(logits: Tensor) -> Tensor:
    """`exp(logits)` in place, for logits of at most about 0."""
    return logits.clamp_min_(SMALLEST_EXPONENT).exp_()


def softmax_by_blocks(logits: Callable[[slice], Tensor], value: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    """Softmax-weighted mean of values and log-sum-exp of logits, for some rows.

    Args:
        logits: Computes the logits of those columns, (n, m); they are overwritten.
        value: (M, D).
        num_rows: n.

    Returns:
        (n, D) and (n,).
    """
    top = value.new_full((num_rows,), -math.inf)
    total, output = value.new_zeros(num_rows), value.new_zeros(num_rows, value.shape[1])
    for columns in blocks(value.shape[0]):
        block = logits(columns)
        higher = torch.maximum(top, block.amax(dim=1))
        decay = (top - higher).exp()  # the sums so far are relative to the top so far
        weights = exponentials(block.sub_(higher[:, None]))
        total.mul_(decay).add_(weights.sum(dim=1))
        output.mul_(decay[:, None]).addmm_(weights, value[columns])
        top = higher
    return output.div_(total[:, None]), total.log_().add_(top)


class _BlockAttention(torch.autograd.Function):
    """One image's attention; see `block_attention`."""

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor, scale: float, gradient_dtype: torch.dtype) -> Tensor:
        output = query.new_empty(query.shape[0], value.shape[1])
        log_sum = query.new_empty(query.shape[0])
        for rows in blocks(query.shape[0]):
            scaled = query[rows] * scale

            def logits(columns: slice, scaled: Tensor = scaled) -> Tensor:
                return products(scaled, key[columns])

            output[rows], log_sum[rows] = softmax_by_blocks(logits, value, scaled.shape[0])
        ctx.save_for_backward(query, key, value, output, log_sum)
        ctx.scale, ctx.gradient_dtype = scale, gradient_dtype
        return output

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (grad_output,) = gradients
        query, key, value, output, log_sum = ctx.saved_tensors
        layout, channels = Layout.of(ctx.scale, ctx.gradient_dtype), query.shape[1]
        # d logits = P * (grad_output . value - sum_v P (grad_output . value))
        mean = (grad_output * output).sum(dim=1)  # (N,)
        grad_query, grad_key = torch.zeros_like(query), torch.zeros_like(key)
        grad_value = torch.zeros_like(value) if ctx.needs_input_grad[2] else None
        keys = key_factor(key, layout)
        for rows in blocks(query.shape[0]):
            queries = query_factor(query[rows] * ctx.scale, log_sum[rows], layout)
            for columns in blocks(key.shape[0]):
                weights = exponentials(products(queries, keys[columns]).float())  # (n, m)
                if grad_value is not None:
                    grad_value[columns].addmm_(weights.T, grad_output[rows])
                weights.mul_((grad_output[rows] @ value[columns].T).sub_(mean[rows, None]))
                grad_logits = weights.to(layout.dtype)
                grad_query[rows] += grad_logits @ keys[columns, :channels]
                grad_key[columns] += grad_logits.T @ queries[:, :channels]
        return grad_query.mul_(ctx.scale), grad_key, grad_value, None, None


class _BlockLogSumExp(torch.autograd.Function):
    """One image's log-sum-exp; see `block_log_sum_exp`."""

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, scale: float, guess: Tensor, dtype: torch.dtype) -> Tensor:
        layout = Layout.of(scale, dtype)
        log_sum = guess.clone()
        keys = key_factor(key, layout)
        for rows in blocks(query.shape[0]):
            queries = query_factor(query[rows] * scale, guess[rows], layout)

            def logits(columns: slice, queries: Tensor = queries) -> Tensor:
                return products(queries, keys[columns]).float()

            log_sum[rows] += softmax_by_blocks(logits, key[:, :0], queries.shape[0])[1]
        ctx.save_for_backward(query, key, log_sum)
        ctx.scale, ctx.layout = scale, layout
        return log_sum

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, log_sum = ctx.saved_tensors
        grad_sum = gradients[0][:, None] * ctx.scale  # (N, 1)
        layout, channels = ctx.layout, query.shape[1]
        grad_query, grad_key = torch.zeros_like(query), torch.zeros_like(key)
        keys = key_factor(key, layout)
        for rows in blocks(query.shape[0]):
            queries = query_factor(query[rows] * ctx.scale, log_sum[rows], layout)
            weighted = (query[rows] * grad_sum[rows]).to(layout.dtype)
            for columns in blocks(key.shape[0]):
                weights = exponentials(products(queries, keys[columns]))  # (n, m)
                grad_query[rows] += weights @ keys[columns, :channels]
                grad_key[columns] += weights.T @ weighted
        return grad_query.mul_(grad_sum), grad_key, None, None, None


def block_attention(
    query: Tensor, key: Tensor, value: Tensor, scale: float, gradient_dtype: torch.dtype = torch.float32
) -> Tensor:
    """Softmax attention in memory that grows with N + M instead of N * M.

    Args:
        query: (B, N, C).
        key: (B, M, C).
        value: (B, M, D).
        scale: The logits are `scale * query . key`.
        gradient_dtype: Precision of the matrix products of the backward pass; bfloat16 is for networks that run in
            bfloat16, whose gradients are rounded to it anyway.

    Returns:
        `softmax(logits) @ value`, (B, N, D).
    """
    images = zip(query, key, value, strict=True)
    return torch.stack([_BlockAttention.apply(q, k, v, scale, gradient_dtype) for q, k, v in images])


def block_log_sum_exp(
    query: Tensor, key: Tensor, scale: float, guess: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    """`logsumexp(scale * query . key)` over keys, in memory that grows with N + M instead of N * M.

    Args:
        query: (B, N, C).
        key: (B, M, C).
        scale: See above.
        guess: About the largest logit of every query, (B, N). Products in bfloat16 are the more exact the nearer it
            is; otherwise it changes nothing, and no gradient reaches it.
        dtype: Precision of the matrix products, forwards and backwards.

    Returns:
        (B, N).
    """
    images = zip(query, key, guess.detach(), strict=True)
    return torch.stack([_BlockLogSumExp.apply(q, k, scale, g, dtype) for q, k, g in images])
