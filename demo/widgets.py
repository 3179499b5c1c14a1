"""Words and lines that more than one tab shows."""

import html


def progress_line(text: str, share: float | None = None) -> str:
    """One line of text over a thin bar, for a `gr.HTML`.

    Args:
        text: what happens now.
        share: how much is done, 0..1; None leaves the bar away.
    """
    bar = "" if share is None else f'<div class="bar"><div style="width:{100 * share:.1f}%"></div></div>'
    return f'<div class="progress-line"><span>{html.escape(text)}</span>{bar}</div>'


def duration_in_words(seconds: float) -> str:
    """Return "8 s" or "2 min 10 s"."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def count_in_words(count: int, noun: str) -> str:
    """Return "1 step" or "12 steps"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
